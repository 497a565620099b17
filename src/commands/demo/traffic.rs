//! A lively mix of requests over all families, so that a dashboard has something to show.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use awc::Client;
use futures_util::StreamExt;
use rand::Rng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::moods;
use super::scenario::{self, Drill};

/// What to send, and where.
pub(super) struct Plan {
    pub gateway: SocketAddr,
    pub simulator: SocketAddr,
    pub key: String,
    /// Ids of the catalog.
    pub models: Vec<String>,
    /// Requests per second.
    pub rate: f64,
    /// Trouble to make.
    pub drill: Option<Drill>,
}

const PROMPTS: [&str; 6] = [
    "Hello, how are you today?",
    "Write a short poem about the sea.",
    "What is 17 + 25?",
    "count to 40",
    "Explain in a few sentences how a gateway differs from a proxy.",
    "What is the weather in Lisbon?",
];

/// More open requests than that are not begun.
const MAX_OPEN: usize = 500;

#[derive(Default)]
struct Tally {
    sent: u64,
    failed: u64,
    open: usize,
}

/// Starts the traffic on the current thread; it goes on until the process ends.
pub(super) fn start(plan: Plan) {
    actix_rt::spawn(async move {
        let client = Client::builder().timeout(Duration::from_secs(120)).disable_redirects().finish();
        actix_rt::spawn(moods::vary(client.clone(), plan.simulator, plan.rate));
        let spends = Rc::new(Cell::new(false));
        if let Some(drill) = plan.drill {
            actix_rt::spawn(scenario::run(drill, client.clone(), plan.simulator, spends.clone()));
        }
        let tally: Rc<RefCell<Tally>> = Rc::default();
        actix_rt::spawn(show_progress(tally.clone()));
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / plan.rate));
        loop {
            ticks.tick().await;
            if tally.borrow().open >= MAX_OPEN {
                continue;
            }
            let request = client
                .post(format!("http://{}/v1/messages", plan.gateway))
                .insert_header(("x-api-key", plan.key.as_str()))
                .send_json(&if spends.get() { dear_request() } else { random_request(&plan.models) });
            tally.borrow_mut().open += 1;
            let tally = tally.clone();
            actix_rt::spawn(async move {
                let succeeded = match request.await {
                    Ok(mut answer) => {
                        let whole = answer.by_ref().all(|bytes| std::future::ready(bytes.is_ok())).await;
                        whole && answer.status().is_success()
                    }
                    Err(_) => false,
                };
                let mut tally = tally.borrow_mut();
                tally.open -= 1;
                tally.sent += 1;
                tally.failed += u64::from(!succeeded);
            });
        }
    });
}

/// Some ten thousand tokens of prompt for a model whose price is known.
fn dear_request() -> Value {
    json!({
        "model": "claude-opus-4-5",
        "max_tokens": 256,
        "messages": [{"role": "user", "content": "Please summarise this. ".repeat(2000)}],
    })
}

fn random_request(models: &[String]) -> Value {
    let mut rng = rand::rng();
    // The families' shares differ, and within a family the first models are asked most.
    let weight = |id: &String| match id {
        id if id.starts_with("claude-sonnet") => 4.0,
        id if id.starts_with("claude") => 1.0,
        id if id.starts_with("gpt") => 2.5,
        _ => 2.0,
    };
    let model = models.choose_weighted(&mut rng, weight).cloned().unwrap_or_default();
    let prompt = PROMPTS.choose(&mut rng).copied().unwrap_or_default();
    let mut request = json!({
        "model": model,
        "max_tokens": 256,
        "stream": rng.random_bool(0.6),
        "system": "You are a helpful assistant.",
        "messages": [{"role": "user", "content": prompt}],
    });
    if prompt.contains("weather") {
        request["tools"] = json!([{
            "name": "get_weather",
            "description": "The weather in a city",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }]);
    }
    if rng.random_bool(0.1) {
        request["thinking"] = json!({"type": "adaptive"});
    }
    request
}

async fn show_progress(tally: Rc<RefCell<Tally>>) {
    let begun = Instant::now();
    let live = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(Duration::from_secs(if live { 1 } else { 10 }));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Tally { sent, failed, open } = *tally.borrow();
        let seconds = begun.elapsed().as_secs_f64();
        let line = format!(
            "traffic: {sent} answered ({:.1}/s), {failed} failed, {open} open, {seconds:.0} s",
            sent as f64 / seconds
        );
        match live {
            true => print!("\r{line}   "),
            false => println!("{line}"),
        }
        // Without a reader the traffic goes on all the same.
        let _ = std::io::stdout().flush();
    }
}
