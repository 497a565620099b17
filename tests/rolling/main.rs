//! A rolling restart under load: two gateways, of which one after the other is told to stop and replaced, while clients
//! that do what the vendors' SDKs do (ask again, at the other address, when they are refused) notice nothing.
//!
//! `cargo test --release --test rolling` makes three rounds. What must hold: no request is lost; whole answers and streams
//! that are shorter than the drain are whole; longer ones are told by an error; who comes in the notice is told to go
//! elsewhere, politely; each process ends with code 0 and in time; a second signal ends it at once.

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

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::harness::CLIENT_KEY;
use crate::harness::gateway::Setup;
use crate::load::ask::{End, Problem, ask};
use crate::load::asked::{Asked, Hold};
use crate::load::http::Client;
use crate::load::process::{Process, free_port};
use crate::load::providers::Providers;

const MODEL: &str = "steady";
const CLIENTS: usize = 60;
const ROUNDS: usize = 3;
/// The listener stays open so long after a signal, and open requests may then go on so long.
const NOTICE: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(4);
/// What a process may need besides, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(3);
/// What the SDKs do unless they are told otherwise: once, and two more times.
const ATTEMPTS: usize = 3;
const BACK_OFF: Duration = Duration::from_millis(100);
/// Of the streams that are longer than any drain.
const LONG: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let providers = Providers::start();
    let run = Rc::new(Run::new(providers));
    actix_rt::System::new().block_on(async {
        let clients: Vec<_> = (0..CLIENTS).map(|at| actix_rt::spawn(keep_asking(run.clone(), at))).collect();
        for round in 1..=ROUNDS {
            for place in 0..2 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let took = run.replace(place).await;
                let (requests, again) = (run.requests.get(), run.again.borrow().values().sum::<u64>());
                println!("round {round}, gateway {place}: ended after {took:.1?}; {requests} requests, {again} attempts again");
            }
        }
        run.over.set(true);
        for client in clients {
            // What it had to say is in the run.
            let _ = client.await;
        }
        run.second_signal().await;
    });
    report(&run)
}

/// The state of a run.
struct Run {
    providers: Providers,
    gateways: [Cell<Option<Process>>; 2],
    addresses: [SocketAddr; 2],
    over: Cell<bool>,
    requests: Cell<u64>,
    /// Streams that were told that the gateway stops.
    told: Cell<u64>,
    /// Why requests were sent again, and how often.
    again: RefCell<BTreeMap<String, u64>>,
    problems: RefCell<Vec<String>>,
}

fn setup(providers: &Providers, notice: Duration, drain: Duration) -> Setup {
    let times = format!("drain_notice = \"{}ms\"\ndrain = \"{}ms\"", notice.as_millis(), drain.as_millis());
    let url = format!("http://{}/v1", providers.healthy);
    Setup::default().in_section("server", &times).provider("healthy", &url).model(MODEL, &["healthy"], "upstream")
}

impl Run {
    fn new(providers: Providers) -> Run {
        let ports = [free_port(), free_port()];
        let gateways = ports.map(|port| Cell::new(Some(Process::start(&setup(&providers, NOTICE, DRAIN), port))));
        Run {
            providers,
            gateways,
            addresses: ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            over: Cell::new(false),
            requests: Cell::default(),
            told: Cell::default(),
            again: RefCell::default(),
            problems: RefCell::default(),
        }
    }

    fn problem(&self, problem: impl Into<String>) {
        self.problems.borrow_mut().push(problem.into());
    }

    /// Ends one gateway and starts its successor on the same port; how long the end took.
    async fn replace(&self, place: usize) -> Duration {
        let mut gateway = self.gateways[place].take().expect("a gateway in each place");
        let begun = Instant::now();
        gateway.terminate();
        let status = gateway.end().await;
        let took = begun.elapsed();
        if status.code() != Some(0) {
            self.problem(format!("gateway {place} ended with {status}"));
        }
        if !(NOTICE..NOTICE + DRAIN + SLACK).contains(&took) {
            self.problem(format!("gateway {place} ended after {took:?}"));
        }
        for line in gateway.said() {
            self.problem(format!("gateway {place} logged: {line}"));
        }
        let (setup, port) = (setup(&self.providers, NOTICE, DRAIN), self.addresses[place].port());
        // The clients go on meanwhile.
        let started = actix_rt::task::spawn_blocking(move || Process::start(&setup, port)).await;
        self.gateways[place].set(Some(started.expect("its successor starts")));
        took
    }

