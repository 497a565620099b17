//! Chaos: 200 clients at once, some of which hang up, before a provider of which four answers in five go wrong in
//! one of sixteen ways, and a healthy one.
//!
//! `cargo test --release --test chaos -- 600` runs for ten minutes; three are the default. What must hold: every
//! request ends in its own whole answer or in a valid error, and none hangs; with a healthy second route, no client sees
//! an error before content but for what is wrong with the request; at the end the gateway has counted what the clients have
//! seen; its memory and its open files have not grown; it has logged no error.

#[path = "../gateway/harness/mod.rs"]
#[allow(dead_code, unused_imports)] // The tests of `gateway` use the rest.
mod harness;
#[path = "../load/mod.rs"]
#[allow(dead_code)] // Other runs use the rest.
mod load;
#[path = "../faults/player.rs"]
mod player;
#[path = "../protocol/mod.rs"]
mod protocol;
#[path = "../faults/script.rs"]
#[allow(dead_code)] // The table of faults uses the rest.
mod script;
mod tally;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::harness::gateway::Setup;
use crate::load::ask::{End, ask};
use crate::load::asked::Asked;
use crate::load::http::Client;
use crate::load::process::{Process, free_port};
use crate::load::providers::Providers;
use crate::load::watch::Watch;
use crate::tally::Tally;

/// Requests in flight.
const CLIENTS: usize = 200;
const DEFAULT_SECONDS: u64 = 180;
const BACK_OFF: Duration = Duration::from_millis(100);
/// Seconds in which pools and caches fill.
const WARM_UP: usize = 10;
/// So much may memory grow from the first half of the run to the second.
const GROWTH: f64 = 1.05;
/// So many problems are shown.
const SHOWN: usize = 20;

/// The models, by their routes.
const CHAOTIC: &str = "chaotic";
const BOTH: &str = "chaotic-then-healthy";
const HEALTHY: &str = "healthy";

fn main() -> ExitCode {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let providers = Providers::start();
    let process = Process::start(&setup(&providers), free_port());
    let run = Rc::new(Run::new(providers, process));
    actix_rt::System::new().block_on(async {
        println!("seed {}, {CLIENTS} clients, {seconds} s, gateway on {}", run.seed, run.process.address);
        let end = Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = (0..CLIENTS).map(|_| actix_rt::spawn(keep_asking(run.clone(), end))).collect();
        run.watch(end).await;
        for client in clients {
            // What it had to say is in the run.
            let _ = client.await;
        }
    });
    report(&run)
}

fn setup(providers: &Providers) -> Setup {
    let url = |address| format!("http://{address}/v1");
    let impatient = "first_byte_timeout = \"2s\"\nidle_timeout = \"2s\"\ntotal_timeout = \"20s\"";
    // Most of its calls fail, so that the circuit opens now and then: with one route that is a 529, with two the other
    // one's turn. The bound on calls gives 529s too.
    let bounded = "max_concurrent = 120\nmax_queue = 20\nqueue_timeout = \"500ms\"\n\
        breaker = { window = \"5s\", min_requests = 20, error_ratio = 1.0, open_for = \"200ms\" }";
    Setup::default()
        .retrying("base_delay = \"10ms\"\nmax_delay = \"50ms\"\nhonour_retry_after_up_to = \"1s\"")
        // Some streams begin before their provider has said anything.
        .in_section("stream", "commit_after = \"1s\"\nping_interval = \"300ms\"")
        .in_section("server", "drain_notice = \"0s\"")
        .provider_with("chaotic", &url(providers.chaotic), &format!("{impatient}\n{bounded}"))
        .provider_with("healthy", &url(providers.healthy), impatient)
        .model(CHAOTIC, &["chaotic"], "upstream-chaotic")
        .model(BOTH, &["chaotic", "healthy"], "upstream-both")
        .model(HEALTHY, &["healthy"], "upstream-healthy")
}

/// The state of a run.
struct Run {
    providers: Providers,
    process: Process,
    seed: u64,
    next: Cell<u64>,
    tallies: RefCell<BTreeMap<&'static str, Tally>>,
    problems: RefCell<Vec<String>>,
    slowest: Cell<Duration>,
    watched: RefCell<Watch>,
}

impl Run {
    fn new(providers: Providers, process: Process) -> Run {
        let tallies = [CHAOTIC, BOTH, HEALTHY].map(|model| (model, Tally::default())).into();
        Run {
            providers,
            process,
            seed: rand::random_range(0..1_000_000),
            next: Cell::new(0),
            tallies: RefCell::new(tallies),
            problems: RefCell::default(),
            slowest: Cell::default(),
            watched: RefCell::default(),
        }
    }

