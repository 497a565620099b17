//! What an open stream costs in memory while its provider is silent.

use std::time::Duration;

use tokio::time::sleep;

use super::case::{Answer, CASES, Case};
use super::contender::Running;
use super::inputs::Size;
use super::load::Connection;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Idle {
    pub size: Size,
    pub contender: String,
    /// Streams that were open at once.
    pub streams: usize,
    /// Bytes for each stream.
    pub each: f64,
    /// Why there were no more.
    pub stopped_by: Option<String>,
}

/// Opens so many streams, if it can, each with a request of this size, and looks how the memory has grown.
pub async fn measure(running: &Running, size: Size, wanted: usize) -> Option<Idle> {
    let process = running.process.as_ref()?;
    let case = Case { size, answer: Answer::Held, ..CASES[0] };
    let request = running.contender.request(&case);
    let mut streams = Vec::with_capacity(wanted);
    let (mut stopped_by, mut before) = (None, process.resident());
    while streams.len() < wanted {
        match open(running, &request).await {
            Ok(stream) => streams.push(stream.drain()),
            Err(problem) => {
                stopped_by = Some(problem);
                break;
            }
        }
        if streams.len() == 1 {
            // What is set up with the first request belongs to no stream.
            before = process.resident();
        }
    }
    // What is only needed at the beginning may be given back.
    sleep(Duration::from_secs(1)).await;
    let grown = process.resident().saturating_sub(before);
    streams.iter().for_each(|stream| stream.abort());
    Some(Idle {
        size,
        contender: running.contender.name.clone(),
        streams: streams.len(),
        each: grown as f64 / streams.len().saturating_sub(1).max(1) as f64,
        stopped_by,
    })
}

async fn open(running: &Running, request: &[u8]) -> Result<Connection, String> {
    let mut stream = Connection::open(running.address).await?;
    stream.send(request).await?;
    stream.wait_for("data: ").await?;
    Ok(stream)
}
