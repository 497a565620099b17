//! The body of a provider's answer: read with time limits and a bound, and known to be whole.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};

use super::Provider;
use super::exchange::Payload;
use super::protocol::Leave;
use crate::alarm::Alarm;
use crate::catalog::ProviderId;
use crate::error::{Cause, GatewayError};
use crate::metrics::emitter::Emitter;
use crate::metrics::observation::{CallOutcome, Observation};

/// What is read of the body of an error, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;
const ERROR_BODY_TIME: Duration = Duration::from_secs(1);
/// A body that is read only so that its connection can be used again is given so long.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// See the module. Dropping it closes the connection.
pub struct AnswerBody {
    bytes: Payload,
    /// What is still to come, when the head said how much it would be.
    missing: Option<u64>,
    idle_timeout: Duration,
    deadline: Instant,
    alarm: Alarm,
    max_answer: usize,
    ended: bool,
    guard: CallGuard,
}

impl AnswerBody {
    pub(super) fn new(
        bytes: Payload,
        alarm: Alarm,
        content_length: Option<u64>,
        deadline: Instant,
        provider: &Provider,
        guard: CallGuard,
    ) -> AnswerBody {
        AnswerBody {
            bytes,
            missing: content_length,
            idle_timeout: provider.idle_timeout,
            deadline,
            alarm,
            max_answer: provider.max_answer,
            ended: false,
            guard,
        }
    }

    /// The next bytes; `None` at a clean end. Safe to drop and call again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GatewayError> {
        if self.ended {
            return Ok(None);
        }
        let now = Instant::now();
        if now >= self.deadline {
            // A timer would come second to bytes that are there already, as long as they keep coming.
            return Err(took_too_long());
        }
        let silent_at = now + self.idle_timeout;
        let next = match self.alarm.before(silent_at.min(self.deadline), self.bytes.next()).await {
            Some(next) => next,
            None if self.deadline <= silent_at => return Err(took_too_long()),
            None => {
                return Err(GatewayError::new(Cause::Timeout, "The provider fell silent in the middle of its answer"));
            }
        };
        // Nothing comes after its end or an error.
        self.ended = !matches!(next, Some(Ok(_)));
        match next {
            Some(Ok(bytes)) => {
                self.missing = self.missing.map(|missing| missing.saturating_sub(bytes.len() as u64));
                Ok(Some(bytes))
            }
            Some(Err(error)) => {
                log::debug!("reading a provider's answer: {error}");
                Err(GatewayError::new(Cause::Interrupted, "The provider broke off in the middle of its answer"))
            }
            // A connection that closes between two pieces is an end like any other.
            None if self.missing.is_some_and(|missing| missing > 0) => {
                Err(GatewayError::new(Cause::Interrupted, "The provider broke off in the middle of its answer"))
            }
            None => Ok(None),
        }
    }

    /// The whole body of a success.
    pub async fn read_all(&mut self) -> Result<Bytes, GatewayError> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let mut whole: Option<BytesMut> = None;
        while let Some(bytes) = self.next().await? {
            let whole = whole.get_or_insert_with(|| BytesMut::from(&first[..]));
            if whole.len() + bytes.len() > self.max_answer {
                return Err(GatewayError::new(
                    Cause::InvalidResponse,
                    "The provider's answer is longer than the gateway's bound",
                ));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.map_or(first, BytesMut::freeze))
    }

    /// The beginning of the body of a failure, as far as it can be had soon.
    pub async fn read_error(&mut self) -> Bytes {
        let mut start = BytesMut::new();
        let reading = async {
            while let Ok(Some(bytes)) = self.next().await {
                let room = MAX_ERROR_BODY - start.len();
                start.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if bytes.len() > room {
                    break;
                }
            }
        };
        // The status is known; its words are not worth a long wait.
        let _ = tokio::time::timeout(ERROR_BODY_TIME, reading).await;
        start.freeze()
    }

    /// Says that the answer has begun well.
    pub fn answers(&mut self) {
        self.guard.leave.pass.answers();
    }

    /// Says how the call went. Without it, it was cancelled.
    pub fn settle(&mut self, outcome: CallOutcome) {
        self.guard.settle(outcome);
    }

    /// Reads what is left after a whole answer, apart from the request, so that the connection can serve again. Where
    /// calls are bounded, it is closed unless its end has come already: the next call must not wait for it.
    pub fn release(mut self) {
        if self.ended {
            return;
        }
        if self.guard.leave.place.is_some() {
            while let Some(Ok(Some(_))) = self.next().now_or_never() {}
            return;
        }
        actix_rt::spawn(async move {
            let rest = async { while let Ok(Some(_)) = self.next().await {} };
            // A provider that does not end its answer loses the connection.
            let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
        });
    }
}

fn took_too_long() -> GatewayError {
    GatewayError::new(Cause::Timeout, "The provider's answer took longer than allowed")
}

/// Tells the metrics and the circuit once how a call ended, whatever happens to it, and holds its place until then.
pub(super) struct CallGuard {
    provider: ProviderId,
    emitter: Emitter,
    leave: Leave,
    settled: bool,
}

impl CallGuard {
    pub(super) fn new(provider: ProviderId, emitter: Emitter, leave: Leave) -> CallGuard {
        emitter.record(Observation::CallStarted { provider });
        CallGuard { provider, emitter, leave, settled: false }
    }

    /// What comes of the call says nothing about the provider's health.
    pub(super) fn say_nothing(&mut self) {
        self.leave.pass.settle(CallOutcome::Cancelled);
    }

    pub(super) fn settle(&mut self, outcome: CallOutcome) {
        if !std::mem::replace(&mut self.settled, true) {
            self.leave.pass.settle(outcome);
            self.emitter.record(Observation::CallEnded { provider: self.provider, outcome });
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.settle(CallOutcome::Cancelled);
    }
}
