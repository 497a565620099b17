//! Every fault that a provider, a client or the gateway's own end can make: what the client is told, what the
//! providers see, what is counted. `list` has the faults, an entry for each; `cargo test --test faults` prints them
//! as a table, `cargo test --test faults 429` those with 429 in their names.
//!
//! All of them meet one gateway, at the same time: no fault may disturb another one's requests.

mod client;
mod expect;
#[path = "../gateway/harness/mod.rs"]
#[allow(dead_code, unused_imports)] // The tests of `gateway` use the rest.
mod harness;
mod list;
mod player;
#[path = "../protocol/mod.rs"]
mod protocol;
mod provider;
mod row;
#[allow(dead_code)] // The chaos run uses the rest.
mod script;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatewayz::startup::Stop;
use libtest_mimic::Arguments;

use crate::expect::{ATTEMPTS, Answer, Connection, WELL};
use crate::harness::gateway::Setup;
use crate::harness::{Gateway, PATIENCE, eventually};
use crate::list::Client;
use crate::provider::{Provider, Seen};
use crate::row::{Row, View};
use crate::script::{Port, Script};

/// Rows under way at the same time.
const TOGETHER: usize = 64;

/// How long the gateway may take to close a connection, or to have it ready again.
const SOON: Duration = Duration::from_secs(5);

/// A row with its providers, and what was seen of it.
struct Run {
    row: Row,
    provider: Provider,
    second: Option<Provider>,
    seen: Mutex<Result<View, String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let wanted = |row: &Row| {
        let name = format!("{} {}", row.name, row.way());
        let hit = arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
        hit && !arguments.skip.iter().any(|skip| name.contains(skip.as_str()))
    };
    let rows: Vec<Row> = list::faults().iter().flat_map(Row::of).filter(wanted).collect();
    if arguments.list {
        rows.iter().for_each(|row| println!("{} {}: test", row.name, row.way()));
        return ExitCode::SUCCESS;
    }
    let begun = Instant::now();
    let runs = with_providers(rows);
    let gateway = setup(&runs).start();

    let (late, early): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.row.client == Client::ComesLate);
    each(&early, |run, view| {
        view.client = client::ask(&gateway, &run.row, &run.provider.seen);
        view.connection = connection_after(&gateway, run, &mut view.later);
    });
    count(&gateway, &early);
    if !late.is_empty() {
        gateway.tell_to_stop(Stop::WithNotice);
        eventually("the notice", || (gateway.bare("GET", "/readyz").ask().status == 503).then_some(()));
        each(&late, |run, view| view.client = client::ask(&gateway, &run.row, &run.provider.seen));
        count(&gateway, &late);
    }
    let rejections = rejections(&gateway, &runs);
    let wrong = table(&runs) + usize::from(rejections.is_err());
    if let Err(problem) = rejections {
        println!("WRONG {problem}");
    }
    println!("\n{} rows, {wrong} wrong, {:.1} s", runs.len(), begun.elapsed().as_secs_f64());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Starts the providers of all rows.
fn with_providers(rows: Vec<Row>) -> Vec<Run> {
    let well = |row: &Row| row.second.then(|| Script { until_call: 0, ..Script::asked() });
    let scripts = rows.iter().flat_map(|row| [Some(row.script.clone()), well(row)]).flatten().collect();
    let mut providers = provider::start(scripts).into_iter();
    let run = |row: Row| {
        let provider = providers.next().expect("a provider for each row");
        let second = if row.second { providers.next() } else { None };
        Run { row, provider, second, seen: Mutex::new(Ok(View::default())) }
    };
    rows.into_iter().map(run).collect()
}

/// One gateway for all. One worker, so that there is one pool: whether a connection is used again is then certain.
fn setup(runs: &[Run]) -> Setup {
    let mut setup = Setup::default()
        .with_environment(&[("GATEWAYZ__SERVER__WORKERS", "1")])
        .in_section("server", &format!("max_body = \"{}KB\"\ndrain_notice = \"1h\"", list::MAX_BODY_KB))
        .in_section(
            "stream",
            &format!("commit_after = \"1h\"\nmax_line = \"{0}KB\"\nmax_tool_buffer = \"{0}KB\"", list::MAX_STREAM_KB),
        );
    setup = setup.retrying(&format!(
        "max_attempts = {ATTEMPTS}\nbase_delay = \"5ms\"\nmax_delay = \"10ms\"\nhonour_retry_after_up_to = \"1s\""
    ));
    for run in runs {
        let (id, second_id) = (run.row.id(), run.row.second_id());
        setup = setup.provider_with(&id, &run.provider.url, run.row.lines);
        setup = match &run.second {
            Some(second) => setup.provider(&second_id, &second.url).model(&id, &[&id, &second_id], &id),
            None => setup.model(&id, &[&id], &id),
        };
    }
    setup
}

