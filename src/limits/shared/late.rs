//! Calls that Redis answered too late: what it said, and what became of the request meanwhile, are brought together in
//! whichever order they come. Pure.

use std::collections::HashMap;

use super::LeaseId;
use super::messages::Reserve;

/// The calls that are under way, and those of which one of the two is not known yet.
#[derive(Debug, Default)]
pub(super) struct Late(HashMap<LeaseId, Call>);

#[derive(Debug)]
enum Call {
    /// Somebody waits for the answer, or says soon that nobody does.
    UnderWay,
    /// The request went its way without the answer.
    Decided(Became),
    /// Redis has answered.
    Answered(Reserve, Said),
}

/// What Redis said of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Counted,
    /// Nothing was taken.
    Refused,
    /// The call failed: it is taken for one that was heard, and left at that.
    Unknown,
}

/// What became of a request that did not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// It was let in by what this process knew.
    Admitted,
    /// It was refused, or its client has gone.
    Gone,
}

/// What Redis has to be told, since it decided otherwise.
#[derive(Debug, PartialEq)]
pub(super) enum Amends {
    /// It refused a request that was let in: count it.
    Count(Reserve),
    /// It let in a request that went without: give back what it took.
    GiveBack(Reserve),
}

impl Late {
    pub(super) fn asked(&mut self, lease: LeaseId) {
        self.0.insert(lease, Call::UnderWay);
    }

    /// The answer came in time.
    pub(super) fn heard(&mut self, lease: LeaseId) {
        self.0.remove(&lease);
    }

    /// The answer found nobody who waited for it.
    pub(super) fn answered(&mut self, reserve: Reserve, said: Said) -> Option<Amends> {
        let lease = reserve.lease;
        match self.0.remove(&lease) {
            Some(Call::Decided(became)) => amends(reserve, said, became),
            _ => {
                self.0.insert(lease, Call::Answered(reserve, said));
                None
            }
        }
    }

    /// The request went its way; nothing comes of it when it had heard its answer, or was never asked for.
    pub(super) fn decided(&mut self, lease: LeaseId, became: Became) -> Option<Amends> {
        let call = self.0.get_mut(&lease)?;
        match std::mem::replace(call, Call::Decided(became)) {
            Call::Answered(reserve, said) => {
                self.0.remove(&lease);
                amends(reserve, said, became)
            }
            Call::UnderWay | Call::Decided(_) => None,
        }
    }
}

fn amends(reserve: Reserve, said: Said, became: Became) -> Option<Amends> {
    match (became, said) {
        (Became::Admitted, Said::Refused) => Some(Amends::Count(reserve)),
        (Became::Gone, Said::Counted) => Some(Amends::GiveBack(reserve)),
        (Became::Admitted, Said::Counted) | (Became::Gone, Said::Refused) | (_, Said::Unknown) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyLimits;

    fn reserve(lease: u64) -> Reserve {
        Reserve { key: "key".into(), limits: KeyLimits::default(), input_tokens: 7, held: 0, lease: LeaseId(lease) }
    }

    #[test]
    fn both_orders_come_to_the_same() {
        for (became, said, expected) in [
            (Became::Admitted, Said::Refused, Some(Amends::Count(reserve(1)))),
            (Became::Admitted, Said::Counted, None),
            (Became::Admitted, Said::Unknown, None),
            (Became::Gone, Said::Counted, Some(Amends::GiveBack(reserve(1)))),
            (Became::Gone, Said::Refused, None),
            (Became::Gone, Said::Unknown, None),
        ] {
            let mut late = Late::default();
            late.asked(LeaseId(1));
            assert_eq!(late.decided(LeaseId(1), became), None, "nothing is known of Redis yet");
            assert_eq!(late.answered(reserve(1), said), expected);
            late.asked(LeaseId(1));
            assert_eq!(late.answered(reserve(1), said), None, "nothing is known of the request yet");
            assert_eq!(late.decided(LeaseId(1), became), expected);
            assert!(late.0.is_empty(), "nothing stays behind: {late:?}");
        }
    }

    #[test]
    fn whoever_was_answered_in_time_needs_no_amends() {
        let mut late = Late::default();
        late.asked(LeaseId(1));
        late.heard(LeaseId(1));
        assert_eq!(late.decided(LeaseId(1), Became::Gone), None, "it may end at any time");
        assert_eq!(late.decided(LeaseId(2), Became::Admitted), None, "nobody was asked");
        assert!(late.0.is_empty(), "{late:?}");
    }
}
