//! The Messages API as its official SDKs type it (`anthropic` 2.12 for Python, `@anthropic-ai/sdk`).

pub mod message;
pub mod order;
pub mod request;
