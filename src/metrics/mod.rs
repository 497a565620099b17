//! How every model is doing: observations go in, the exposition format comes out.
//!
//! Each worker has an [`emitter`], which sends batches to the one metrics [`actor`]; a scrape makes every
//! emitter hand over what it holds, so that figures are exact. What does not belong here: prompts, bodies,
//! keys, and any label value that is a client's text.

pub mod actor;
pub mod by_key;
pub mod emitter;
pub mod families;
pub mod observation;