    /// A second signal ends a gateway that would wait for an hour.
    async fn second_signal(&self) {
        let hour = Duration::from_secs(3600);
        for (notice, drain) in [(hour, hour), (Duration::ZERO, hour)] {
            let mut gateway = Process::start(&setup(&self.providers, notice, drain), free_port());
            let mut client = Client::new(gateway.address);
            let asked = Asked { pace: 1000, words: 1000, ..Asked::of(0, u64::MAX, false) };
            let asked = Asked { stream: true, number: 0, ..asked };
            let head = client.send(CLIENT_KEY, &asked.body(MODEL)).await.expect("a stream");
            assert_eq!(head.status, 200);
            client.piece().await.expect("its beginning");
            gateway.terminate();
            tokio::time::sleep(Duration::from_millis(200)).await;
            if gateway.ended().is_some() {
                self.problem("the first signal ended a gateway with an open stream");
                continue;
            }
            let begun = Instant::now();
            gateway.terminate();
            match tokio::time::timeout(SLACK, gateway.end()).await {
                Ok(status) if status.code() == Some(0) => {
                    println!("a second signal, notice {notice:?}: ended after {:.1?}", begun.elapsed());
                }
                ended => self.problem(format!("a second signal: {ended:?}, notice {notice:?}")),
            }
        }
    }
}

/// One client. It has its favourite among the two gateways.
async fn keep_asking(run: Rc<Run>, at: usize) {
    let mut clients = run.addresses.map(Client::new);
    if at % 2 == 1 {
        clients.reverse();
    }
    while !run.over.get() {
        let number = run.requests.replace(run.requests.get() + 1);
        let asked = asked(number);
        let mut ended = false;
        for attempt in 0..ATTEMPTS {
            match ask(&mut clients[attempt % 2], &run.providers, MODEL, asked).await {
                Err(Problem::Wrong(problem)) => {
                    run.problem(problem);
                    ended = true;
                }
                Err(Problem::NoAnswer(problem)) => {
                    let why = problem.split(": ").nth(1).unwrap_or_default().to_owned();
                    *run.again.borrow_mut().entry(why).or_default() += 1;
                }
                Ok(done) => ended = judge(&run, &asked, done.end),
            }
            if ended {
                break;
            }
            tokio::time::sleep(BACK_OFF).await;
        }
        if !ended {
            run.problem(format!("lost after {ATTEMPTS} attempts: {asked:?}"));
        }
    }
}

/// Whether the request is done with; if not, it is sent again.
fn judge(run: &Run, asked: &Asked, end: End) -> bool {
    match end {
        End::Well => true,
        End::Refused(refusal) if refusal.status == 529 && refusal.retry => {
            if !refusal.closes {
                run.problem(format!("the connection stays open after {refusal:?}"));
            }
            *run.again.borrow_mut().entry("529".to_owned()).or_default() += 1;
            false
        }
        End::Broken { kind, .. } if kind == "overloaded_error" && asked.time() > NOTICE + DRAIN => {
            run.told.set(run.told.get() + 1);
            true
        }
        end => {
            run.problem(format!("ended in {end:?}: {asked:?}"));
            true
        }
    }
}

/// Whole answers at once, streams of two to four seconds, and now and then one that is longer than any drain.
fn asked(number: u64) -> Asked {
    let pieces = 20;
    let (stream, time) = match number % 20 {
        0 => (true, LONG),
        1..12 => (true, Duration::from_millis(2000 + number * 37 % 2000)),
        _ => (false, Duration::from_millis(100)),
    };
    let pace = time.as_millis() as u64 / pieces;
    Asked { number, words: pieces * 10, tool: number.is_multiple_of(3), stream, hold: Hold::Never, pace, ballast: 0 }
}

fn report(run: &Run) -> ExitCode {
    println!("\n{} requests; {} long streams were told of the end", run.requests.get(), run.told.get());
    for (why, count) in run.again.borrow().iter() {
        println!("{count:6} times again: {why}");
    }
    if run.told.get() == 0 {
        run.problem("no stream was longer than a drain: nothing was tested");
    }
    let problems = run.problems.borrow();
    println!("{} problems", problems.len());
    problems.iter().take(20).for_each(|problem| println!("  {problem}"));
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
