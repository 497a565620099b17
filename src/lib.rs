//! **gatewayz** serves the Anthropic Messages API from OpenAI-compatible providers, and shows how every
//! model is doing.

pub mod auth;
pub mod catalog;
pub mod commands;
pub mod config;
pub mod dispatch;
pub mod error;
pub mod handlers;
pub mod logging;
pub mod metrics;
pub mod providers;
pub mod routes;
pub mod simulator;
pub mod startup;
pub mod tokens;
pub mod translate;
pub mod wire;
