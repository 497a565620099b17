//! Nine thousand streams that are open at the same time and say nothing, and what happens when there is no room for
//! more.
//!
//! `cargo test --release --test streams_9000 -- 9000`. Gateway, provider and clients are three processes, since the
//! gateway needs two open files for each stream. What must hold: every stream opens, hears pings, and ends as a whole
//! message; a fresh request is answered promptly meanwhile; who comes beyond `server.max_connections` waits and gets his
//! turn; beyond the limit on open files the gateway says so in its log, lives on, and serves when there is room again.

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
mod provider;
#[path = "../faults/script.rs"]
#[allow(dead_code)] // The table of faults uses the rest.
mod script;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::CLIENT_KEY;
use crate::harness::gateway::Setup;
use crate::load::http::Client;
use crate::load::process::{Process, free_port};
use crate::protocol::Ended;
use crate::provider::Provider;

const MODEL: &str = "quiet";
const DEFAULT_STREAMS: usize = 9000;
/// Streams that are being opened at the same time.
const OPENING: usize = 64;
/// They stay open so long.
const QUIET: Duration = Duration::from_secs(10);
const PINGS: Duration = Duration::from_secs(4);
/// A fresh request must be answered within this, while all streams are open.
const PROMPT: Duration = Duration::from_secs(1);
/// All streams together must open within this, and end within this.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let files = rlimit::increase_nofile_limit(u64::MAX).expect("a limit on open files");
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some(provider::ROLE) {
        return provider::run();
    }
    let streams = argument.and_then(|argument| argument.parse().ok()).unwrap_or(DEFAULT_STREAMS);
    let needed = streams as u64 * 2 + 200;
    assert!(files >= needed, "a process may have {files} files open; {needed} are needed");
    actix_rt::System::new().block_on(async {
        many(streams).await;
        beyond_max_connections().await;
        beyond_open_files().await;
    });
}

fn setup(provider: &Provider, server: &str) -> Setup {
    Setup::default()
        .in_section("stream", &format!("ping_interval = \"{}s\"", PINGS.as_secs()))
        .in_section("server", &format!("drain_notice = \"0s\"\n{server}"))
        // What the gateway has no files for is no fault of the provider's, whose circuit would open all the same.
        .provider_with("quiet", &provider.url(), "breaker = { min_requests = 1000000 }")
        .model(MODEL, &["quiet"], "upstream")
}

/// How a group of streams is doing.
#[derive(Default)]
struct Group {
    open: Cell<usize>,
    ended: Cell<usize>,
    pings: Cell<usize>,
    /// Streams that have ended otherwise, by what they said.
    failed: Cell<usize>,
}

impl Group {
    fn count(cell: &Cell<usize>) {
        cell.set(cell.get() + 1);
    }

