//! `gatewayz simulate`

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::Outcome;
use crate::simulator::{self, Pace};
use crate::startup::{ProcessSignals, StopSignals};

/// Runs the simulator on loopback until a signal stops it.
pub fn run(port: u16, first_token: Duration, tokens_per_second: f64) -> Outcome {
    if !(tokens_per_second > 0.0 && tokens_per_second.is_finite()) {
        return Err("--speed must be a number above 0".into());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot listen on port {port}: {error}; give another one by --port"))?;
    let address = listener.local_addr()?;
    actix_rt::System::new().block_on(async {
        let server = simulator::start(listener, Pace { first_token, tokens_per_second }, 1)?;
        let handle = server.handle();
        let mut signals = ProcessSignals::listen()?;
        let stop = actix_rt::spawn(async move {
            signals.next().await;
            handle.stop(false).await;
        });
        println!("The simulator answers on http://{address}/v1 (moods: http://{address}/simulator/moods)");
        server.await?;
        stop.abort();
        Ok(())
    })
}
