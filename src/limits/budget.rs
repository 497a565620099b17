//! What requests in flight are expected to cost, and when a budget has no room for one more. Pure.
//!
//! Costs are known when an answer has ended. Until then the budget holds what the request is expected to cost, so that a
//! crowd that comes at once does not spend it many times over.

use super::ledger::{Ledger, Used};
use super::refusal::Refusal;
use crate::config::KeyLimits;

/// Costs that are added and taken away again are kept in billionths of a dollar: whole numbers come out without error.
const PER_DOLLAR: f64 = 1e9;

/// No more than Redis can count to a few times: a provider may say anything.
pub(super) fn billionths(dollars: f64) -> u64 {
    (dollars * PER_DOLLAR).round().min(1e18) as u64
}

pub(super) fn dollars(billionths: f64) -> f64 {
    billionths / PER_DOLLAR
}

/// What a request is expected to cost, in dollars: what those before it have cost on average, failures apart, or the most
/// that it may, where nothing has been paid yet.
pub(super) fn expected(before: Option<&Used>, most: f64) -> f64 {
    let mean = |used: &Used| used.cost / used.requests.saturating_sub(used.errors).max(1) as f64;
    before.filter(|used| used.cost > 0.0).map_or(most, mean)
}

/// Whether a budget is spent, or would be with the billionths that are held. Where nothing is held, whoever finds a rest
/// is let in: the last request may cost more than that.
pub(super) fn refusal(limits: &KeyLimits, ledger: &Ledger, held: u64) -> Option<Refusal> {
    let held = dollars(held as f64);
    let day = limits.usd_per_day.map(|budget| (budget, ledger.day.spent));
    let month = limits.usd_per_month.map(|budget| (budget, ledger.month.spent));
    let is_full = |budget: Option<(f64, f64)>, held: f64| budget.is_some_and(|(budget, spent)| spent + held >= budget);
    [
        (day, 0.0, Refusal::DaySpent),
        (month, 0.0, Refusal::MonthSpent),
        (day, held, Refusal::DayHeld),
        (month, held, Refusal::MonthHeld),
    ]
    .into_iter()
    .find_map(|(budget, held, refusal)| is_full(budget, held).then_some(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_survive_being_whole_numbers() {
        for cost in [0.0, 1e-9, 0.1, 1.3, 2.6, 12_345.678_9] {
            assert_eq!(dollars(billionths(cost) as f64), cost);
        }
    }

    #[test]
    fn what_is_expected_is_what_was_paid_before() {
        let used = |requests, cost| Used { requests, cost, ..Used::default() };
        assert_eq!(expected(None, 7.0), 7.0);
        assert_eq!(expected(Some(&used(4, 2.0)), 7.0), 0.5);
        assert_eq!(expected(Some(&Used { errors: 2, ..used(4, 2.0) }), 7.0), 1.0);
        assert_eq!(expected(Some(&used(4, 0.0)), 7.0), 7.0, "failures teach nothing");
    }

    #[test]
    fn spent_is_told_from_held() {
        let limits = KeyLimits { usd_per_day: Some(2.0), usd_per_month: Some(10.0), ..KeyLimits::default() };
        let mut ledger = Ledger::default();
        ledger.month.spent = 8.0;
        assert_eq!(refusal(&limits, &ledger, billionths(1.9)), None);
        assert_eq!(refusal(&limits, &ledger, billionths(2.0)), Some(Refusal::DayHeld));
        ledger.month.spent = 9.0;
        assert_eq!(refusal(&limits, &ledger, billionths(1.0)), Some(Refusal::MonthHeld));
        ledger.day.spent = 2.0;
        assert_eq!(refusal(&limits, &ledger, billionths(1.0)), Some(Refusal::DaySpent));
        ledger.day.spent = 0.0;
        ledger.month.spent = 10.0;
        assert_eq!(refusal(&limits, &ledger, billionths(5.0)), Some(Refusal::MonthSpent), "waiting is no use");
    }
}
