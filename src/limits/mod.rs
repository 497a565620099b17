//! What each key may use, and what it has used: rates, calls at once, budgets.

mod bucket;
mod ledger;
pub mod meter;
