//! One request after the other: asks, reads, and judges what came.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::asked::{Asked, Hold};
use super::http::{Client, Head};
use super::providers::Providers;
use crate::harness::CLIENT_KEY;
use crate::protocol::{self, Ended};

/// Far longer than any request can take: the providers' time-outs and all attempts together.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a request ended, as its client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With the whole answer.
    Well,
    /// With a status.
    Refused(Refusal),
    /// With this type of error after content, or before it when the stream had begun.
    Broken { kind: String, after_content: bool },
    /// The client went away.
    Cancelled,
}

/// An error as a whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub kind: String,
    /// Whether the same request may be sent again.
    pub retry: bool,
    /// Whether the connection is closed after it.
    pub closes: bool,
}

/// What must not be.
#[derive(Debug)]
pub enum Problem {
    /// Nothing came of an answer; the connection did not come about or broke.
    NoAnswer(String),
    Wrong(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Problem {
        Problem::Wrong(problem)
    }
}

impl From<&str> for Problem {
    fn from(problem: &str) -> Problem {
        Problem::Wrong(problem.to_owned())
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Problem::NoAnswer(problem) | Problem::Wrong(problem)) = self;
        f.write_str(problem)
    }
}

/// A request that has ended.
pub struct Done {
    pub end: End,
    pub took: Duration,
}

/// Asks for a model.
pub async fn ask(client: &mut Client, providers: &Providers, model: &str, asked: Asked) -> Result<Done, Problem> {
    let begun = Instant::now();
    let ended = tokio::time::timeout(PATIENCE, exchange(client, providers, model, &asked)).await;
    let problem = match ended {
        Ok(Ok(end)) => return Ok(Done { end, took: begun.elapsed() }),
        Ok(Err(Problem::NoAnswer(problem))) => Problem::NoAnswer(format!("{problem}: {model}, {asked:?}")),
        Ok(Err(Problem::Wrong(problem))) => Problem::Wrong(format!("{problem}: {model}, {asked:?}")),
        Err(_) => Problem::Wrong(format!("hangs for {PATIENCE:?}: {model}, {asked:?}")),
    };
    client.hang_up();
    Err(problem)
}

async fn exchange(client: &mut Client, providers: &Providers, model: &str, asked: &Asked) -> Result<End, Problem> {
    let body = asked.body(model);
    let broken = |error: std::io::Error| Problem::NoAnswer(format!("no answer: {error}"));
    let head = match asked.hold {
        Hold::BeforeHead => {
            let read = providers.has_read(asked.number);
            tokio::select! {
                head = client.send(CLIENT_KEY, &body) => head.map_err(broken)?,
                Ok(()) = read => {
                    client.hang_up();
                    return Ok(End::Cancelled);
                }
            }
        }
        Hold::Never | Hold::AfterContent => client.send(CLIENT_KEY, &body).await.map_err(broken)?,
    };
    let id = head.header("request-id").ok_or("no request-id")?.to_owned();
    match head.status {
        200 if asked.stream => Ok(stream(client, asked, &id).await?),
        200 => {
            let bytes = client.rest().await.map_err(|error| format!("a broken body: {error}"))?;
            let message = serde_json::from_slice(&bytes).map_err(|error| format!("no JSON: {error}"))?;
            Ok(judge(asked, &message).map(|()| End::Well)?)
        }
        _ => Ok(refusal(client, &head, &id).await?),
    }
}

async fn refusal(client: &mut Client, head: &Head, id: &str) -> Result<End, String> {
    let bytes = client.rest().await.map_err(|error| format!("a broken error: {error}"))?;
    let text = String::from_utf8_lossy(&bytes);
    let body: Value = serde_json::from_slice(&bytes).map_err(|_| format!("an error that is no JSON: {text}"))?;
    let kind = envelope(&body, id)?;
    let retry = head.header("x-should-retry").ok_or("no x-should-retry")?;
    let known = [
        (400, "invalid_request_error", "false"),
        (429, "rate_limit_error", "true"),
        (502, "api_error", "true"),
        (502, "api_error", "false"),
        (504, "timeout_error", "true"),
        (529, "overloaded_error", "true"),
    ];
    match known.contains(&(head.status, &kind, retry)) {
        true => {
            let (retry, closes) = (retry == "true", head.header("connection") == Some("close"));
            Ok(End::Refused(Refusal { status: head.status, kind, retry, closes }))
        }
        false => Err(format!("status {}, {retry}, does not go with {text}", head.status)),
    }
}

/// Checks the envelope of an error; gives its type.
fn envelope(body: &Value, id: &str) -> Result<String, String> {
    let names = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>().join(" "));
    let whole = names(body).as_deref() == Some("error request_id type")
        && names(&body["error"]).as_deref() == Some("message type")
        && body["type"] == "error"
        && body["request_id"] == id
        && body["error"]["message"].as_str().is_some_and(|message| !message.is_empty());
    let kind = body["error"]["type"].as_str().filter(|_| whole);
    kind.map(str::to_owned).ok_or_else(|| format!("not the envelope of an error of {id}: {body}"))
}

async fn stream(client: &mut Client, asked: &Asked, id: &str) -> Result<End, String> {
    let mut bytes = Vec::new();
    loop {
        let piece = client.piece().await.map_err(|error| format!("a stream without an end: {error}"))?;
        let Some(piece) = piece else { break };
        bytes.extend(piece);
        let has_content = || memchr::memmem::find(&bytes, b"event: content_block_delta\n").is_some();
        if asked.hold == Hold::AfterContent && has_content() {
            client.hang_up();
            return Ok(End::Cancelled);
        }
    }
    match protocol::check(&bytes)? {
        Ended::Stopped(message) => judge(asked, &message).map(|()| End::Well),
        Ended::Failed(_) => {
            let text = String::from_utf8_lossy(&bytes);
            let last = text.trim_end().rsplit("\ndata: ").next().unwrap_or_default();
            let last = serde_json::from_str(last).map_err(|error| format!("the last event is no JSON: {error}"))?;
            let kind = envelope(&last, id)?;
            let said = said(&text);
            if !asked.text().starts_with(&said) {
                return Err(format!("another one's words before an error: {said:?}"));
            }
            Ok(End::Broken { kind, after_content: text.contains("event: content_block_start\n") })
        }
    }
}

/// The text of a stream that broke.
fn said(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    events.filter_map(|event| event["delta"]["text"].as_str().map(str::to_owned)).collect()
}

/// Whether a message is the whole answer to this request.
fn judge(asked: &Asked, message: &Value) -> Result<(), String> {
    let blocks = message["content"].as_array().ok_or("no content")?;
    let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let calls: Vec<String> =
        blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| block["input"].to_string()).collect();
    let usage = |field: &str| message["usage"][field].as_u64();
    let reason = if asked.tool { "tool_use" } else { "end_turn" };
    let expected_calls = if asked.tool { vec![asked.arguments()] } else { Vec::new() };
    let (input, output) = asked.usage();
    let right = text == asked.text()
        && calls == expected_calls
        && message["stop_reason"] == reason
        && usage("input_tokens") == Some(input)
        && usage("output_tokens") == Some(output);
    if right { Ok(()) } else { Err(format!("not the answer to this request: {message}")) }
}