/// Does something with every row, many at a time. What panics is the fault of its row.
fn each(runs: &[&Run], work: impl Fn(&Run, &mut View) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut seen = run.seen.lock().expect("one thread for each row");
                    let Ok(mut view) = seen.clone() else { continue };
                    let worked = catch_unwind(AssertUnwindSafe(|| work(run, &mut view)));
                    *seen = worked.map(|()| view).map_err(|panic| {
                        let text = panic.downcast_ref::<String>().map(String::as_str);
                        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
                    });
                }
            });
        }
    });
}

/// Reads what was counted of all these rows, once, when all of their requests have ended and have been counted: a
/// worker that is too busy for a scrape is left out of it.
fn count(gateway: &Gateway, runs: &[&Run]) {
    let requests =
        |run: &&Run| run.seen.lock().unwrap().as_ref().map_or(0, |seen| run.row.must().requests + seen.later);
    let expected: usize = runs.iter().map(requests).sum();
    let deadline = Instant::now() + PATIENCE;
    let metrics = loop {
        let metrics = gateway.metrics();
        let open = metrics.sum("gateway_inflight_requests") + metrics.sum("gateway_provider_inflight");
        let all = open == 0.0 && metrics.sum("model_requests_total") as usize >= expected;
        if all || Instant::now() > deadline {
            break metrics;
        }
    };
    each(runs, |run, view| {
        view.calls = run.provider.seen.calls() - view.later;
        view.second = run.second.as_ref().map_or(0, |second| second.seen.calls());
        run.row.counted(&metrics, view);
    });
}

/// What became of the provider's connection, found out by requests that the provider answers well; they are `later`.
fn connection_after(gateway: &Gateway, run: &Run, later: &mut usize) -> Connection {
    let seen: &Arc<Seen> = &run.provider.seen;
    let last = seen.last_connection();
    let asked = seen.calls() > 0;
    seen.recover();
    if run.row.script.port != Port::Open {
        return Connection::Gone;
    }
    if run.row.client == Client::FindsTheCircuitOpen {
        // Nobody gets through to it.
        return Connection::Kept;
    }
    for _ in 0..3 {
        *later += 1;
        assert_eq!(client::ask_again(gateway, &run.row), WELL, "after the fault");
        match run.row.expected.connection {
            Connection::Either => return Connection::Either,
            _ if asked && seen.last_connection() == last => return Connection::Kept,
            Connection::Kept => {}
            Connection::Gone => return Connection::Gone,
            Connection::Closed => break,
        }
    }
    if !asked {
        return Connection::Gone;
    }
    let deadline = Instant::now() + SOON;
    while !seen.is_closed(last) {
        assert!(Instant::now() < deadline, "the connection is neither used again nor closed");
        std::thread::sleep(Duration::from_millis(2));
    }
    Connection::Closed
}

/// What was turned away is counted by reason, not by model.
fn rejections(gateway: &Gateway, runs: &[Run]) -> Result<(), String> {
    let mut must: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        if let Answer::TurnedAway(_, reason) = run.row.expected.answer {
            *must.entry(reason).or_default() += 1;
        }
    }
    let metrics = gateway.metrics();
    let count =
        |reason: &str| metrics.value(&format!("gateway_rejected_requests_total{{reason=\"{reason}\"}}")) as usize;
    let wrong: Vec<String> = must
        .iter()
        .filter(|(reason, must)| count(reason) != **must)
        .map(|(reason, must)| format!("{reason}: {must} expected, {} counted", count(reason)))
        .collect();
    let all = metrics.sum("gateway_rejected_requests_total") as usize;
    if wrong.is_empty() && all == must.values().sum::<usize>() {
        return Ok(());
    }
    Err(format!("gateway_rejected_requests_total: {all} in all, {}", wrong.join("; ")))
}

/// Prints all rows; how many are wrong.
fn table(runs: &[Run]) -> usize {
    println!("ok    {:44} {:18} client | providers | metrics", "fault", "way");
    let mut wrong = 0;
    for run in runs {
        let must = run.row.must();
        let seen = run.seen.lock().expect("no thread is left");
        let ok = seen.as_ref().is_ok_and(|seen| must.admits(seen));
        println!("{:5} {:44} {:18} {must}", if ok { "ok" } else { "WRONG" }, run.row.name, run.row.way());
        if !ok {
            wrong += 1;
            match &*seen {
                Ok(seen) => println!("{:69} {seen}", "      seen:"),
                Err(problem) => println!("{:69} {}", "      seen:", problem.replace('\n', "\n      ")),
            }
        }
    }
    wrong
}
