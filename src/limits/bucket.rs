//! So much for each minute, refilled continuously. Pure: the time is handed in.

use std::time::{Duration, Instant};

const MINUTE: f64 = 60.0;

/// See the module. It holds a whole minute's worth when full.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    size: f64,
    /// Below 0 when more was used than had been reserved.
    level: f64,
    at: Instant,
}

/// How a bucket stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    pub limit: u64,
    pub remaining: u64,
    /// Until it is full again.
    pub full_in: Duration,
}

impl Bucket {
    pub(super) fn full(per_minute: u64, now: Instant) -> Bucket {
        Bucket { size: per_minute as f64, level: per_minute as f64, at: now }
    }

    /// From now on it holds and refills so much. What was missing is missing still.
    pub(super) fn resize(&mut self, per_minute: u64, now: Instant) {
        self.refill(now);
        self.level += per_minute as f64 - self.size;
        self.size = per_minute as f64;
    }

    /// How long until so much could be taken; nothing, when it can be now. No more than its size is ever asked for:
    /// whoever wants more than a minute's worth waits until it is full.
    pub(super) fn wait_for(&mut self, amount: f64, now: Instant) -> Duration {
        self.refill(now);
        self.seconds_for(amount.min(self.size) - self.level)
    }

    pub(super) fn take(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        self.level -= amount;
    }

    pub(super) fn give_back(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        self.level = (self.level + amount).min(self.size);
    }

    /// So much is missing, as somebody else counts.
    pub(super) fn miss(&mut self, amount: f64, now: Instant) {
        self.level = (self.size - amount).min(self.size);
        self.at = self.at.max(now);
    }

    pub(super) fn level(&mut self, now: Instant) -> Level {
        self.refill(now);
        Level {
            limit: self.size as u64,
            remaining: self.level.max(0.0) as u64,
            full_in: self.seconds_for(self.size - self.level),
        }
    }

    fn seconds_for(&self, missing: f64) -> Duration {
        Duration::try_from_secs_f64(missing.max(0.0) * MINUTE / self.size).unwrap_or(Duration::MAX)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.size / MINUTE).min(self.size);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn it_refills_continuously_and_not_above_its_size() {
        let now = Instant::now();
        let mut bucket = Bucket::full(60, now);
        for _ in 0..60 {
            assert_eq!(bucket.wait_for(1.0, now), Duration::ZERO);
            bucket.take(1.0, now);
        }
        assert_eq!(bucket.wait_for(1.0, now), seconds(1.0));
        let later = now + seconds(0.5);
        assert_eq!(bucket.wait_for(1.0, later), seconds(0.5));
        assert_eq!(bucket.wait_for(1.0, now + seconds(1.0)), Duration::ZERO);
        let level = bucket.level(now + seconds(3600.0));
        assert_eq!((level.remaining, level.full_in), (60, Duration::ZERO));
    }

    #[test]
    fn who_wants_more_than_there_can_be_waits_until_it_is_full() {
        let now = Instant::now();
        let mut bucket = Bucket::full(100, now);
        assert_eq!(bucket.wait_for(500.0, now), Duration::ZERO);
        bucket.take(500.0, now);
        assert_eq!(bucket.level(now).remaining, 0);
        assert_eq!(bucket.wait_for(1.0, now), seconds(240.6));
        bucket.give_back(450.0, now);
        assert_eq!(bucket.level(now).remaining, 50);
        bucket.give_back(1000.0, now);
        assert_eq!(bucket.level(now).remaining, 100);
    }

    #[test]
    fn what_is_missing_does_not_come_back_with_another_size() {
        let now = Instant::now();
        let mut bucket = Bucket::full(60, now);
        bucket.take(60.0, now);
        let later = now + seconds(10.0);
        bucket.resize(600, later);
        assert_eq!((bucket.level(later).limit, bucket.level(later).remaining), (600, 550), "10 had come back");
        bucket.resize(30, later);
        assert_eq!(bucket.level(later).remaining, 0);
        assert_eq!(bucket.wait_for(1.0, later), seconds(42.0), "20 too many, and one");
    }
}
