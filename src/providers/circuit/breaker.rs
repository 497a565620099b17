//! When a model of a provider that keeps failing is left alone, and when it is tried again.
//!
//! Pure: the time is handed in.

use std::time::{Duration, Instant};

use crate::config::Breaker as Rules;

/// How finely the window moves on: a failure is forgotten after the window, or a tenth of it sooner.
const PARTS: u64 = 10;

/// What a call says about the health of who was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    Failing,
    /// Nothing, for example since the client hung up.
    Unknown,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    Call,
    /// It may, alone, to find out whether the others may again.
    Probe,
    /// Not for so long, as far as that is known.
    Refused(Duration),
}

/// As it is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

impl State {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::HalfOpen => "half-open",
            State::Open => "open",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open {
        until: Instant,
    },
    /// Since when there is a probe, if there is one.
    HalfOpen {
        probing: Option<Instant>,
    },
}

impl Breaker {
    pub(super) fn new(rules: Rules, now: Instant) -> Breaker {
        Breaker { rules, phase: Phase::Closed(Window::new(now)) }
    }

    /// Half-open also when the next call would be a probe.
    pub(super) fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Closed(_) => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Whether [`Breaker::admit`] would refuse now.
    pub(super) fn refusal(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } if now < until => Some(until - now),
            // How long the probe takes is unknown; one that hangs must not keep all others out.
            Phase::HalfOpen { probing: Some(since) } if now < since + self.rules.open_for => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// Asks for a call. Each one that is admitted must be followed by [`Breaker::record`].
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if let Some(wait) = self.refusal(now) {
            return Admission::Refused(wait);
        }
        match self.phase {
            Phase::Closed(_) => Admission::Call,
            Phase::Open { .. } | Phase::HalfOpen { .. } => {
                self.phase = Phase::HalfOpen { probing: Some(now) };
                Admission::Probe
            }
        }
    }

    /// Takes in how a call went. Calls that began before the circuit opened say nothing about a later time.
    pub(super) fn record(&mut self, verdict: Verdict, was_probe: bool, now: Instant) {
        let opens = match (&mut self.phase, verdict, was_probe) {
            (Phase::HalfOpen { .. }, Verdict::Healthy, true) => {
                self.phase = Phase::Closed(Window::new(now));
                false
            }
            (Phase::HalfOpen { .. }, Verdict::Failing, true) => true,
            (Phase::HalfOpen { probing }, Verdict::Unknown, true) => {
                *probing = None;
                false
            }
            (Phase::Closed(window), Verdict::Healthy | Verdict::Failing, _) => {
                window.count(verdict, self.rules.window, now);
                verdict == Verdict::Failing && window.is_failing(&self.rules)
            }
            _ => false,
        };
        if opens {
            self.phase = Phase::Open { until: now + self.rules.open_for };
        }
    }
}

/// Calls of the last while, in parts that are forgotten one after the other.
#[derive(Debug)]
struct Window {
    begun: Instant,
    parts: [Part; PARTS as usize],
    /// Failures since the last success, without a pause as long as the window.
    in_a_row: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Parts since the beginning.
    number: u64,
    healthy: u32,
    failing: u32,
}

impl Window {
    fn new(now: Instant) -> Window {
        Window { begun: now, parts: Default::default(), in_a_row: 0 }
    }

    fn count(&mut self, verdict: Verdict, length: Duration, now: Instant) {
        let part_length = (length.as_nanos() / u128::from(PARTS)).max(1);
        let number = (now.saturating_duration_since(self.begun).as_nanos() / part_length) as u64;
        for part in &mut self.parts {
            if part.number + PARTS <= number {
                *part = Part::default();
            }
        }
        if self.parts.iter().all(|part| part.failing == 0) {
            self.in_a_row = 0;
        }
        let part = &mut self.parts[(number % PARTS) as usize];
        part.number = number;
        match verdict {
            Verdict::Failing => {
                part.failing += 1;
                self.in_a_row += 1;
            }
            Verdict::Healthy | Verdict::Unknown => {
                part.healthy += 1;
                self.in_a_row = 0;
            }
        }
    }

    fn is_failing(&self, rules: &Rules) -> bool {
        let failing: u32 = self.parts.iter().map(|part| part.failing).sum();
        let all = failing + self.parts.iter().map(|part| part.healthy).sum::<u32>();
        let many = all >= rules.min_requests && f64::from(failing) >= rules.error_ratio * f64::from(all);
        // After a long healthy time the share of failures rises slowly, though nobody is answered any more.
        many || self.in_a_row >= rules.min_requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        window: Duration::from_secs(30),
        min_requests: 10,
        error_ratio: 0.5,
        open_for: Duration::from_secs(15),
    };

    struct Clock(Instant, Breaker);

