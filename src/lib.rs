//! **gatewayz** serves the Anthropic Messages API from OpenAI-compatible providers, and shows how every
//! model is doing.

pub mod catalog;
pub mod config;
pub mod error;
pub mod metrics;
pub mod providers;
pub mod tokens;
pub mod translate;
pub mod wire;
