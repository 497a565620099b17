//! Changes of format between Anthropic Messages and OpenAI chat completions. Four verbs: [`request`],
//! [`response`], [`stream`], [`error`].
//!
//! Pure: no HTTP, actor, clock, log or environment, and no knowledge of *which* provider it is. How a
//! provider differs comes in as a [`dialect::Dialect`] value; ids and estimates are handed in.

mod client_tools;
mod content;
pub mod dialect;
pub mod dropped;
pub mod error;
pub mod invalid;
pub mod parse;
pub mod reasoning;
pub mod request;
pub mod response;
pub mod stop_reason;
pub mod stream;
mod strict;
pub mod tools;
pub mod usage;
pub mod validate;
