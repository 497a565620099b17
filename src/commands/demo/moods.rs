//! How the demo tells its simulator to behave.

use std::net::SocketAddr;
use std::time::Duration;

use awc::Client;
use serde_json::json;

/// Some models are always less well than others: upstream id, mood, argument.
const LASTING: [(&str, &str, u32); 3] = [
    ("mistralai/mistral-nemo", "flaky", 10),
    ("meta-llama/llama-3.1-8b-instruct", "flaky", 2),
    ("google/gemini-2.5-pro", "slow", 700),
];

/// What goes wrong from time to time: upstream id, mood, for so many calls. Three calls are all attempts of a request
/// with one provider.
const PASSING: [(&str, &str, u64); 3] = [
    ("google/gemini-2.5-flash-lite", "error", 3),
    ("meta-llama/llama-3.3-70b-instruct", "unavailable", 3),
    ("mistralai/mistral-small-3.2-24b-instruct", "cut", 1),
];

/// Sets what lasts, and then what passes, again and again: once for about so many requests of all models together.
pub(super) async fn vary(client: Client, simulator: SocketAddr, rate: f64) {
    const REQUESTS: f64 = 750.0;
    for (model, mood, argument) in LASTING {
        set(&client, simulator, model, mood, Some(argument), None).await;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs_f64((REQUESTS / rate).max(5.0)));
    loop {
        ticks.tick().await;
        for (model, mood, times) in PASSING {
            set(&client, simulator, model, mood, None, Some(times)).await;
        }
    }
}

/// Puts a model (`*`: all) into a mood, for so many calls or for ever.
pub(super) async fn set(
    client: &Client,
    simulator: SocketAddr,
    model: &str,
    mood: &str,
    argument: Option<u32>,
    times: Option<u64>,
) {
    let wish = json!({"mood": mood, "argument": argument, "times": times});
    let set = client.put(url(simulator, model)).send_json(&wish).await;
    if !set.is_ok_and(|answer| answer.status().is_success()) {
        log::warn!("the simulator did not take the mood {mood} for {model}");
    }
}

/// Takes a mood away again.
pub(super) async fn clear(client: &Client, simulator: SocketAddr, model: &str) {
    let cleared = client.delete(url(simulator, model)).send().await;
    if !cleared.is_ok_and(|answer| answer.status().is_success()) {
        log::warn!("the simulator did not end the mood of {model}");
    }
}

fn url(simulator: SocketAddr, model: &str) -> String {
    format!("http://{simulator}/simulator/moods/{model}")
}

/// The moods of ordinary traffic.
#[cfg(test)]
pub(super) fn used() -> impl Iterator<Item = &'static str> {
    LASTING.iter().map(|(_, mood, _)| *mood).chain(PASSING.iter().map(|(_, mood, _)| *mood))
}
