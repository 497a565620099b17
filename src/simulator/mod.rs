//! An OpenAI-compatible provider that thinks of nothing and can fail in every way that providers do.
//!
//! It serves the demo, the tests and the alert drills. What it says depends on the request alone (`brain`); how
//! it behaves depends on its mood (`moods`), which a model's name or `PUT /simulator/moods/{model}` asks for.
//!
//! The way of a request: `chat` reads it (`validate`, `request`), `brain` thinks of an answer (`say`, `tools`,
//! `schema`), `completion` or `chunks` writes it down, `script` sets it in time and spoils it as the mood
//! says, `play` sends it.

mod answer;
mod brain;
mod chat;
mod chunks;
mod completion;
mod control;
mod envelope;
mod failures;
mod hints;
mod mood_table;
mod moods;
mod pieces;
mod play;
mod request;
mod say;
mod schema;
mod script;
mod state;
#[cfg(test)]
mod tests;
mod tools;
mod validate;
mod validate_messages;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::KeepAlive;
use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

pub use moods::moods_help;

use state::Shared;

const LARGEST_BODY: usize = 64 << 20;
const MOST_CONNECTIONS: usize = 100_000;
const IDLE_CONNECTION: Duration = Duration::from_secs(75);
/// Streams that hang would otherwise hold a graceful stop for the server's default of 30 s.
const SHUTDOWN_SECONDS: u64 = 2;
const PREFIXES: &[&str] = &["/v1", "", "/api/v1"];

/// How fast the simulator answers when no mood says otherwise.
#[derive(Debug, Clone)]
pub struct Pace {
    /// From the request to the first token.
    pub first_token: Duration,
    /// The speed from then on; zero or less, or infinity, for no waiting.
    pub tokens_per_second: f64,
}

impl Pace {
    /// No waiting at all.
    pub fn instant() -> Self {
        Pace { first_token: Duration::ZERO, tokens_per_second: f64::INFINITY }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first_token: Duration::from_millis(20), tokens_per_second: 400.0 }
    }
}

/// What a strict provider would say against the body of a chat completion request; nothing when it would take it.
pub fn objection(body: &serde_json::Value) -> Option<String> {
    validate::check(body).err().map(|fault| fault.message)
}

/// Serves on a listener with so many threads. The caller awaits the server or stops it, and handles signals.
pub fn start(listener: TcpListener, pace: Pace, workers: usize) -> std::io::Result<Server> {
    let shared = Arc::new(Shared::new(pace));
    let server = HttpServer::new(move || {
        let shared = Data::from(shared.clone());
        App::new().configure(move |config| routes(config, shared))
    })
    .workers(workers.max(1))
    .max_connections(MOST_CONNECTIONS)
    .keep_alive(KeepAlive::Timeout(IDLE_CONNECTION))
    .tcp_nodelay(true)
    // Without this, the end of a client that hangs up is not noticed while an answer is under way.
    .h1_allow_half_closed(false)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

fn routes(config: &mut ServiceConfig, shared: Data<Shared>) {
    config.app_data(shared).app_data(PayloadConfig::new(LARGEST_BODY));
    for prefix in PREFIXES {
        let path = |rest: &str| web::resource(format!("{prefix}{rest}")).default_service(web::to(not_found));
        config.service(path("/chat/completions").route(web::post().to(chat::chat)));
        config.service(path("/models").route(web::get().to(control::models)));
    }
    let path = |path: &str| web::resource(path.to_owned()).default_service(web::to(not_found));
    config
        .service(path("/simulator/moods").route(web::get().to(control::list)))
        .service(
            path("/simulator/moods/{model:.*}")
                .route(web::put().to(control::set))
                .route(web::delete().to(control::clear)),
        )
        .service(path("/simulator/stats").route(web::get().to(control::stats)))
        .default_service(web::to(not_found));
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let message = format!("Unknown request URL: {} {}.", request.method(), request.path());
    failures::not_found(&message, "unknown_url")
}
