//! Building the gateway from its configuration, and running it until it is told to stop.
//!
//! Build is apart from run, so that tests can ask which port was taken.

mod write_timeout;

mod guard;
mod reload;
mod stop;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::prelude::*;
use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App as WebApp, HttpServer, web};
use actix_web_prom::{ActixMetricsConfiguration, PrometheusMetrics, PrometheusMetricsBuilder};
use prometheus::Registry;
use prometheus::process_collector::ProcessCollector;
use secrecy::ExposeSecret;
use tokio::sync::{Semaphore, oneshot};

pub use self::guard::report;
use self::guard::{no_keys, refuse_to_be_open};
use self::reload::Reload;
use self::stop::{Drain, stop_in_order};
pub use self::stop::{ProcessSignals, Stop, StopSignals};
use crate::auth::{KeyRing, MetricsToken};
use crate::catalog::Catalog;
use crate::config::load::Loaded;
use crate::config::secrets::{Environment, Secrets};
use crate::config::{Settings, Stream};
use crate::dispatch::closing::Closing;
use crate::dispatch::{Dispatcher, StreamRules, random_id};
use crate::handlers::{App, connection, limits, methods, request_id};
use crate::limits::meter::Meters;
use crate::limits::shared::Shared;
use crate::metrics::actor::{Build, Collect, Conclude, Metrics};
use crate::metrics::emitter::Emitter;
use crate::metrics::families::latency_seconds;
use crate::providers::circuit::Circuits;
use crate::providers::{self, Directory, Providers};
use crate::routes;
use crate::translate::reasoning::Signer;
use crate::translate::stream::Bounds;

/// After `server.drain`, open streams are told that they end, and given so long to tell their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Clients that keep a connection idle are given longer than Railway's edge (60 s) gives them.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Serve without client keys or metrics token, on loopback.
    pub insecure: bool,
}

/// A gateway that has its port and is ready to run.
pub struct Gateway {
    server: Server,
    address: SocketAddr,
    draining: Arc<AtomicBool>,
    drain: Drain,
    reload: Reload,
    /// What must be written at the end.
    limits: Option<Arc<Shared>>,
    metrics: Addr<Metrics>,
    /// Keeps the metrics actor's thread.
    metrics_arbiter: Arbiter,
}

impl Gateway {
    /// Starts actors and binds the port. Fails with what must be set when a secret is missing.
    pub fn build(loaded: Loaded, environment: &Environment, options: Options) -> io::Result<Gateway> {
        let Loaded { settings, secrets, file, .. } = loaded;
        refuse_to_be_open(&settings, &secrets, options)?;
        let (catalog, directory) = outfit(&settings, &secrets)?;
        report(&settings, &catalog);

        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).map_err(io::Error::other)?;
        let http_metrics = http_metrics(&registry)?;
        let build = build_info(environment);
        let circuits = Arc::new(Circuits::new(&settings, catalog.clone()));
        let readings = circuits.clone();
        let readings = Box::new(move || readings.readings());
        let meters = Arc::new(match &secrets.redis_url {
            Some(url) => {
                let shared = Shared::start(url, settings.limits.on_backend_failure, catalog.clone());
                Meters::over(Arc::new(
                    shared.map_err(|why| io::Error::other(format!("REDIS_URL cannot be used: {why}")))?,
                ))
            }
            None => Meters::default(),
        });
        let open = no_keys(&settings, &secrets);
        let keys = Arc::new(KeyRing::new(&secrets.client_keys, &settings.auth, open, meters.clone()));
        let mut metrics = Metrics::new(registry, catalog.clone(), readings, &build).map_err(io::Error::other)?;
        if settings.metrics.per_key {
            metrics = metrics.by_key(meters.clone()).map_err(io::Error::other)?;
        }
        if let Some(shared) = meters.shared().cloned() {
            metrics = metrics.limits_backend(Box::new(move || shared.reading())).map_err(io::Error::other)?;
        }
        let metrics_arbiter = Arbiter::new();
        let metrics = Metrics::start_in_arbiter(&metrics_arbiter.handle(), |_| metrics);

