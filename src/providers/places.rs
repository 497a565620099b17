//! How many calls a provider may have at once, over all workers, and who waits for one of them to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::error::{Cause, GatewayError};

/// See the module.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_queue: usize,
    queue_timeout: Duration,
}

/// A place among the calls of a provider, free again when dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    /// `None` for a provider without a bound.
    pub(super) fn new(provider: &config::Provider) -> Option<Places> {
        let count = provider.max_concurrent.min(Semaphore::MAX_PERMITS);
        (count > 0).then(|| Places {
            free: Arc::new(Semaphore::new(count)),
            waiting: AtomicUsize::new(0),
            max_queue: provider.max_queue,
            queue_timeout: provider.queue_timeout,
        })
    }

    /// Takes a place; waits for one, first come first served, as long as the queue has room and the time lasts.
    pub(super) async fn take(&self) -> Result<Place, GatewayError> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Ok(place);
        }
        let Some(_queued) = Queued::join(self) else { return Err(self.full("and enough requests wait already")) };
        match tokio::time::timeout(self.queue_timeout, self.free.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(self.full("and none ended in time")),
        }
    }

    /// Whoever comes back after the time that one may wait finds all who wait now served or gone.
    fn full(&self, why: &str) -> GatewayError {
        let seconds = (self.queue_timeout.as_secs_f64().ceil() as u64).max(1);
        let message = format!("The provider has as many calls as the gateway may make at once, {why}");
        GatewayError::new(Cause::QueueFull, message).retry_after(Some(seconds))
    }
}

/// Somebody who waits, until dropped.
struct Queued<'a>(&'a Places);

impl Queued<'_> {
    fn join(places: &Places) -> Option<Queued<'_>> {
        let more = |waiting| (waiting < places.max_queue).then_some(waiting + 1);
        places.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Queued(places))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