    /// Looks at the process each second, and says every ten how it goes.
    async fn watch(&self, end: Instant) {
        let begun = Instant::now();
        let mut second = 0;
        while Instant::now() < end {
            tokio::time::sleep_until((begun + Duration::from_secs(second)).into()).await;
            self.watched.borrow_mut().look(&self.process);
            if second > 0 && second.is_multiple_of(10) {
                let all: u64 = self.tallies.borrow().values().map(|tally| tally.requests).sum();
                let (memory, files) = (self.process.memory(), self.process.open_files());
                let problems = self.problems.borrow().len();
                println!("{second:5} s: {all} requests, {} MiB, {files} files, {problems} problems", memory / 1024);
            }
            second += 1;
        }
    }

    fn problem(&self, problem: String) {
        self.problems.borrow_mut().push(problem);
    }
}

/// One client: asks for one model after the other until the end.
async fn keep_asking(run: Rc<Run>, end: Instant) {
    let mut client = Client::new(run.process.address);
    while Instant::now() < end {
        let number = run.next.replace(run.next.get() + 1);
        let model = [CHAOTIC, BOTH, HEALTHY][(number % 3) as usize];
        // The tokens of the healthy model must be exact: nobody leaves before they are known.
        let asked = Asked::of(run.seed, number, model != HEALTHY);
        match ask(&mut client, &run.providers, model, asked).await {
            Err(problem) => run.problem(problem.to_string()),
            Ok(done) => {
                let is_full = matches!(&done.end, End::Refused(refusal) if refusal.status == 529);
                run.slowest.set(run.slowest.get().max(done.took));
                if let Err(problem) = is_allowed(model, &done.end) {
                    run.problem(format!("{problem}: {model}, {asked:?}"));
                }
                run.tallies.borrow_mut().entry(model).or_default().count(&asked, &done.end);
                if is_full {
                    // An SDK waits longer. Without it, nothing but refusals would be seen.
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Whether a request for a model may end so.
fn is_allowed(model: &str, end: &End) -> Result<(), String> {
    let allowed = match end {
        End::Well => true,
        End::Cancelled => model != HEALTHY,
        // What a provider finds wrong in the request, the next one would too.
        End::Refused(refusal) if refusal.status == 400 => model != HEALTHY,
        End::Broken { after_content: true, .. } => model != HEALTHY,
        End::Broken { kind, .. } if kind == "invalid_request_error" => model != HEALTHY,
        End::Refused(..) | End::Broken { .. } => model == CHAOTIC,
    };
    if allowed { Ok(()) } else { Err(format!("must not end in {end:?}")) }
}

/// Compares both sides, prints everything, and says whether all is well.
fn report(run: &Run) -> ExitCode {
    let process = &run.process;
    let metrics = harness::eventually("the end of all calls", || {
        let metrics = process.metrics();
        (metrics.sum("gateway_inflight_requests") + metrics.sum("gateway_provider_inflight") == 0.0).then_some(metrics)
    });
    println!("\nplayed by the providers:");
    for (name, count) in run.providers.played() {
        println!("{count:9} {name}");
    }
    println!("\nseen by the clients; the slowest took {:.1} s:", run.slowest.get().as_secs_f64());
    let tallies = run.tallies.borrow();
    for (model, tally) in tallies.iter() {
        println!("{model:22} {}", tally.summary());
        for ((status, kind), count) in &tally.refused {
            println!("{count:30} {status} {kind}");
        }
        for (kind, count) in &tally.broken {
            println!("{count:30} {kind} in a stream");
        }
        for difference in tally.differences(model, &metrics, *model == HEALTHY) {
            run.problem(difference);
        }
    }
    for family in ["gateway_retries_total", "gateway_fallbacks_total", "gateway_provider_requests_total"] {
        println!("\n{family}:");
        metrics.of(family).filter(|(_, count)| *count > 0.0).for_each(|(series, count)| println!("{count:9} {series}"));
    }
    let out_of_order = metrics.value("gateway_streams_out_of_order_total");
    if out_of_order != 0.0 {
        run.problem(format!("{out_of_order} streams out of order"));
    }
    process.said().into_iter().for_each(|line| run.problem(format!("logged: {line}")));
    let [memory, files] = run.watched.borrow().halves(WARM_UP);
    println!(
        "\nmemory: {} KiB in the first half, {} KiB in the second; open files: {}, {}",
        memory.0, memory.1, files.0, files.1
    );
    println!("processor time: {:.1} s", process.cpu_seconds());
    for (what, (first, second)) in [("memory", memory), ("open files", files)] {
        if second as f64 > first as f64 * GROWTH {
            run.problem(format!("{what} grew from {first} to {second}"));
        }
    }
    let problems = run.problems.borrow();
    println!("\n{} problems", problems.len());
    problems.iter().take(SHOWN).for_each(|problem| println!("  {problem}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
