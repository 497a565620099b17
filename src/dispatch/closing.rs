//! The end of the gateway, as open requests see it: shortly before they would be cut, they are told.

use std::time::Instant;

use tokio::sync::watch;

use crate::error::{Cause, GatewayError};

/// Tells open requests when they must have ended.
#[derive(Debug, Clone)]
pub struct Closing(watch::Receiver<Option<Instant>>);

impl Closing {
    /// The announcer, and what it is heard by.
    pub fn new() -> (watch::Sender<Option<Instant>>, Closing) {
        let (sender, receiver) = watch::channel(None);
        (sender, Closing(receiver))
    }

    /// Returns when the time has come; never, while nothing is announced.
    pub async fn reached(&self) -> GatewayError {
        let mut announced = self.0.clone();
        let at = announced.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        match at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            // Whoever would announce it is gone, and with it the server.
            None => std::future::pending().await,
        }
        GatewayError::new(Cause::Closing, "This gateway is shutting down; send the request again").retry_after(Some(1))
    }
}
