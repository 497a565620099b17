//! `gatewayz demo`: gateway and simulator in one process, on loopback by default. No key, no network.

mod moods;
pub mod scenario;
mod traffic;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use secrecy::ExposeSecret;

use scenario::Drill;

use super::Outcome;
use crate::config::Provider;
use crate::config::load::{Loaded, load};
use crate::config::secrets::Environment;
use crate::simulator::{self, Pace};
use crate::startup::{Gateway, Options, ProcessSignals};

/// Keys of the demo, which guard nothing: it listens on loopback, and behind it is a simulator.
const DEMO_KEY: &str = "demo-key";
const DEMO_TOKEN: &str = "demo-token";
const DEFAULT_PORT: u16 = 8080;
/// The providers, in the order of a model's routes. Behind both is the one simulator.
const PROVIDERS: [&str; 2] = ["simulator", "simulator-spare"];

/// What the command line asks for.
pub struct Wishes {
    /// Where the gateway listens.
    pub host: IpAddr,
    /// Its port; by default `PORT`, or 8080.
    pub port: Option<u16>,
    /// Requests per second of traffic; none without.
    pub rate: Option<f64>,
    /// Trouble in the traffic.
    pub drill: Option<Drill>,
}

/// Runs the demo until a signal stops it.
pub fn run(environment: &Environment, wishes: Wishes) -> Outcome {
    let Wishes { host, port, rate, drill } = wishes;
    if rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1000.0)) {
        return Err("--rate must be above 0 and at most 1000".into());
    }
    for name in ["GATEWAYZ_API_KEYS", "METRICS_TOKEN"] {
        if !host.is_loopback() && !environment.contains_key(name) {
            return Err(
                format!("--host {host} is open to others: set {name}, since everybody knows that of the demo").into()
            );
        }
    }
    actix_rt::System::new().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let provider = listener.local_addr()?;
        let simulator = simulator::start(listener, Pace::default(), 1)?;
        let simulator_handle = simulator.handle();
        actix_rt::spawn(simulator);

        let signals = ProcessSignals::listen()?;
        let loaded = configured(environment, host, port, provider)?;
        let guest = Guest::of(&loaded);
        let models =
            loaded.settings.models.iter().map(|model| model.id.clone()).filter(|id| !id.ends_with('*')).collect();
        let gateway = Gateway::build(loaded, environment, Options::default())?;
        let address = gateway.address();
        guest.explain(reachable(address));
        if let Some(rate) = rate {
            let gateway = reachable(address);
            traffic::start(traffic::Plan { gateway, simulator: provider, key: guest.key, models, rate, drill });
        }
        gateway.run(signals).await?;
        simulator_handle.stop(false).await;
        Ok(())
    })
}

/// The shipped catalog, with the simulator behind every model.
fn configured(
    environment: &Environment,
    host: IpAddr,
    port: Option<u16>,
    provider: SocketAddr,
) -> Result<Loaded, Box<dyn std::error::Error>> {
    let mut environment = environment.clone();
    for variable in ["GATEWAYZ_CONFIG", "GATEWAYZ_CONFIG_TOML"] {
        environment.remove(variable);
    }
    let default = |name: &str, value: &str, environment: &mut Environment| {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    default("GATEWAYZ_API_KEYS", DEMO_KEY, &mut environment);
    default("METRICS_TOKEN", DEMO_TOKEN, &mut environment);
    default("PORT", &DEFAULT_PORT.to_string(), &mut environment);
    let mut loaded = load(None, &environment)?;
    let settings = &mut loaded.settings;
    settings.server.host = host.to_string();
    settings.server.port = port.unwrap_or(settings.server.port);
    settings.server.drain_notice = std::time::Duration::ZERO;
    let template = settings.providers.iter().find(|provider| provider.dialect == "openrouter").cloned();
    let template = template.ok_or_else(|| io::Error::other("the default configuration has lost OpenRouter"))?;
    let simulated = |name: &str| Provider {
        name: name.to_owned(),
        base_url: format!("http://{provider}/v1"),
        api_key_env: None,
        // Far more than the traffic asks for; bounded all the same, so that waiting is measured.
        max_concurrent: 400,
        ..template.clone()
    };
    settings.providers = PROVIDERS.map(simulated).into();
    for model in &mut settings.models {
        // With one route, a model that is named after a mood shows it and nothing else.
        let most = if model.id.ends_with('*') { 1 } else { PROVIDERS.len() };
        model.routes.truncate(most);
        for (route, name) in model.routes.iter_mut().zip(PROVIDERS) {
            route.provider = name.to_owned();
            route.weight = None;
        }
    }
    Ok(loaded)
}

/// Where a client on this machine finds a gateway that listens here.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    }
}

/// What somebody needs who wants to try the demo.
struct Guest {
    key: String,
    token: String,
}

impl Guest {
    fn of(loaded: &Loaded) -> Guest {
        let key = loaded.secrets.client_keys.first().map_or(DEMO_KEY, |key| key.expose_secret());
        let token = loaded.secrets.metrics_token.as_ref().map_or(DEMO_TOKEN, |token| token.expose_secret());
        Guest { key: key.to_owned(), token: token.to_owned() }
    }

    fn explain(&self, address: SocketAddr) {
        let Guest { key, token } = self;
        println!(
            r#"
gatewayz {version} is listening on http://{address}, with a simulator behind every model. Type next:

  # a message (add "stream": true for events)
  curl -s http://{address}/v1/messages \
    -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \
    -d '{{"model": "claude-sonnet-4-5-20250929", "max_tokens": 1024, "messages": [{{"role": "user", "content": "Hello, Claude!"}}]}}'

  # the Python SDK (pip install anthropic)
  from anthropic import Anthropic
  client = Anthropic(base_url="http://{address}", api_key="{key}")
  print(client.messages.create(model="claude-sonnet-4-5-20250929", max_tokens=1024,
        messages=[{{"role": "user", "content": "Hello, Claude!"}}]).content[0].text)

  # Claude Code
  ANTHROPIC_BASE_URL=http://{address} ANTHROPIC_AUTH_TOKEN={key} claude

  # the metrics
  curl -s http://{address}/metrics -H 'Authorization: Bearer {token}' | grep '^model_requests_total'

A model called simulate-rate-limit, simulate-hang, ... misbehaves as its name says: `gatewayz simulate --help` lists the moods.
Ctrl-C ends it.
"#,
            version = env!("CARGO_PKG_VERSION"),
        );
    }
}
