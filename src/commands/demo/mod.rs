//! `gatewayz demo`: gateway and simulator in one process, on loopback. No key, no network.

mod traffic;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use secrecy::ExposeSecret;

use super::Outcome;
use crate::config::load::{Loaded, load};
use crate::config::secrets::Environment;
use crate::config::{Provider, Route};
use crate::simulator::{self, Pace};
use crate::startup::{Gateway, Options, ProcessSignals};

/// Keys of the demo, which guard nothing: it listens on loopback, and behind it is a simulator.
const DEMO_KEY: &str = "demo-key";
const DEMO_TOKEN: &str = "demo-token";
const DEFAULT_PORT: u16 = 8080;
const SIMULATOR: &str = "simulator";

/// Runs the demo until a signal stops it; `rate` is that of the traffic, in requests per second.
pub fn run(environment: &Environment, port: Option<u16>, rate: Option<f64>) -> Outcome {
    if rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1000.0)) {
        return Err("--rate must be above 0 and at most 1000".into());
    }
    actix_rt::System::new().block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let provider = listener.local_addr()?;
        let simulator = simulator::start(listener, Pace::default(), 1)?;
        let simulator_handle = simulator.handle();
        actix_rt::spawn(simulator);

        let signals = ProcessSignals::listen()?;
        let loaded = configured(environment, port, provider)?;
        let guest = Guest::of(&loaded);
        let models =
            loaded.settings.models.iter().map(|model| model.id.clone()).filter(|id| !id.ends_with('*')).collect();
        let gateway = Gateway::build(loaded, environment, Options::default())?;
        let address = gateway.address();
        guest.explain(address);
        if let Some(rate) = rate {
            traffic::start(traffic::Plan { gateway: address, simulator: provider, key: guest.key, models, rate });
        }
        gateway.run(signals).await?;
        simulator_handle.stop(false).await;
        Ok(())
    })
}

/// The shipped catalog, with the simulator behind every model.
fn configured(
    environment: &Environment,
    port: Option<u16>,
    provider: SocketAddr,
) -> Result<Loaded, Box<dyn std::error::Error>> {
    let mut environment = environment.clone();
    environment.remove("GATEWAYZ_CONFIG");
    let default = |name: &str, value: &str, environment: &mut Environment| {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    default("GATEWAYZ_API_KEYS", DEMO_KEY, &mut environment);
    default("METRICS_TOKEN", DEMO_TOKEN, &mut environment);
    default("PORT", &DEFAULT_PORT.to_string(), &mut environment);
    let mut loaded = load(None, &environment)?;
    let settings = &mut loaded.settings;
    settings.server.host = Ipv4Addr::LOCALHOST.to_string();
    settings.server.port = port.unwrap_or(settings.server.port);
    settings.server.drain_notice = std::time::Duration::ZERO;
    let template = settings.providers.iter().find(|provider| provider.dialect == "openrouter").cloned();
    let template = template.ok_or_else(|| io::Error::other("the default configuration has lost OpenRouter"))?;
    settings.providers = vec![Provider {
        name: SIMULATOR.to_owned(),
        base_url: format!("http://{provider}/v1"),
        api_key_env: None,
        ..template
    }];
    for model in &mut settings.models {
        let upstream = model.routes.first().map_or_else(|| "*".to_owned(), |route| route.model.clone());
        model.routes = vec![Route { provider: SIMULATOR.to_owned(), model: upstream, weight: None }];
    }
    Ok(loaded)
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