        let signature_key =
            secrets.signature_key.as_ref().map_or_else(|| random_id(""), |key| key.expose_secret().to_owned());
        let signer = Arc::new(Signer::new(signature_key.as_bytes()));
        let metrics_token = Arc::new(MetricsToken::new(secrets.metrics_token.as_ref()));
        let draining = Arc::new(AtomicBool::new(false));
        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let counting = Arc::new(Semaphore::new((workers / 2).max(1)));
        let inflight = Arc::new(Semaphore::new(settings.server.max_inflight.min(Semaphore::MAX_PERMITS)));
        let listener = listen(&settings)?;
        let address = listener.local_addr()?;
        let server = settings.server.clone();
        let (closing_sender, closing) = Closing::new();
        let drain = Drain { notice: server.drain_notice, open: server.drain, closing: closing_sender };
        let reload = Reload {
            hangups: reload::hangups(),
            file,
            environment: environment.clone(),
            options,
            running: settings.clone(),
            catalog: catalog.clone(),
            keys: keys.clone(),
            metrics: metrics.clone(),
        };
        let flag = draining.clone();
        let metrics_actor = metrics.clone();
        let limits = meters.shared().cloned();
        let factory = move || {
            let emitter = Emitter::start(metrics.clone());
            let dispatcher = Rc::new(Dispatcher {
                catalog: catalog.clone(),
                providers: Providers::start(&directory, circuits.clone(), &emitter),
                emitter,
                signer: signer.clone(),
                unsupported: settings.translation.unsupported,
                stream: stream_rules(&settings.stream),
                retry: settings.retry,
                closing: closing.clone(),
            });
            let app = App {
                dispatcher,
                keys: keys.clone(),
                meters: meters.clone(),
                metrics_token: metrics_token.clone(),
                metrics: metrics.clone(),
                counting: counting.clone(),
                inflight: inflight.clone(),
                draining: flag.clone(),
                max_body: bytes(settings.server.max_body),
                body_timeout: settings.server.client_body_timeout,
            };
            WebApp::new()
                .app_data(web::Data::new(app))
                // The last one is the first that a request meets.
                .wrap(http_metrics.clone())
                .wrap(from_fn(limits::tell))
                .wrap(from_fn(methods::known))
                .wrap(from_fn(connection::end))
                .wrap(from_fn(request_id::assign))
                .configure(routes::table)
        };
        let server = HttpServer::new(factory)
            .workers(workers)
            .max_connections(server.max_connections.div_ceil(workers))
            .client_request_timeout(server.client_header_timeout)
            .keep_alive(KEEP_ALIVE)
            .on_connect(write_timeout::on_connect(server.client_write_timeout))
            .tcp_nodelay(true)
            // Otherwise a client that hangs up would not stop the call that the provider bills.
            .h1_allow_half_closed(false)
            .shutdown_timeout((server.drain + LAST_WORDS).as_secs_f64().ceil() as u64)
            .disable_signals()
            .listen(listener)?
            .run();
        Ok(Gateway { server, address, draining, drain, reload, limits, metrics: metrics_actor, metrics_arbiter })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it from outside.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until `stop` says so: first notice is given with the listener open, then open requests end. When
    /// `stop` says so again, everything ends at once.
    pub async fn run(self, stop: impl StopSignals) -> io::Result<()> {
        let handle = self.server.handle();
        let result = tokio::select! {
            result = apart(self.server) => result,
            never = self.reload.watch() => match never {},
            () = stop_in_order(stop, handle, self.draining, self.drain) => Ok(()),
        };
        // Workers hand over what they hold when they end; those that have not ended yet are asked.
        if let Some(limits) = self.limits {
            limits.conclude().await;
        }
        let _ = self.metrics.send(Collect).await;
        let _ = self.metrics.send(Conclude).await;
        self.metrics_arbiter.stop();
        result
    }
}

/// Runs the server on a thread that has no actix system, where it gives every worker a runtime of tokio's that is local
/// as a whole. Under a system each worker would be a `LocalSet`, which wakes its own thread through the kernel, with a
/// write and another wait, whenever a socket is ready.
async fn apart(server: Server) -> io::Result<()> {
    let (ending, ended) = oneshot::channel();
    // Dropped with this future, and then the server ends.
    let (_here, gone) = oneshot::channel::<()>();
    std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let served = runtime.and_then(|runtime| {
            runtime.block_on(async {
                tokio::select! {
                    result = server => result,
                    _ = gone => Ok(()),
                }
            })
        });
        let _ = ending.send(served);
    })?;
    ended.await.unwrap_or_else(|_| Err(io::Error::other("the server's thread broke down")))
}

/// The models and the providers that can be called. Fails when a provider's file of roots cannot be used.
pub fn outfit(settings: &Settings, secrets: &Secrets) -> io::Result<(Arc<Catalog>, Directory)> {
    let has_key = |name: &str| {
        let provider = settings.providers.iter().find(|provider| provider.name == name);
        provider.is_some_and(|provider| provider.api_key_env.is_none() || secrets.provider_keys.contains_key(name))
    };
    let catalog = Arc::new(Catalog::new(settings, has_key));
    let directory = providers::directory(settings, secrets, &catalog).map_err(io::Error::other)?;
    Ok((catalog, directory))
}

/// HTTP metrics of the middleware, in our registry.
fn http_metrics(registry: &Registry) -> io::Result<PrometheusMetrics> {
    PrometheusMetricsBuilder::new("gateway")
        .registry(registry.clone())
        .buckets(&latency_seconds())
        .mask_unmatched_patterns("unmatched")
        .metrics_configuration(
            ActixMetricsConfiguration::default().http_requests_duration_seconds_name("http_request_duration_seconds"),
        )
        .build()
        .map_err(io::Error::other)
}

fn build_info(environment: &Environment) -> Build {
    let get = |name: &str| environment.get(name).cloned().unwrap_or_default();
    Build {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("GATEWAYZ_REVISION").map_or_else(|| get("RAILWAY_GIT_COMMIT_SHA"), str::to_owned),
        replica: get("RAILWAY_REPLICA_ID"),
    }
}

fn listen(settings: &Settings) -> io::Result<TcpListener> {
    let host: IpAddr = settings.server.host.parse().map_err(io::Error::other)?;
    let address = SocketAddr::new(host, settings.server.port);
    TcpListener::bind(address).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {address}: {error}; set PORT or server.port to a free port"),
        )
    })
}

fn stream_rules(stream: &Stream) -> StreamRules {
    StreamRules {
        ping_interval: stream.ping_interval,
        commit_after: stream.commit_after,
        max_line: bytes(stream.max_line),
        bounds: Bounds { tool_buffer: bytes(stream.max_tool_buffer) },
    }
}

fn bytes(size: bytesize::ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}
