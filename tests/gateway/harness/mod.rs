//! Everything that a test needs to stand on both sides of the gateway: a client that sees raw HTTP, a provider
//! that does what it is told, and the gateway between them, over real sockets.
//!
//! Nothing here sleeps to win a race: whoever waits, waits for something, and at most for [`PATIENCE`].

pub mod binary;
pub mod exposition;
pub mod gateway;
pub mod http;
pub mod message;
pub mod provider;
pub mod scratch;
pub mod simulator;
pub mod sse;
pub mod tls;

use std::time::{Duration, Instant};

pub use gateway::{CLIENT_KEY, Gateway, METRICS_TOKEN, PROVIDER_KEY};
pub use provider::Provider;
pub use simulator::Simulator;

/// How long a test waits for what must come: far longer than it takes, also on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until the answer is there.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come about in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
