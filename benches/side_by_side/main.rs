//! The gateway beside a plain proxy, and beside other gateways: `cargo bench --bench side_by_side -- --help`.
//!
//! One thread is provider and load; the contenders are processes on a core of their own where there are two. In each
//! case they take turns, round by round, so that a machine that slows down slows them all.

mod case;
mod contender;
mod idle;
#[path = "../inputs/mod.rs"]
mod inputs;
mod load;
mod picture;
mod process;
mod provider;
mod report;

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use tokio::task::LocalSet;
use tokio::time::sleep;

use self::case::{CASES, Case, IDLE};
use self::contender::{Contender, Kind, Running};
use self::inputs::Size;
use self::load::Load;
use self::process::Cores;
use self::provider::Provider;
use self::report::{Report, Result as Measured, Round};

/// The gateway beside nginx, and beside other gateways: throughput, latency, CPU, memory
#[derive(Parser)]
#[command(after_help = cases_help())]
struct Options {
    /// Only these cases
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    cases: Vec<String>,
    /// Seconds of each round, after a warm-up of a quarter of that
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of each contender
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Idle streams to open
    #[arg(long, default_value_t = 9000)]
    streams: usize,
    /// Only whether it works: seconds in all, with the binary that cargo has built for benchmarks
    #[arg(long)]
    quick: bool,
    /// A binary of the gateway in place of the one that is built; several are compared
    #[arg(long, value_name = "NAME=PATH", value_parser = binary)]
    gateway: Vec<(String, PathBuf)>,
    /// Another gateway: its name, the address of its POST /v1/messages, the command that starts it. Its provider is
    /// $PROVIDER_URL; the models are called bench-text, bench-tool, bench-stream, bench-paced, bench-held
    #[arg(long, num_args = 3, value_names = ["NAME", "IP:PORT", "COMMAND"], action = clap::ArgAction::Append)]
    other: Vec<String>,
    /// The provider's port, for gateways that must be configured beforehand
    #[arg(long, default_value_t = 0)]
    provider_port: u16,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn binary(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("NAME=PATH is expected")?;
    Ok((name.to_owned(), path.into()))
}

fn cases_help() -> String {
    let line = |case: &Case| format!("  {:10} {}, {} connections\n", case.name, case.about, case.connections);
    let lines: String = CASES.iter().map(line).collect();
    format!("Cases:\n{lines}  {IDLE:10} streams that are open and silent: memory for each")
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == name)
    }
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        (options.seconds, options.rounds, options.streams) = (0.2, 1, 100);
    }
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("side_by_side: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    if let Some(unknown) =
        options.cases.iter().find(|name| *name != IDLE && CASES.iter().all(|case| case.name != **name))
    {
        return Err(format!("there is no case {unknown:?}\n{}", cases_help()).into());
    }
    // …/target/release/deps/side_by_side-0123
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).ok_or("the target folder is not where cargo puts it")?;
    let folder = target.join("side_by_side");
    fs::create_dir_all(&folder)?;
    rlimit::increase_nofile_limit(u64::MAX)?;
    let contenders = contenders(options, target)?;
    let cores = Cores::divide();
    let mut report = Report { about: about(options, &contenders, cores), ..Report::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, measure(options, &contenders, cores, &folder, &mut report))?;
    let markdown = report.markdown();
    let (table, image) = (folder.join("report.md"), folder.join("report.svg"));
    fs::write(&table, &markdown)?;
    fs::write(&image, picture::svg(&report))?;
    println!("\n{markdown}\nWritten: {}, {}", table.display(), image.display());
    Ok(report.problems.is_empty())
}

fn contenders(options: &Options, target: &Path) -> Result<Vec<Contender>, Box<dyn Error>> {
    let mut all = vec![Contender { name: "direct".to_owned(), kind: Kind::Direct }];
    if Command::new("nginx").arg("-v").output().is_ok() {
        all.push(Contender { name: "nginx".to_owned(), kind: Kind::Nginx });
    }
    if !options.gateway.is_empty() {
        let named = options.gateway.iter().cloned();
        all.extend(named.map(|(name, path)| Contender { name, kind: Kind::Gatewayz(path) }));
    } else {
        let path = if options.quick { env!("CARGO_BIN_EXE_gatewayz").into() } else { build(target)? };
        all.push(Contender { name: "gatewayz".to_owned(), kind: Kind::Gatewayz(path) });
    }
    for other in options.other.chunks_exact(3) {
        let address: SocketAddr = other[1].parse().map_err(|error| format!("--other {}: {error}", other[1]))?;
        all.push(Contender { name: other[0].clone(), kind: Kind::Other { address, command: other[2].clone() } });
    }
    Ok(all)
}

