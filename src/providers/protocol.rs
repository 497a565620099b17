//! The messages between dispatch and a provider's actor.

use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use send_wrapper::SendWrapper;

use super::body::AnswerBody;
use super::circuit::Pass;
use super::places::Place;
use crate::error::GatewayError;

/// One request to the provider.
#[derive(Message)]
#[rtype(result = "Result<SendWrapper<Answer>, GatewayError>")]
pub struct Call {
    /// A chat completion request, written.
    pub body: Bytes,
    pub stream: bool,
    /// When the answer must have ended.
    pub deadline: Instant,
    pub leave: Leave,
}

/// What a call needs before it is made, and gives back at its end.
pub struct Leave {
    pub(super) pass: Pass,
    /// Held until then; none where the calls are not bounded.
    pub(super) _place: Option<Place>,
}

/// A provider's answer, of which the head has arrived.
///
/// Not `Send`, as replies must be: it travels in a [`SendWrapper`], which is sound because the actor lives on
/// the thread of those who ask it.
pub struct Answer {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// Whether the body is a stream of events.
    pub is_event_stream: bool,
    pub body: AnswerBody,
}
