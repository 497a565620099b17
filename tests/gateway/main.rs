//! The gateway as its clients see it: over real sockets, with a file for each thing that they can see.

mod bounded_calls;
mod broken_streams;
mod circuits;
mod command_line;
mod configuration;
mod connections;
mod crowd;
mod failures;
mod fallbacks;
mod hang_ups;
mod harness;
mod health;
mod hostile_bodies;
mod hostile_providers;
mod key_limits;
mod key_metrics;
mod keys;
mod logs;
mod max_inflight;
mod messages;
mod metrics;
mod metrics_guard;
mod models;
mod named_keys;
#[path = "../protocol/mod.rs"]
mod protocol;
mod refusals;
mod reload;
mod retries;
mod shutdown;
mod silence;
mod slow_clients;
mod smuggling;
mod streams;
mod tls;
mod token_counts;
