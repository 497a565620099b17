//! The course of a stream in time, with what the mood does to it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::Pace;
use super::chunks::{Frame, Kind, chunk, done};
use super::envelope::{Envelope, written};
use super::moods::{Chosen, Mood};

/// Bounds every single wait, so that no setting can overflow a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A stream that is silent for so long says that it is alive, and says so again as often.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
const ALIVE: &str = ": OPENROUTER PROCESSING\n\n";
/// What was sent before a cut needs this long to leave the server.
const FLUSH: Duration = Duration::from_millis(5);

/// What happens to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Send(Bytes),
    /// Nothing more, for ever.
    Hang,
    /// The connection is closed, though the answer is not at its end.
    Cut,
}

/// An act and when it is due, counted from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timed {
    pub due: Duration,
    pub act: Act,
}

/// How long one answer takes.
#[derive(Debug, Clone, Copy)]
pub struct Tempo {
    first: Duration,
    interval: Duration,
}

impl Tempo {
    /// The pace, as the mood changes it.
    pub fn new(pace: &Pace, chosen: Chosen) -> Self {
        let mut pace = pace.clone();
        match chosen.mood {
            Mood::Slow => pace.first_token = Duration::from_millis(chosen.argument.into()),
            Mood::Speed => pace.tokens_per_second = f64::from(chosen.argument.max(1)),
            _ => {}
        }
        let rate = pace.tokens_per_second;
        let interval = if rate > 0.0 {
            Duration::try_from_secs_f64(rate.recip()).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
        } else {
            Duration::ZERO
        };
        Tempo { first: pace.first_token.min(LONGEST_WAIT), interval }
    }

    /// When an answer with so many tokens is complete.
    pub fn after(&self, tokens: usize) -> Duration {
        self.first + self.interval.saturating_mul(u32::try_from(tokens).unwrap_or(u32::MAX))
    }
}

/// The acts of a stream, in order of time.
pub fn stream(frames: Vec<Frame>, chosen: Chosen, envelope: &Envelope, tempo: Tempo) -> Vec<Timed> {
    let mut acts: Vec<Timed> = alive(tempo.first).collect();
    let mut pieces = 0;
    for (kind, act) in spoil(frames, chosen, envelope) {
        let wait = if act == Act::Cut { FLUSH } else { Duration::ZERO };
        acts.push(Timed { due: tempo.after(pieces) + wait, act });
        pieces += usize::from(kind == Some(Kind::Piece));
    }
    acts
}

/// The start of a body of which the rest never comes.
pub fn half(body: &str, mood: Mood, due: Duration) -> Vec<Timed> {
    let half = body.as_bytes().get(..body.len() / 2).unwrap_or_default();
    let end = if mood == Mood::Cut { Act::Cut } else { Act::Hang };
    vec![Timed { due, act: Act::Send(Bytes::copy_from_slice(half)) }, Timed { due: due + FLUSH, act: end }]
}

/// The comments that fill the wait for the first token.
fn alive(first: Duration) -> impl Iterator<Item = Timed> {
    let times = std::iter::successors(Some(ALIVE_EVERY), |due| Some(*due + ALIVE_EVERY));
    times
        .take_while(move |due| *due < first)
        .map(|due| Timed { due, act: Act::Send(Bytes::from_static(ALIVE.as_bytes())) })
}

type Step = (Option<Kind>, Act);

fn spoil(mut frames: Vec<Frame>, chosen: Chosen, envelope: &Envelope) -> Vec<Step> {
    let tokens = usize::try_from(chosen.argument).unwrap_or(usize::MAX);
    let left_out = match chosen.mood {
        Mood::NoUsage => Some(Kind::Usage),
        Mood::NoDone => Some(Kind::Done),
        Mood::NoFinish => Some(Kind::Finish),
        _ => None,
    };
    frames.retain(|frame| Some(frame.kind) != left_out);
    let rest = frames.split_off(match chosen.mood {
        Mood::HangAfter | Mood::Cut | Mood::Malformed | Mood::ErrorInStream => behind(&frames, tokens),
        Mood::ErrorIn200 => 0,
        _ => frames.len(),
    });
    let mut steps: Vec<Step> = frames.into_iter().map(send).collect();
    match chosen.mood {
        Mood::HangAfter => steps.push((None, Act::Hang)),
        Mood::Cut => steps.push((None, Act::Cut)),
        Mood::Malformed => {
            steps.push(data(&format!("{{\"id\":\"{}\",\"choices\":[{{\"index\":0,\"del", envelope.id())));
            steps.extend(rest.into_iter().map(send));
        }
        Mood::ErrorInStream => {
            let mut error = chunk(envelope, json!({"content": ""}), Some("error"));
            error["error"] = json!({"code": 502, "message": "Provider disconnected"});
            steps.push(data(&written(&error)));
            steps.push(send(done()));
        }
        Mood::ErrorIn200 => {
            steps.push(data(&error_in_200().to_string()));
            steps.push(send(done()));
        }
        _ => {}
    }
    steps
}