    impl Clock {
        fn new() -> Clock {
            let now = Instant::now();
            Clock(now, Breaker::new(RULES, now))
        }

        fn passes(&mut self, seconds: f64) {
            self.0 += Duration::from_secs_f64(seconds);
        }

        fn calls(&mut self, count: u32, verdict: Verdict) {
            for _ in 0..count {
                assert_eq!(self.1.admit(self.0), Admission::Call);
                self.1.record(verdict, false, self.0);
            }
        }

        fn state(&self) -> State {
            self.1.state(self.0)
        }

        /// Opened by ten failures.
        fn open() -> Clock {
            let mut clock = Clock::new();
            clock.calls(10, Verdict::Failing);
            assert_eq!(clock.state(), State::Open);
            clock
        }
    }

    #[test]
    fn it_opens_at_the_ratio_and_not_before_the_least_number() {
        let mut clock = Clock::new();
        clock.calls(5, Verdict::Healthy);
        clock.calls(4, Verdict::Failing);
        assert_eq!(clock.state(), State::Closed, "9 calls prove nothing");
        clock.calls(1, Verdict::Failing);
        assert_eq!(clock.state(), State::Open, "5 of 10");
    }

    #[test]
    fn it_stays_closed_below_the_ratio() {
        let mut clock = Clock::new();
        for _ in 0..100 {
            clock.calls(3, Verdict::Healthy);
            clock.calls(2, Verdict::Failing);
        }
        assert_eq!(clock.state(), State::Closed);
    }

    #[test]
    fn failures_in_a_row_open_it_after_a_long_healthy_time() {
        let mut clock = Clock::new();
        clock.calls(1000, Verdict::Healthy);
        clock.calls(9, Verdict::Failing);
        assert_eq!(clock.state(), State::Closed);
        clock.calls(1, Verdict::Failing);
        assert_eq!(clock.state(), State::Open);
    }

    #[test]
    fn what_lies_before_the_window_is_forgotten() {
        let mut clock = Clock::new();
        clock.calls(9, Verdict::Failing);
        clock.calls(1, Verdict::Healthy);
        assert_eq!(clock.state(), State::Closed, "a success opens nothing");
        clock.passes(31.0);
        clock.calls(8, Verdict::Healthy);
        clock.calls(7, Verdict::Failing);
        assert_eq!(clock.state(), State::Closed, "7 of 15");
        clock.passes(28.0);
        clock.calls(1, Verdict::Failing);
        assert_eq!(clock.state(), State::Open, "8 of 16 within 30 s");
    }

    #[test]
    fn nothing_passes_while_it_is_open() {
        let mut clock = Clock::open();
        assert_eq!(clock.1.admit(clock.0), Admission::Refused(Duration::from_secs(15)));
        clock.passes(14.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Refused(Duration::from_secs(1)));
        // A stream from before the failures that ends well now.
        clock.1.record(Verdict::Healthy, false, clock.0);
        assert_eq!(clock.state(), State::Open);
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let mut clock = Clock::open();
        clock.passes(15.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
        assert_eq!(clock.state(), State::HalfOpen);
        assert_eq!(clock.1.admit(clock.0), Admission::Refused(Duration::ZERO));
        clock.1.record(Verdict::Failing, false, clock.0);
        assert_eq!(clock.state(), State::HalfOpen, "not the probe's");
        clock.1.record(Verdict::Failing, true, clock.0);
        assert_eq!(clock.state(), State::Open);
        clock.passes(15.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
        clock.1.record(Verdict::Healthy, true, clock.0);
        assert_eq!(clock.state(), State::Closed);
        clock.calls(9, Verdict::Failing);
        assert_eq!(clock.state(), State::Closed, "what was before is forgotten");
    }

    #[test]
    fn a_probe_that_says_nothing_lets_the_next_one_go() {
        let mut clock = Clock::open();
        clock.passes(15.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
        clock.1.record(Verdict::Unknown, true, clock.0);
        assert_eq!(clock.state(), State::HalfOpen);
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
    }

    #[test]
    fn a_probe_that_hangs_keeps_the_others_out_for_no_longer_than_the_circuit_was_open() {
        let mut clock = Clock::open();
        clock.passes(15.0);
        assert_eq!(clock.state(), State::HalfOpen, "the next call is a probe");
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
        clock.passes(14.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Refused(Duration::ZERO));
        clock.passes(1.0);
        assert_eq!(clock.1.admit(clock.0), Admission::Probe);
        clock.1.record(Verdict::Healthy, true, clock.0);
        assert_eq!(clock.state(), State::Closed);
    }

    #[test]
    fn failures_far_apart_are_no_row() {
        let mut clock = Clock::new();
        for _ in 0..30 {
            clock.calls(1, Verdict::Failing);
            clock.passes(40.0);
        }
        assert_eq!(clock.state(), State::Closed);
    }
}
