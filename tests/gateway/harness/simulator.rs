//! The built-in simulator in a thread of its own.

use std::net::{SocketAddr, TcpListener};

use gatewayz::simulator::{Pace, start};
use serde_json::Value;

use super::gateway::{Gateway, Setup};
use super::http::Request;

/// A running simulator, which ends with the process.
pub struct Simulator {
    address: SocketAddr,
}

impl Simulator {
    /// One that answers at once.
    pub fn start() -> Simulator {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            actix_rt::System::new().block_on(async { start(listener, Pace::instant(), 1).unwrap().await.unwrap() });
        });
        Simulator { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// A gateway configuration that sends every model there under its own name.
    pub fn setup(&self) -> Setup {
        Setup::default().provider("simulator", &self.url()).model("*", &["simulator"], "*")
    }

    /// A gateway before it.
    pub fn gateway(&self) -> Gateway {
        self.setup().start()
    }

    /// What it has seen.
    pub fn stats(&self) -> Value {
        Request::new(self.address, "GET", "/simulator/stats").ask().json()
    }
}
