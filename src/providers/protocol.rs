//! The messages between dispatch and a provider's actor.

use std::time::Duration;

use actix::prelude::*;
use send_wrapper::SendWrapper;

use super::body::AnswerBody;
use super::circuit::Pass;
use super::places::Place;
use crate::error::GatewayError;
use crate::wire::pieces::Pieces;

/// One attempt.
pub struct Ask {
    /// A chat completion request, written.
    pub body: Pieces,
    pub stream: bool,
    /// In which the answer must have ended, from its turn on: to wait for that is not the provider's time.
    pub time_left: Duration,
    /// An attempt before met a connection that closed without an answer, so that one more is no accident.
    pub disconnected_before: bool,
}

/// An attempt that has its turn.
#[derive(Message)]
#[rtype(result = "Result<SendWrapper<Answer>, GatewayError>")]
pub struct Call {
    pub ask: Ask,
    pub leave: Leave,
}

/// What a call needs before it is made, and gives back at its end.
pub struct Leave {
    pub(super) pass: Pass,
    /// Held until then; none where the calls are not bounded.
    pub(super) place: Option<Place>,
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
