//! A response body that plays its acts when they are due.

use std::future::pending;

use actix_web::rt::time::sleep_until;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::Instant;

use super::script::{Act, Timed};
use super::state::Visit;

/// Why a body ends before its end; the server answers it by closing the connection.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulator cut the connection")
    }
}

impl std::error::Error for Broken {}

/// Plays the acts, counted from `start`. The server drops the stream when the client goes, and the visit with it.
pub fn play(acts: Vec<Timed>, start: Instant, visit: Visit) -> impl Stream<Item = Result<Bytes, Broken>> {
    unfold((acts.into_iter(), visit), move |(mut acts, mut visit)| async move {
        let next = acts.next()?;
        wait_until(start + next.due).await;
        let item = match next.act {
            Act::Send(bytes) => Ok(bytes),
            Act::Cut => Err(Broken),
            Act::Hang => pending().await,
        };
        // The client may hang up as soon as it has the last piece, before the stream is asked for more.
        if acts.len() == 0 {
            visit.finish();
        }
        Some((item, (acts, visit)))
    })
}

/// Waits only for what lies ahead: even a timer that is due costs a millisecond.
pub async fn wait_until(due: Instant) {
    if due > Instant::now() {
        sleep_until(due).await;
    }
}