/// The gateway as images have it.
fn build(target: &Path) -> Result<PathBuf, Box<dyn Error>> {
    eprintln!("Building the gateway in the profile dist; this takes minutes when it is the first time");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["build", "--profile", "dist", "--bin", "gatewayz", "--target-dir"]).arg(target);
    if !command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?.success() {
        return Err("the gateway cannot be built".into());
    }
    Ok(target.join("dist/gatewayz"))
}

fn about(options: &Options, contenders: &[Contender], cores: Cores) -> Vec<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let nginx = Command::new("nginx").arg("-v").output().map_or_else(
        |_| "nginx is not on this machine: its rows are missing".to_owned(),
        |output| String::from_utf8_lossy(&output.stderr).trim().replace("nginx version: ", ""),
    );
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name.as_str()).collect();
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    vec![
        format!(
            "{}; {} cores of {}; Linux {}",
            &date[..10],
            cores.count,
            model.trim_start_matches([' ', '\t', ':']),
            kernel.trim()
        ),
        cores.describe().to_owned(),
        format!("nginx as `proxy_pass` with kept connections, without a log: {nginx}"),
        format!("{}; {} rounds of {} s, in turns", names.join(", "), options.rounds, options.seconds),
    ]
}

async fn measure(
    options: &Options,
    contenders: &[Contender],
    cores: Cores,
    folder: &Path,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let provider = Provider::start(options.provider_port).await?;
    let start = |contender: &Contender| contender.start(&provider, cores, folder);
    let running = contenders.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    for case in CASES.iter().filter(|case| options.wants(case.name)) {
        eprintln!("{}: {}, {} connections", case.name, case.about, case.connections);
        let able: Vec<&Running> = running.iter().filter(|running| running.contender.can(case)).collect();
        let mut results: Vec<Measured> = able
            .iter()
            .map(|running| Measured { case: *case, contender: running.contender.name.clone(), rounds: Vec::new() })
            .collect();
        for _ in 0..options.rounds {
            for (running, result) in able.iter().zip(&mut results) {
                match round(running, case, options.seconds, &provider).await {
                    Ok(round) => result.rounds.push(round),
                    Err(problem) => {
                        report.problems.push(format!("{}, {}: {problem}", case.name, running.contender.name));
                    }
                }
            }
        }
        for result in results {
            let figure = |spread: Option<report::Spread>| spread.map_or(f64::NAN, |spread| spread.median);
            eprintln!(
                "  {:12} {:>9.0}/s  p50 {:>8.0} us  CPU {:>7.2} us/{}",
                result.contender,
                figure(result.per_second()),
                figure(result.p50()),
                figure(result.cpu()),
                case.unit()
            );
            report.results.push(result);
        }
    }
    drop(running);
    if options.wants(IDLE) {
        eprintln!("{IDLE}: {} streams that are open and silent", options.streams);
        for (size, streams) in [(Size::Question, options.streams), (Size::Agent, options.streams / 10)] {
            for contender in contenders {
                // A fresh one: what the cases above have left in the allocator would hide what a stream takes.
                let running = start(contender)?;
                let Some(idle) = idle::measure(&running, size, streams).await else { continue };
                let (name, each) = (&idle.contender, idle.each / 1024.0);
                eprintln!("  {name:12} {} streams, {each:.1} KB each, {} asked", idle.streams, size);
                report.idle.push(idle);
            }
        }
    }
    Ok(())
}

async fn round(running: &Running, case: &Case, seconds: f64, provider: &Provider) -> Result<Round, String> {
    let window = Duration::from_secs_f64(seconds);
    let load = Load::start(running.address, running.contender.request(case), case.connections);
    sleep(window.mul_f64(0.25)).await;
    let warm = load.take();
    if let Some(problem) = warm.problems.into_iter().next() {
        return Err(problem);
    }
    let process = running.process.as_ref();
    process.inspect(|process| process.forget_peak());
    let (begun, cpu, chunks) = (Instant::now(), process.map(|process| process.cpu()), provider.chunks());
    sleep(window).await;
    let used = process.zip(cpu).map(|(process, before)| process.cpu() - before);
    let (elapsed, chunks) = (begun.elapsed().as_secs_f64(), provider.chunks() - chunks);
    let mut seen = load.take();
    process.inspect(|process| process.forget());
    if let Some(problem) = seen.problems.into_iter().next() {
        return Err(problem);
    }
    if seen.took.is_empty() {
        return Err("no answer in the whole round".to_owned());
    }
    seen.took.sort_unstable();
    let at = |share: f64| seen.took[((seen.took.len() - 1) as f64 * share) as usize];
    // Answers of a stream come in waves; its chunks do not.
    let units = if case.answer.is_stream() { chunks as f64 } else { seen.took.len() as f64 };
    Ok(Round {
        per_second: seen.took.len() as f64 / elapsed,
        p50: at(0.5),
        p99: at(0.99),
        cpu: used.map(|used| used.as_secs_f64() * 1e6 / units),
        peak: process.map(|process| process.peak()),
    })
}
