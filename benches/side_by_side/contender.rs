//! What is compared: the provider asked directly, nginx, gateways. Each is configured and started here.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gatewayz::auth::hex_digest;
use gatewayz::translate::dialect::Dialect;
use gatewayz::translate::dropped::Unsupported;
use gatewayz::translate::parse;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::request::{Target, request};
use serde_json::Map;

use super::case::{Answer, Case};
use super::process::{Cores, Process};
use super::provider::Provider;

/// A client's key without limits.
const KEY: &str = "bench-key";
/// One with limits.
const LIMITED_KEY: &str = "bench-limited-key";

const PATIENCE: Duration = Duration::from_secs(20);

/// What a contender is, and how it is started.
#[derive(Debug, Clone)]
pub enum Kind {
    /// No one between load and provider.
    Direct,
    /// `proxy_pass`: bytes are copied.
    Nginx,
    /// A binary of this project.
    Gatewayz(PathBuf),
    /// Whatever else serves `POST /v1/messages` at an address, and how it is started.
    Other { address: SocketAddr, command: String },
}

/// A contender by its name.
#[derive(Debug, Clone)]
pub struct Contender {
    pub name: String,
    pub kind: Kind,
}

/// A contender that can be asked.
pub struct Running {
    pub contender: Contender,
    pub address: SocketAddr,
    /// None where there is nobody to measure.
    pub process: Option<Process>,
}

impl Contender {
    /// Starts it before this provider; its files are in `folder`.
    pub fn start(&self, provider: &Provider, cores: Cores, folder: &Path) -> io::Result<Running> {
        let folder = folder.join(&self.name);
        fs::create_dir_all(&folder)?;
        let log = folder.join("log");
        let (address, command) = match &self.kind {
            Kind::Direct => {
                return Ok(Running { contender: self.clone(), address: provider.plain, process: None });
            }
            Kind::Nginx => {
                let address = free_address()?;
                fs::write(folder.join("ca.pem"), &provider.authority)?;
                fs::write(folder.join("nginx.conf"), nginx_conf(address, provider))?;
                let mut command = cores.command("nginx");
                command.arg("-p").arg(&folder).args(["-e", "stderr", "-c", "nginx.conf"]);
                (address, command)
            }
            Kind::Gatewayz(binary) => {
                let address = free_address()?;
                let (ca, config) = (folder.join("ca.pem"), folder.join("gatewayz.toml"));
                fs::write(&ca, &provider.authority)?;
                fs::write(&config, gatewayz_toml(address, provider, &ca))?;
                let mut command = cores.command(&binary.to_string_lossy());
                command.args(["serve", "--config"]).arg(config);
                command.env_remove("RUST_LOG").env("GATEWAYZ_API_KEYS", KEY).env("METRICS_TOKEN", "bench");
                (address, command)
            }
            Kind::Other { address, command: line } => {
                let mut command = cores.command("sh");
                command.args(["-c", line]).env("PROVIDER_URL", format!("http://{}/v1", provider.plain));
                (*address, command)
            }
        };
        self.wait_for(address, command, log)
    }

