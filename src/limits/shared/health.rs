//! Whether Redis answers. Shared by all threads; the first that sees a change says so.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::config::OnBackendFailure;

/// One late answer may be chance; so many in a row are none.
const LATE_IN_A_ROW: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Health {
    on_failure: OnBackendFailure,
    up: AtomicBool,
    late: AtomicU32,
    failures: AtomicU64,
}

impl Health {
    pub(super) fn new(on_failure: OnBackendFailure) -> Health {
        Health { on_failure, up: AtomicBool::new(false), late: AtomicU32::new(0), failures: AtomicU64::new(0) }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A call was answered in time.
    pub(super) fn answered(&self) {
        self.late.store(0, Ordering::Relaxed);
    }

    /// A call was not answered in time.
    pub(super) fn late(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_IN_A_ROW {
            self.go_down("no answer in time");
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.go_down(why);
    }

    /// A call failed, though Redis is well.
    pub(super) fn refused(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn go_down(&self, why: &str) {
        if self.up.swap(false, Ordering::Relaxed) {
            self.say_away(why);
        }
    }

    /// One line: how it is meanwhile.
    pub(super) fn say_away(&self, why: &str) {
        let meanwhile = match self.on_failure {
            OnBackendFailure::Allow => "limits hold in this process alone",
            OnBackendFailure::Deny => "requests of keys with limits are refused",
        };
        log::warn!("Redis is away ({why}): until it is back, {meanwhile}");
    }

    /// It answers again; what was used meanwhile has been written.
    pub(super) fn go_up(&self) {
        self.late.store(0, Ordering::Relaxed);
        if !self.up.swap(true, Ordering::Relaxed) {
            log::info!("Redis answers: limits hold over all replicas");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_answer_is_chance_and_a_failure_is_none() {
        let health = Health::new(OnBackendFailure::Allow);
        health.go_up();
        health.late();
        health.late();
        health.answered();
        health.late();
        health.late();
        assert!(health.is_up());
        health.late();
        assert_eq!((health.is_up(), health.failures()), (false, 5));
        health.go_up();
        health.failed("refused");
        assert_eq!((health.is_up(), health.failures()), (false, 6));
    }
}