/// The error that a 200 holds, as a body or as the first chunk.
pub fn error_in_200() -> serde_json::Value {
    json!({"error": {"message": "Upstream error: the provider could not be reached", "code": 502}})
}

/// Where the frames are split so that so many tokens have been sent, or all there are.
fn behind(frames: &[Frame], tokens: usize) -> usize {
    let mut pieces = frames.iter().enumerate().filter(|(_, frame)| frame.kind == Kind::Piece);
    let last = pieces.clone().next_back().map_or(1, |(at, _)| at + 1);
    pieces.nth(tokens).map_or(last, |(at, _)| at)
}

fn send(frame: Frame) -> Step {
    let (_, act) = data(&frame.data);
    (Some(frame.kind), act)
}

fn data(text: &str) -> Step {
    (None, Act::Send(Bytes::from(format!("data: {text}\n\n"))))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::chunks::frames;
    use super::super::request::ThinkingStyle;
    use super::*;

    fn played(mood: Mood, argument: u32, pace: Pace) -> Vec<Timed> {
        let envelope = Envelope {
            serial: 1,
            created: 0,
            model: "m".into(),
            style: ThinkingStyle::Content,
            prompt_tokens: 1,
            cached_tokens: 0,
            include_usage: true,
            interleaved: false,
        };
        let chosen = Chosen { mood, argument };
        let frames = frames(&Answer::words("1 2 3", &[]), &envelope);
        stream(frames, chosen, &envelope, Tempo::new(&pace, chosen))
    }

    fn text(acts: &[Timed]) -> String {
        let sent = |timed: &Timed| match &timed.act {
            Act::Send(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            act => format!("{act:?}"),
        };
        acts.iter().map(sent).collect()
    }

    #[test]
    fn tokens_come_at_their_pace() {
        let pace = Pace { first_token: Duration::from_millis(100), tokens_per_second: 10.0 };
        let due: Vec<u128> = played(Mood::Well, 0, pace).iter().map(|timed| timed.due.as_millis()).collect();
        assert_eq!(due, [100, 100, 200, 300, 400, 400, 400]);
        assert!(played(Mood::Well, 0, Pace::instant()).iter().all(|timed| timed.due.is_zero()));
        for odd in [0.0, -1.0, f64::NAN, f64::MIN_POSITIVE] {
            played(Mood::Well, 0, Pace { first_token: Duration::MAX, tokens_per_second: odd });
        }
    }

    #[test]
    fn a_long_wait_is_filled_with_comments() {
        let acts = played(Mood::Slow, 2500, Pace::instant());
        let comments: Vec<u64> = acts
            .iter()
            .take_while(|timed| text(&[(*timed).clone()]) == ALIVE)
            .map(|timed| timed.due.as_secs())
            .collect();
        assert_eq!(comments, [1, 2]);
        assert!(!text(&played(Mood::Slow, 1000, Pace::instant())).contains("PROCESSING"));
    }

    #[test]
    fn a_mood_strikes_behind_its_token() {
        let cut = text(&played(Mood::Cut, 2, Pace::instant()));
        assert!(cut.contains(r#"" 2""#) && !cut.contains(r#"" 3""#) && cut.ends_with("Cut"), "{cut}");
        let late = text(&played(Mood::HangAfter, 99, Pace::instant()));
        assert!(late.contains(r#"" 3""#) && !late.contains("\"stop\"") && late.ends_with("Hang"), "{late}");
        let early = text(&played(Mood::ErrorInStream, 0, Pace::instant()));
        assert!(
            early.contains("assistant") && !early.contains(r#""1""#) && early.contains(r#""finish_reason":"error""#)
        );
        let malformed = text(&played(Mood::Malformed, 1, Pace::instant()));
        assert!(malformed.contains("\"del\n\n") && malformed.ends_with("[DONE]\n\n"));
    }

    #[test]
    fn a_mood_leaves_out_what_it_says() {
        let has = |mood| {
            let text = text(&played(mood, 0, Pace::instant()));
            (text.contains("prompt_tokens"), text.contains("[DONE]"), text.contains("\"stop\""))
        };
        assert_eq!(has(Mood::Well), (true, true, true));
        assert_eq!(has(Mood::NoUsage), (false, true, true));
        assert_eq!(has(Mood::NoDone), (true, false, true));
        assert_eq!(has(Mood::NoFinish), (true, true, false));
    }
}