    fn wait_for(&self, address: SocketAddr, command: Command, log: PathBuf) -> io::Result<Running> {
        let mut process = Process::start(command, log)?;
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if process.has_ended() || begun.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "{} does not listen on {address}: {}",
                    self.name,
                    process.said()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Running { contender: self.clone(), address, process: Some(process) })
    }

    /// Whether it can take part in a case.
    pub fn can(&self, case: &Case) -> bool {
        match self.kind {
            // The load speaks no TLS.
            Kind::Direct => !case.tls,
            Kind::Nginx | Kind::Gatewayz(_) => true,
            Kind::Other { .. } => !case.tls && !case.limits,
        }
    }

    /// What it is asked: a gateway for a message, the others for what a gateway would ask.
    pub fn request(&self, case: &Case) -> Vec<u8> {
        let model = case.answer.model();
        match self.kind {
            Kind::Direct | Kind::Nginx => {
                let place = if case.tls { "/tls" } else { "" };
                let body = translated(&case.size.request(model, case.answer.is_stream()), model);
                post(&format!("{place}/{model}/v1/chat/completions"), "authorization: Bearer bench", &body)
            }
            Kind::Gatewayz(_) | Kind::Other { .. } => {
                let model = if case.tls { format!("tls-{model}") } else { model.to_owned() };
                let key = if case.limits { LIMITED_KEY } else { KEY };
                let headers = format!("x-api-key: {key}\r\nanthropic-version: 2023-06-01");
                post("/v1/messages", &headers, case.size.request(&model, case.answer.is_stream()).as_bytes())
            }
        }
    }
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let fixed = "host: localhost\r\nuser-agent: side_by_side\r\naccept: */*\r\ncontent-type: application/json";
    let head = format!("POST {path} HTTP/1.1\r\n{fixed}\r\n{headers}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn translated(body: &str, model: &str) -> Vec<u8> {
    let parsed = parse::request(body.as_bytes()).unwrap_or_else(|invalid| panic!("{invalid:?}"));
    let target = Target {
        dialect: &Dialect::named("generic").unwrap(),
        model,
        max_tokens_cap: None,
        extra_body: &Map::new(),
        unsupported: Unsupported::Drop,
        signer: &Signer::new(b"bench"),
    };
    let mut written = Vec::new();
    request(&parsed, &target, &mut written).unwrap_or_else(|invalid| panic!("{invalid:?}"));
    written
}

/// One that nobody listens on at the moment.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// As lean as nginx can be: no log, one process, connections kept on both sides, no request in a file.
fn nginx_conf(address: SocketAddr, provider: &Provider) -> String {
    let (plain, tls) = (provider.plain, provider.tls);
    let streams: String = Answer::ALL
        .iter()
        .filter(|answer| answer.is_stream())
        .map(|answer| format!("location /{}/ {{ proxy_pass http://plain; proxy_buffering off; }}\n", answer.model()))
        .collect();
    format!(
        r"
daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536;
pid nginx.pid; error_log stderr warn;
events {{ worker_connections 40000; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_max_body_size 64m; client_body_buffer_size 1m;
    keepalive_requests 1000000000;
    upstream plain {{ server {plain}; keepalive 512; keepalive_requests 1000000000; }}
    upstream behind_tls {{ server {tls}; keepalive 512; keepalive_requests 1000000000; }}
    proxy_http_version 1.1; proxy_set_header Connection ''; proxy_read_timeout 10m;
    proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem; proxy_ssl_name localhost; proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen {address};
        location / {{ proxy_pass http://plain; }}
        location /tls/ {{ proxy_pass https://behind_tls/; }}
        {streams}
    }}
}}
"
    )
}

/// One worker; all else is as shipped, the line in the log for each request too.
fn gatewayz_toml(address: SocketAddr, provider: &Provider, ca: &Path) -> String {
    let mut text = format!(
        r#"
[server]
host = "{}"
port = {}
workers = 1

[[auth.keys]]
name = "limited"
sha256 = "{}"
[auth.keys.limits]
requests_per_minute = 1000000000
input_tokens_per_minute = 1000000000000
output_tokens_per_minute = 1000000000000
concurrent_requests = 100000
usd_per_day = 1000000.0
usd_per_month = 1000000.0
"#,
        address.ip(),
        address.port(),
        hex_digest(LIMITED_KEY)
    );
    for answer in Answer::ALL {
        let model = answer.model();
        for (name, base_url, more) in [
            (model.to_owned(), format!("http://{}/{model}/v1", provider.plain), String::new()),
            (
                format!("tls-{model}"),
                format!("https://localhost:{}/{model}/v1", provider.tls.port()),
                format!("ca_file = {:?}\n", ca.to_string_lossy()),
            ),
        ] {
            text.push_str(&format!(
                "[[providers]]\nname = \"{name}\"\ndialect = \"generic\"\nbase_url = \"{base_url}\"\n{more}"
            ));
            text.push_str(&format!(
                "[[models]]\nid = \"{name}\"\nroutes = [ {{ provider = \"{name}\", model = \"{model}\" }} ]\n"
            ));
        }
    }
    text
}
