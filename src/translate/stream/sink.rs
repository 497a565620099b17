//! Writing events as frames: the few that are written outside a translation too.

use bytes::BytesMut;

use crate::error::GatewayError;
use crate::translate::response::Context;
use crate::wire::anthropic::message::{AssistantRole, ErrorObject, Event, Message, MessageType, Usage};
use crate::wire::sse::write_frame;

/// Appends an event.
pub fn event(out: &mut BytesMut, event: &Event<'_>) {
    write_frame(out, event.name(), event);
}

/// Appends `message_start` and the ping that Anthropic sends after it.
pub fn message_start(out: &mut BytesMut, context: &Context<'_>) {
    let message = Message {
        id: context.message_id,
        kind: MessageType::Message,
        role: AssistantRole::Assistant,
        model: context.model,
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        stop_details: None,
        // An estimate of the input, and the one output token that Anthropic counts here; the figures that
        // count follow in `message_delta`.
        usage: Usage { input_tokens: context.input_estimate.tokens(), output_tokens: 1, ..Usage::default() },
    };
    event(out, &Event::MessageStart { message });
    ping(out);
}

/// Appends a ping.
pub fn ping(out: &mut BytesMut) {
    event(out, &Event::Ping);
}

/// Appends the event that ends a failed stream.
pub fn error(out: &mut BytesMut, error: &GatewayError, request_id: &str) {
    let (_, kind, _) = error.cause.answer();
    let error = ErrorObject { kind, message: &error.message, details: error.details };
    event(out, &Event::Error { error, request_id });
}
