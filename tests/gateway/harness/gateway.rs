//! The gateway in a thread of its own, with a configuration written to a file.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;

use gatewayz::config::load::load;
use gatewayz::config::secrets::Environment;
use gatewayz::startup::{Gateway as Built, Options, Stop, StopSignals};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::exposition::Exposition;
use super::http::{Call, Request};
use super::message::{MODEL, UPSTREAM};
use super::scratch::Scratch;
use super::{PATIENCE, eventually};

/// Opens the API.
pub const CLIENT_KEY: &str = "gw_live_client0000000000000000000000000";
/// Opens the metrics.
pub const METRICS_TOKEN: &str = "metrics-token-of-the-tests";
/// What the gateway shows to every provider, and must never show to anybody else.
pub const PROVIDER_KEY: &str = "sk-provider-0123456789abcdef-secret";

/// A configuration in the making.
#[derive(Clone)]
pub struct Setup {
    sections: Vec<(&'static str, String)>,
    lists: String,
    environment: Environment,
}

impl Default for Setup {
    fn default() -> Self {
        let environment = [
            ("GATEWAYZ_API_KEYS", CLIENT_KEY),
            ("METRICS_TOKEN", METRICS_TOKEN),
            // Most tests script each exchange with the provider.
            ("GATEWAYZ__RETRY__MAX_ATTEMPTS", "1"),
        ];
        Setup { sections: Vec::new(), lists: String::new(), environment: Environment::default() }
            .in_section("server", "host = \"127.0.0.1\"\nport = 0\nworkers = 2")
            .with_environment(&environment)
    }
}

impl Setup {
    /// Lines of a section.
    pub fn in_section(mut self, section: &'static str, lines: &str) -> Setup {
        match self.sections.iter_mut().find(|(name, _)| *name == section) {
            Some((_, text)) => *text = format!("{text}\n{lines}"),
            None => self.sections.push((section, lines.to_owned())),
        }
        self
    }

    /// A provider of the generic dialect that has its key.
    pub fn provider(self, name: &str, url: &str) -> Setup {
        self.provider_with(name, url, "")
    }

    /// The same, with more lines.
    pub fn provider_with(mut self, name: &str, url: &str, lines: &str) -> Setup {
        let variable = format!("{}_KEY", name.to_uppercase());
        self.lists.push_str(&format!(
            "\n[[providers]]\nname = {name:?}\nbase_url = {url:?}\napi_key_env = {variable:?}\n{lines}\n"
        ));
        if !lines.contains("dialect") {
            self.lists.push_str("dialect = \"generic\"\n");
        }
        // Most tests have one provider fail again and again.
        if !lines.contains("breaker") {
            self.lists.push_str("breaker = { min_requests = 1000000 }\n");
        }
        self.with_environment(&[(&variable, PROVIDER_KEY)])
    }

    /// A model with routes to these providers; each calls it the same.
    pub fn model(mut self, id: &str, providers: &[&str], upstream: &str) -> Setup {
        let route = |provider: &&str| format!("{{ provider = {provider:?}, model = {upstream:?} }}");
        let routes: Vec<String> = providers.iter().map(route).collect();
        self.lists.push_str(&format!("\n[[models]]\nid = {id:?}\nroutes = [ {} ]\n", routes.join(", ")));
        self
    }

    /// Lines of the entry that was added last.
    pub fn with_lines(mut self, lines: &str) -> Setup {
        self.lists.push_str(&format!("{lines}\n"));
        self
    }

