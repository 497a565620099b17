//! **gatewayz** serves the Anthropic Messages API from OpenAI-compatible providers, and shows how every
//! model is doing.
//!
//! # The way of a request
//!
//! ```text
//! client ─▶ handlers ─▶ dispatch ─────────────▶ providers::actor ─▶ its pool ─▶ provider
//!            key, body    parse, catalog,         one for each
//!                         validate, limits,       provider and worker
//!                         routes, retries
//!                            │    ▲                                              │
//!                            ▼    └──── translate::{response, stream, error} ◀───┘
//! client ◀─ handlers ◀─ dispatch::relay
//!                            └─▶ metrics::emitter ─batches─▶ metrics::actor ─▶ GET /metrics
//! ```
//!
//! Modules use those below them: startup → handlers → dispatch → providers → translate → wire.
//!
//! | room | must not know |
//! |---|---|
//! | `handlers` | OpenAI's types, awc, prometheus, the keys of providers |
//! | `catalog`, `dispatch::rules` | HTTP, actors, JSON |
//! | `limits` | HTTP, providers, what was asked |
//! | `providers` | actix-web's requests and responses, prometheus, how a field is mapped |
//! | `translate`, `wire` | actix, awc, tokio, clock, environment, logging, *which* provider it is |
//! | `metrics` | prompts, bodies, keys; any label that is a client's text |

// The process: what the command line does, what is configured, how it starts.
pub mod commands;
pub mod config;
pub mod logging;
pub mod startup;

// The way of a request, in the order in which it meets them.
pub mod routes;

pub mod auth;
pub mod handlers;
pub mod limits;

pub mod catalog;
pub mod dispatch;

pub mod providers;

pub mod alarm;
pub mod error;
pub mod tokens;
pub mod translate;
pub mod wire;

// Beside it.
pub mod metrics;
pub mod simulator;