    /// Waits until so many are there.
    async fn wait(&self, what: &str, count: impl Fn(&Group) -> usize, all: usize) {
        let begun = Instant::now();
        while count(self) < all {
            assert!(begun.elapsed() < PATIENCE, "{what}: {} of {all} after {PATIENCE:?}", count(self));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Opens streams, some at a time; they count themselves in the group.
fn open(address: SocketAddr, streams: usize) -> Rc<Group> {
    let (group, opening) = (Rc::new(Group::default()), Rc::new(Semaphore::new(OPENING)));
    for _ in 0..streams {
        let (group, opening) = (group.clone(), opening.clone());
        actix_rt::spawn(async move {
            if stream(address, &group, &opening).await.is_none() {
                Group::count(&group.failed);
            }
        });
    }
    group
}

/// One stream from its beginning to its end; none when it was no whole message.
async fn stream(address: SocketAddr, group: &Group, opening: &Semaphore) -> Option<()> {
    let mut client = Client::new(address);
    let place = opening.acquire().await.ok()?;
    let head = client.send(CLIENT_KEY, &asking(true)).await.ok()?;
    let mut bytes = Vec::new();
    while memchr::memmem::find(&bytes, b"event: content_block_delta\n").is_none() {
        bytes.extend(client.piece().await.ok()??);
    }
    drop(place);
    assert_eq!(head.status, 200);
    Group::count(&group.open);
    while let Some(piece) = client.piece().await.ok()? {
        if piece.starts_with(b"event: ping\n") {
            Group::count(&group.pings);
        }
        bytes.extend(piece);
    }
    let Ok(Ended::Stopped(message)) = protocol::check(&bytes) else { return None };
    assert_eq!(message["content"][0]["text"], format!("{}{}", provider::FIRST, provider::LAST));
    Group::count(&group.ended);
    Some(())
}

fn asking(stream: bool) -> Value {
    json!({"model": MODEL, "max_tokens": 10, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]})
}

/// A whole answer; how long it took.
async fn fresh(address: SocketAddr) -> Duration {
    let begun = Instant::now();
    let mut client = Client::new(address);
    let head = client.send(CLIENT_KEY, &asking(false)).await.expect("an answer to a fresh request");
    assert_eq!(head.status, 200);
    client.rest().await.expect("its body");
    begun.elapsed()
}

async fn many(streams: usize) {
    let provider = Provider::start();
    let process = Process::start(&setup(&provider, ""), free_port());
    fresh(process.address).await;
    let before = process.memory();
    let begun = Instant::now();
    let group = open(process.address, streams);
    group.wait("streams are open", |group| group.open.get() + group.failed.get(), streams).await;
    println!(
        "{} streams opened in {:.1} s, {} failed",
        group.open.get(),
        begun.elapsed().as_secs_f64(),
        group.failed.get()
    );
    assert_eq!(group.failed.get(), 0);

    let (cpu, pings, quiet) = (process.cpu_seconds(), group.pings.get(), Instant::now());
    let (mut slowest, mut asked) = (Duration::ZERO, 1);
    while quiet.elapsed() < QUIET {
        slowest = slowest.max(fresh(process.address).await);
        asked += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (cpu, pings) = (process.cpu_seconds() - cpu, group.pings.get() - pings);
    let memory = process.memory();
    println!(
        "memory: {} KiB before, {memory} KiB with all: {:.1} KiB for each stream; {} open files",
        before,
        memory.saturating_sub(before) as f64 / streams as f64,
        process.open_files()
    );
    println!("in {QUIET:?}: {pings} pings, {cpu:.1} s of processor time; the slowest fresh request took {slowest:.1?}");
    assert!(slowest < PROMPT, "a fresh request took {slowest:?}");
    assert!(pings >= streams, "{pings} pings for {streams} streams");
    let metrics = process.metrics();
    assert_eq!(metrics.sum("gateway_inflight_requests") as usize, streams);
    assert_eq!(metrics.sum("gateway_provider_inflight") as usize, streams);

    let begun = Instant::now();
    provider.end_streams();
    group.wait("streams have ended", |group| group.ended.get() + group.failed.get(), streams).await;
    println!("all ended within {:.1} s, {} failed", begun.elapsed().as_secs_f64(), group.failed.get());
    assert_eq!(group.failed.get(), 0);
    let metrics = process.metrics();
    assert_eq!(metrics.sum("model_latency_ms_count") as usize, streams + asked);
    assert_eq!(metrics.sum("gateway_inflight_requests"), 0.0);
    assert_eq!(process.said(), Vec::<String>::new());
}

/// More clients than the gateway takes: they wait for their turn, and get it.
async fn beyond_max_connections() {
    const MOST: usize = 100;
    const CLIENTS: usize = 160;
    let provider = Provider::start();
    let process = Process::start(&setup(&provider, &format!("max_connections = {MOST}")), free_port());
    let group = open(process.address, CLIENTS);
    group.wait("streams are open", |group| group.open.get(), MOST).await;
    println!(
        "{CLIENTS} clients, server.max_connections = {MOST}: {} streams are open, {} failed",
        group.open.get(),
        group.failed.get()
    );
    provider.end_streams();
    group.wait("streams have ended", |group| group.ended.get() + group.failed.get(), CLIENTS).await;
    println!("all others got their turn: {} ended well, {} failed", group.ended.get(), group.failed.get());
    assert_eq!(group.failed.get(), 0);
    fresh(process.address).await;
    process.said().iter().for_each(|line| println!("  logged: {line}"));
}

/// More streams than the process may have files: some are refused or wait; it says so and lives on.
async fn beyond_open_files() {
    const FILES: usize = 300;
    const CLIENTS: usize = 400;
    let provider = Provider::start();
    let mut process = Process::start_with_files(&setup(&provider, ""), free_port(), FILES);
    let group = open(process.address, CLIENTS);
    // Two files for each stream, and some for the process itself.
    group.wait("streams are open", |group| group.open.get(), FILES / 3).await;
    harness::eventually("a word about it", || {
        process.said().iter().any(|line| line.contains("open files")).then_some(())
    });
    println!("{CLIENTS} clients, {FILES} files: {} streams are open, {} failed", group.open.get(), group.failed.get());
    provider.end_streams();
    group.wait("streams have ended", |group| group.ended.get() + group.failed.get(), CLIENTS).await;
    println!("then: {} ended well, {} failed", group.ended.get(), group.failed.get());
    assert!(group.ended.get() >= FILES / 3);
    assert!(process.ended().is_none(), "it lives");
    fresh(process.address).await;
    let mut said = process.said();
    println!("{} lines in the log, for example:", said.len());
    said.dedup_by_key(|line| line.split(' ').skip(1).collect::<String>());
    said.iter().take(5).for_each(|line| println!("  {line}"));
    said.iter().for_each(|line| assert!(!line.contains("panic"), "{line}"));
}
