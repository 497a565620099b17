//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gatewayz::commands::demo::scenario::{Drill, Scenario};
use gatewayz::commands::{check, demo, healthcheck, keygen, serve, simulate};
use gatewayz::config::secrets::Environment;
use gatewayz::logging;

// A tenth less CPU for each request than with the system's allocator (measured).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the Anthropic Messages API from OpenAI-compatible providers, and shows how every model is doing.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve(ServeArgs),
    /// Run gateway and simulator on loopback: no key, no network
    Demo(DemoArgs),
    /// Run an OpenAI-compatible provider that only pretends
    Simulate(SimulateArgs),
    /// Read the configuration, show what was understood, name every mistake
    Check(ConfigArgs),
    /// Make a new key, and the entry for the configuration
    Keygen(KeygenArgs),
    /// Ask the running gateway whether it is alive; for container health checks
    Healthcheck(ConfigArgs),
}

#[derive(Args)]
struct KeygenArgs {
    /// What the key is called in usage, metrics and logs
    #[arg(long, default_value = "team-a")]
    name: String,
    /// For /metrics and /admin/usage instead of models
    #[arg(long)]
    admin: bool,
}

#[derive(Args, Default)]
struct ConfigArgs {
    /// A TOML file with what differs from the defaults [env: GATEWAYZ_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Serve without client keys or metrics token, on loopback only
    #[arg(long)]
    insecure: bool,
}

#[derive(Args)]
struct DemoArgs {
    /// The gateway's port [env: PORT]
    #[arg(long)]
    port: Option<u16>,
    /// Send a lively mix of requests to it, so that there is something to see
    #[arg(long)]
    traffic: bool,
    /// Requests per second of --traffic
    #[arg(long, default_value_t = 5.0, value_name = "N")]
    rate: f64,
    /// Half a minute after the start, make trouble that raises an alert
    #[arg(long, value_enum, requires = "traffic")]
    scenario: Option<Scenario>,
    /// How long the trouble lasts
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = humantime::parse_duration)]
    scenario_lasts: Duration,
    /// Where the gateway listens; elsewhere than on loopback it wants keys of your own in the environment
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    host: IpAddr,
}

impl DemoArgs {
    fn wishes(self) -> demo::Wishes {
        let lasts = self.scenario_lasts;
        demo::Wishes {
            host: self.host,
            port: self.port,
            rate: self.traffic.then_some(self.rate),
            drill: self.scenario.map(|scenario| Drill { scenario, lasts }),
        }
    }
}

#[derive(Args)]
#[command(after_help = gatewayz::simulator::moods_help())]
struct SimulateArgs {
    /// The port to listen on, on loopback
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Milliseconds until the first token
    #[arg(long, default_value_t = 20, value_name = "MS")]
    first_token: u64,
    /// Tokens per second
    #[arg(long, default_value_t = 400.0, value_name = "N")]
    speed: f64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // Lines of requests would run through the line of progress.
    let quiet = matches!(&cli.command, Some(Command::Demo(args)) if args.traffic);
    logging::init(&environment, quiet);
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(args.config.config.as_deref(), &environment, args.insecure),
        Command::Demo(args) => demo::run(&environment, args.wishes()),
        Command::Simulate(args) => simulate::run(args.port, Duration::from_millis(args.first_token), args.speed),
        Command::Check(args) => check::run(args.config.as_deref(), &environment),
        Command::Keygen(args) => keygen::run(&args.name, args.admin),
        Command::Healthcheck(args) => healthcheck::run(args.config.as_deref(), &environment),
    };
    logging::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatewayz: {}", error.to_string().trim_end());
            ExitCode::FAILURE
        }
    }
}