    pub fn with_environment(mut self, variables: &[(&str, &str)]) -> Setup {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    pub fn without_environment(mut self, variable: &str) -> Setup {
        self.environment.remove(variable);
        self
    }

    /// With retries, as these lines say.
    pub fn retrying(self, lines: &str) -> Setup {
        self.without_environment("GATEWAYZ__RETRY__MAX_ATTEMPTS").in_section("retry", lines)
    }

    /// The file as a user would write it.
    pub fn file(&self) -> Scratch {
        Scratch::toml(&self.text())
    }

    /// What stands in the file.
    pub fn text(&self) -> String {
        let section = |(name, lines): &(&str, String)| format!("[{name}]\n{lines}\n");
        let sections: String = self.sections.iter().map(section).collect();
        format!("{sections}{}", self.lists)
    }

    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Starts a gateway with it.
    pub fn start(&self) -> Gateway {
        self.start_with(Options::default())
    }

    /// Starts it though it has no key or token.
    pub fn start_insecure(&self) -> Gateway {
        self.start_with(Options { insecure: true })
    }

    /// Starts it with a file that is changed after it has been read, and before anything has started.
    pub fn start_while(&self, change: impl FnOnce(&Path) + Send + 'static) -> Gateway {
        self.launch(Options::default(), change)
    }

    fn start_with(&self, options: Options) -> Gateway {
        self.launch(options, |_| ())
    }

    fn launch(&self, options: Options, meanwhile: impl FnOnce(&Path) + Send + 'static) -> Gateway {
        let (file, environment) = (self.file(), self.environment.clone());
        let path = file.path().to_path_buf();
        let (stop, signals) = unbounded_channel();
        let (started, address) = mpsc::channel();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async {
                let loaded = load(Some(&path), &environment).unwrap_or_else(|mistakes| panic!("{mistakes}"));
                meanwhile(&path);
                let gateway = Built::build(loaded, &environment, options).unwrap();
                // The test may have given up.
                let _ = started.send(gateway.address());
                gateway.run(Signals(signals)).await.unwrap();
            });
        });
        let address = address.recv_timeout(PATIENCE).expect("the gateway starts");
        Gateway { address, stop, _file: file }
    }
}

/// Stops the gateway in place of the process's signals.
struct Signals(UnboundedReceiver<Stop>);

impl StopSignals for Signals {
    async fn next(&mut self) -> Stop {
        self.0.recv().await.unwrap_or(Stop::WithoutNotice)
    }
}

/// A running gateway, which ends with its test.
pub struct Gateway {
    pub address: SocketAddr,
    stop: UnboundedSender<Stop>,
    /// Gone with the test, and not with the gateway's thread, which the end of the process cuts short.
    _file: Scratch,
}

impl Gateway {
    /// With one provider, called `scripted`, for [`MODEL`].
    pub fn before(url: &str) -> Gateway {
        Gateway::setup(url).start()
    }

    /// The configuration of [`Gateway::before`].
    pub fn setup(url: &str) -> Setup {
        Setup::default().provider("scripted", url).model(MODEL, &["scripted"], UPSTREAM)
    }

    /// The same, with little patience: what a provider and a stream are given is counted in milliseconds.
    pub fn impatient(url: &str) -> Setup {
        Setup::default()
            .provider_with(
                "scripted",
                url,
                "first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\ntotal_timeout = \"5s\"",
            )
            .model(MODEL, &["scripted"], UPSTREAM)
    }

    /// A request without anything but what HTTP needs.
    pub fn bare(&self, method: &str, path: &str) -> Request {
        Request::new(self.address, method, path)
    }

    /// A request with the client's key.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.bare(method, path).header("x-api-key", CLIENT_KEY)
    }

    /// Sends a message.
    pub fn send(&self, body: &Value) -> Call {
        self.request("POST", "/v1/messages").json(body).send()
    }

    /// What the metrics say now.
    pub fn metrics(&self) -> Exposition {
        let bearer = format!("Bearer {METRICS_TOKEN}");
        let reply = self.bare("GET", "/metrics").header("authorization", &bearer).ask();
        assert_eq!(reply.status, 200, "{}", reply.text());
        Exposition::read(&reply.text())
    }

    /// Waits until the metrics say so.
    pub fn metrics_when(&self, what: &str, so: impl Fn(&Exposition) -> bool) -> Exposition {
        eventually(what, || Some(self.metrics()).filter(&so))
    }

    /// Tells it to stop, as a signal would.
    pub fn tell_to_stop(&self, urgency: Stop) {
        self.stop.send(urgency).expect("the gateway runs");
    }

    /// Waits until nobody listens any more.
    pub fn wait_until_closed(&self) {
        eventually("the end of the listener", || std::net::TcpStream::connect(self.address).is_err().then_some(()));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The first says stop, the second at once; it may have ended by itself.
        let _ = self.stop.send(Stop::WithoutNotice);
        let _ = self.stop.send(Stop::WithoutNotice);
    }
}
