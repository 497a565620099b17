//! What the workers share: the pace, the moods that were set, and the counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::Pace;
use super::moods::{self, Chosen};

/// The rate limit that is told.
const REQUESTS_PER_MINUTE: u64 = 10_000;
/// Stands for all models.
const ALL: &str = "*";

pub struct Shared {
    pub pace: Pace,
    moods: Mutex<BTreeMap<String, Set>>,
    counts: Mutex<Counts>,
    window: Mutex<Window>,
}

/// The requests of one minute.
#[derive(Default)]
struct Window {
    minute: u64,
    requests: u64,
}

/// A mood that was set for a model.
struct Set {
    chosen: Chosen,
    /// The requests that it still holds for; for ever without.
    times: Option<u64>,
}

#[derive(Default)]
struct Counts {
    total: u64,
    refused: u64,
    models: BTreeMap<String, u64>,
    open_streams: u64,
    abandoned_streams: u64,
    abandoned_requests: u64,
}

impl Shared {
    pub fn new(pace: Pace) -> Self {
        Shared { pace, moods: Mutex::default(), counts: Mutex::default(), window: Mutex::default() }
    }

    /// Sets the mood of a model, or of all with `*`. It wears off after so many requests, if `times` says so.
    pub fn set_mood(&self, model: &str, chosen: Chosen, times: Option<u64>) {
        lock(&self.moods).insert(model.to_owned(), Set { chosen, times });
    }

    /// Whether there was a mood to clear.
    pub fn clear_mood(&self, model: &str) -> bool {
        lock(&self.moods).remove(model).is_some()
    }

    /// The mood set for this model, or else for all; uses up one of its times.
    pub fn take_mood(&self, model: &str) -> Option<Chosen> {
        let mut moods = lock(&self.moods);
        let key = if moods.contains_key(model) { model } else { ALL };
        let set = moods.get_mut(key)?;
        let chosen = set.chosen;
        if let Some(times) = &mut set.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                moods.remove(key);
            }
        }
        Some(chosen)
    }

    /// The moods that are set, by model.
    pub fn set_moods(&self) -> Value {
        let described = |(model, set): (&String, &Set)| {
            let mut value = moods::describe(set.chosen);
            value["times"] = json!(set.times);
            (model.clone(), value)
        };
        Value::Object(lock(&self.moods).iter().map(described).collect::<Map<_, _>>())
    }

    /// Counts a request of this minute, and says how many more the pretended limit allows in it.
    pub fn left(&self, minute: u64) -> u64 {
        let mut window = lock(&self.window);
        if window.minute != minute {
            *window = Window { minute, requests: 0 };
        }
        window.requests += 1;
        REQUESTS_PER_MINUTE.saturating_sub(window.requests)
    }

    /// Counts a request that was not even read to the end.
    pub fn refuse(&self) {
        let mut counts = lock(&self.counts);
        counts.total += 1;
        counts.refused += 1;
    }

    /// Counts a request, until its visit is dropped.
    pub fn begin(self: Arc<Self>, model: &str, stream: bool) -> Visit {
        let mut counts = lock(&self.counts);
        counts.total += 1;
        counts.open_streams += u64::from(stream);
        let serial = counts.total;
        let of_model = counts.models.entry(model.to_owned()).or_default();
        *of_model += 1;
        let nth = *of_model;
        drop(counts);
        Visit { shared: self, serial, nth, stream, finished: false }
    }

    /// The counts, for `GET /simulator/stats`.
    pub fn stats(&self) -> Value {
        let counts = lock(&self.counts);
        json!({
            "total": counts.total,
            "refused": counts.refused,
            "models": counts.models,
            "open_streams": counts.open_streams,
            "abandoned_streams": counts.abandoned_streams,
            "abandoned_requests": counts.abandoned_requests,
        })
    }
}

/// One request under way. Dropped before it is finished, it was abandoned by its client.
pub struct Visit {
    shared: Arc<Shared>,
    /// Counts all requests.
    pub serial: u64,
    /// Counts the requests for this model, from 1.
    pub nth: u64,
    stream: bool,
    finished: bool,
}

impl Visit {
    /// Everything that the simulator wanted to send has been sent.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = lock(&self.shared.counts);
        let abandoned = u64::from(!self.finished);
        if self.stream {
            counts.open_streams -= 1;
            counts.abandoned_streams += abandoned;
        } else {
            counts.abandoned_requests += abandoned;
        }
    }
}

/// A count stays right even if the thread that held it panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::moods::Mood;
    use super::*;

    #[test]
    fn a_mood_wears_off_and_its_own_wins_over_that_of_all() {
        let shared = Shared::new(Pace::instant());
        let cut = Chosen { mood: Mood::Cut, argument: 1 };
        shared.set_mood("a/b", cut, Some(2));
        shared.set_mood("*", Chosen::WELL, None);
        let taken: Vec<_> = (0..3).filter_map(|_| shared.take_mood("a/b")).collect();
        assert_eq!(taken, [cut, cut, Chosen::WELL]);
        assert!(shared.clear_mood("*") && !shared.clear_mood("*"));
        assert_eq!(shared.take_mood("a/b"), None);
    }

    #[test]
    fn what_is_left_of_the_limit_comes_back_with_the_next_minute() {
        let shared = Shared::new(Pace::instant());
        assert_eq!([shared.left(1), shared.left(1), shared.left(2)], [9_999, 9_998, 9_999]);
    }

    #[test]
    fn a_dropped_visit_was_abandoned() {
        let shared = Arc::new(Shared::new(Pace::instant()));
        let gone = shared.clone().begin("m", true);
        assert_eq!(shared.stats()["open_streams"], 1);
        drop(gone);
        shared.clone().begin("m", true).finish();
        shared.clone().begin("m", false).finish();
        let stats = shared.stats();
        assert_eq!((&stats["open_streams"], &stats["abandoned_streams"]), (&json!(0), &json!(1)));
        assert_eq!((&stats["abandoned_requests"], &stats["models"]["m"]), (&json!(0), &json!(3)));
    }
}
