//! What each key may use, and what it has used: rates, calls at once, budgets.
//!
//! A [`meter`] holds both for one key of this process. Over several replicas Redis decides (`shared`), and the meter
//! remembers what it said last: that is what holds while Redis is away.

mod bucket;
mod budget;
mod ledger;
pub mod meter;
mod refusal;
pub mod shared;
mod state;
