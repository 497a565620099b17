//! The end of the process: whose signals say so, and what happens in which order.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use tokio::sync::watch;

/// How the end goes.
pub(super) struct Drain {
    /// The listener stays open so long.
    pub(super) notice: Duration,
    /// Open requests go on so long.
    pub(super) open: Duration,
    pub(super) closing: watch::Sender<Option<Instant>>,
}

/// Tells when to stop; asked again, tells when to stop at once.
pub trait StopSignals: 'static {
    /// Waits for the next signal.
    fn next(&mut self) -> impl Future<Output = Stop>;
}

/// How urgently to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A platform replaces this process: say so before the listener closes.
    WithNotice,
    /// Somebody at a keyboard: the listener closes now, open requests may end.
    WithoutNotice,
}

/// SIGTERM and SIGINT of this process.
pub struct ProcessSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl ProcessSignals {
    /// Takes the signals over from the runtime.
    pub fn listen() -> io::Result<ProcessSignals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(ProcessSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl StopSignals for ProcessSignals {
    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::WithNotice,
            _ = self.interrupt.recv() => Stop::WithoutNotice,
        }
    }
}

/// Returns when the server has stopped, or shall be waited for no longer.
pub(super) async fn stop_in_order(
    mut stop: impl StopSignals,
    handle: ServerHandle,
    draining: Arc<AtomicBool>,
    drain: Drain,
) {
    let urgency = stop.next().await;
    draining.store(true, Ordering::Relaxed);
    log::info!("stopping: no new requests, open ones may end; a second signal ends them too");
    if urgency == Stop::WithNotice {
        tokio::select! {
            () = tokio::time::sleep(drain.notice) => {}
            _ = stop.next() => {
                log::warn!("stopping at once");
                return handle.stop(false).await;
            }
        }
    }
    drain.closing.send_replace(Some(Instant::now() + drain.open));
    tokio::select! {
        () = handle.stop(true) => {}
        // A server that stops in order hears no other order: what is open ends with the process.
        _ = stop.next() => log::warn!("stopping at once"),
    }
}
