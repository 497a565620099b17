//! What requests in flight are expected to cost, and when a budget has no room for one more. Pure.
//!
//! Costs are known when an answer has ended. Until then the budget holds what the request is expected to cost, so that a
//! crowd that comes at once does not spend it many times over.

use super::ledger::{Experience, Ledger};
use super::refusal::Refusal;
use crate::catalog::ModelLabel;
use crate::config::KeyLimits;

/// What a request may cost by the price of its model, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Its input alone.
    pub input: f64,
    /// With as much output as it asks for.
    pub most: f64,
}

/// Costs that are added and taken away again are kept in billionths of a dollar: whole numbers come out without error.
const PER_DOLLAR: f64 = 1e9;

/// No more than Redis can count to a few times: a provider may say anything.
pub(super) fn billionths(dollars: f64) -> u64 {
    (dollars * PER_DOLLAR).round().min(1e18) as u64
}

pub(super) fn dollars(billionths: f64) -> f64 {
    billionths / PER_DOLLAR
}

/// What a request is expected to cost, in dollars; none when nothing at all is known.
///
/// With a price: that part of the most it may cost which those before it came to, and its input at least. Without one:
/// what those before it have cost on average, or, of a model that was never paid for and whose cost will be told, what the
/// dearest model did. Bounds of 0 are those of a model whose cost nobody tells.
pub(super) fn expected(ledger: &Ledger, model: ModelLabel, bounds: Option<Bounds>) -> Option<f64> {
    let mean = |experience: &Experience| experience.cost / experience.paid as f64;
    let paid = ledger.experience.get(&model).filter(|experience| experience.paid > 0);
    match (bounds, paid) {
        (Some(Bounds { input, most }), Some(paid)) if paid.most > 0.0 => {
            Some((paid.cost / paid.most * most).max(input))
        }
        (Some(bounds), None) => Some(bounds.most),
        (_, Some(paid)) => Some(mean(paid)),
        (None, None) if ledger.experience.contains_key(&model) => Some(0.0),
        (None, None) => {
            let paid = ledger.experience.values().filter(|experience| experience.paid > 0);
            paid.map(mean).reduce(f64::max)
        }
    }
}

/// More than is left of any budget of the key, so that it holds all of it, in dollars.
pub(super) fn whole(limits: &KeyLimits) -> f64 {
    limits.usd_per_day.into_iter().chain(limits.usd_per_month).fold(0.0, f64::max) + 1.0 / PER_DOLLAR
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

    const MODEL: ModelLabel = ModelLabel(1);
    const OTHER: ModelLabel = ModelLabel(2);

    #[test]
    fn with_a_price_a_part_of_the_most_is_expected_and_the_input_at_least() {
        let mut ledger = Ledger::default();
        let bounds = |input, most| Some(Bounds { input, most });
        assert_eq!(expected(&ledger, MODEL, bounds(1.0, 7.0)), Some(7.0));
        ledger.learn(MODEL, 0.0, 7.0, false);
        ledger.learn(MODEL, 0.0, 7.0, true);
        assert_eq!(expected(&ledger, MODEL, bounds(1.0, 7.0)), Some(7.0), "failures teach nothing");
        ledger.learn(MODEL, 2.0, 3.0, true);
        ledger.learn(MODEL, 1.0, 3.0, false);
        assert_eq!(expected(&ledger, MODEL, bounds(1.0, 8.0)), Some(4.0));
        assert_eq!(expected(&ledger, MODEL, bounds(5.0, 8.0)), Some(5.0));
        assert_eq!(expected(&ledger, OTHER, bounds(1.0, 8.0)), Some(8.0), "another model");
    }

    #[test]
    fn without_a_price_the_mean_is_expected_or_that_of_the_dearest_model() {
        let mut ledger = Ledger::default();
        assert_eq!(expected(&ledger, MODEL, None), None);
        ledger.learn(MODEL, 0.0, 0.0, false);
        assert_eq!(expected(&ledger, MODEL, None), None, "failures teach nothing");
        ledger.learn(OTHER, 0.0, 0.0, true);
        assert_eq!((expected(&ledger, OTHER, None), expected(&ledger, MODEL, None)), (Some(0.0), None), "free");
        ledger.learn(MODEL, 3.0, 0.0, true);
        ledger.learn(MODEL, 1.0, 0.0, true);
        ledger.learn(OTHER, 0.5, 0.0, true);
        assert_eq!((expected(&ledger, MODEL, None), expected(&ledger, OTHER, None)), (Some(2.0), Some(0.5)));
        assert_eq!(expected(&ledger, ModelLabel(3), None), Some(2.0));
    }

    #[test]
    fn the_whole_of_a_budget_leaves_nothing() {
        let limits = KeyLimits { usd_per_day: Some(1.0 / 3.0), usd_per_month: Some(2.0 / 3.0), ..KeyLimits::default() };
        let held = billionths(whole(&limits));
        assert_eq!(refusal(&limits, &Ledger::default(), held), Some(Refusal::DayHeld));
        let month = KeyLimits { usd_per_day: None, ..limits };
        assert_eq!(refusal(&month, &Ledger::default(), held), Some(Refusal::MonthHeld));
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
