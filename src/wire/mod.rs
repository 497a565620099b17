//! The shapes on the wire and their framing: Anthropic's, OpenAI's, server-sent events.
//!
//! No policy lives here: what a field becomes on the other side is `translate`'s business.
//! Nothing in this module knows HTTP, actors, clocks or the environment.

pub mod anthropic;
pub mod cache;
pub mod depth;
pub mod json;
pub mod openai;
pub mod pieces;
pub mod prose;
pub mod sse;
pub mod text;
