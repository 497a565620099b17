//! The third verb: chunks to events.
//!
//! The state is one enum, so that a second start or an unclosed block is hard to write. Calls that cannot be
//! sent yet wait in `calls::Calls`. Nothing is written before there is content (or [`StreamTranslator::start`]
//! is called), so that a failure until then can still become a real status.

mod calls;
pub mod sink;

use std::borrow::Cow;

use bytes::BytesMut;
use serde_json::value::RawValue;

use self::calls::Calls;
use super::error;
use super::reasoning::{Details, TextDigest};
use super::response::{Context, reasoning_fragment, stop_details};
use super::stop_reason::{self, Finish};
use super::usage::{Tally, usage};
use crate::error::{Cause, GatewayError};
use crate::tokens::Estimator;
use crate::wire::anthropic::message::{Delta, Event, MessageDelta, StartBlock, StopReason, Usage};
use crate::wire::openai::completion::{Choice, Completion};
use crate::wire::text::SurrogateJoiner;

/// What follows the last chunk of a stream.
const DONE: &[u8] = b"[DONE]";

/// Why the bytes of a provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Cleanly, as far as the transport can tell.
    Eof,
    /// `[DONE]` came, and then nothing for long enough.
    AfterDone,
}

/// Bounds in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For the arguments of all calls of a message, and what waits for them, and for reasoning details.
    pub tool_buffer: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotStarted,
    Between { next: u32 },
    InBlock { index: u32, kind: Kind },
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// The place of the call in [`Calls`].
    Tool(usize),
}

/// Text or thinking that came while a call was unfinished.
#[derive(Debug)]
enum Deferred {
    Text(String),
    Thinking(String),
}

/// One provider's stream on its way to one client.
#[derive(Debug)]
pub struct StreamTranslator<'a> {
    context: Context<'a>,
    bounds: Bounds,
    state: State,
    calls: Calls,
    deferred: Vec<Deferred>,
    deferred_size: usize,
    text_joiner: SurrogateJoiner,
    thinking_joiner: SurrogateJoiner,
    thinking_digest: TextDigest,
    details: Details,
    refusal: Option<String>,
    finish: Option<Finish>,
    done_seen: bool,
    any_chunk: bool,
    any_tool: bool,
    has_content: bool,
    reported: Option<Usage>,
    cost: Option<f64>,
    output: Estimator,
    stop_reason: Option<StopReason>,
}

impl<'a> StreamTranslator<'a> {
    /// `started`: an earlier attempt has already sent `message_start`.
    pub fn new(context: Context<'a>, bounds: Bounds, started: bool) -> Self {
        StreamTranslator {
            context,
            bounds,
            state: if started { State::Between { next: 0 } } else { State::NotStarted },
            calls: Calls::default(),
            deferred: Vec::new(),
            deferred_size: 0,
            text_joiner: SurrogateJoiner::default(),
            thinking_joiner: SurrogateJoiner::default(),
            thinking_digest: TextDigest::default(),
            details: Details::default(),
            refusal: None,
            finish: None,
            done_seen: false,
            any_chunk: false,
            any_tool: false,
            has_content: false,
            reported: None,
            cost: None,
            output: Estimator::default(),
            stop_reason: None,
        }
    }

    /// Whether a block has been opened: from then on no other provider can answer instead.
    pub fn has_content(&self) -> bool {
        self.has_content
    }

    /// Whether `message_stop` has been written.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether `[DONE]` came and only the usage may be missing: not worth a long wait.
    pub fn is_only_waiting_for_usage(&self) -> bool {
        self.done_seen && !self.is_done()
    }

    /// Tokens so far: the provider's figures if it gave any, otherwise our estimate.
    pub fn tally(&self) -> Tally {
        match self.reported {
            Some(usage) => Tally { usage, estimated: false, cost: self.cost },
            None => {
                let usage = Usage {
                    input_tokens: self.context.input_estimate,
                    output_tokens: self.output.tokens(),
                    ..Usage::default()
                };
                Tally { usage, estimated: true, cost: None }
            }
        }
    }

    /// Set when the stream is done.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason
    }

    /// Writes `message_start` and a ping, unless that has been done.
    pub fn start(&mut self, out: &mut BytesMut) {
        if self.state == State::NotStarted {
            sink::message_start(out, &self.context);
            self.state = State::Between { next: 0 };
        }
    }

    /// `message_start` has been sent by somebody else.
    pub fn mark_started(&mut self) {
        if self.state == State::NotStarted {
            self.state = State::Between { next: 0 };
        }
    }

    /// Takes in the data of one event.
    pub fn on_data(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        if self.is_done() {
            return Ok(());
        }
        let data = data.trim_ascii();
        if data == DONE {
            self.done_seen = true;
            return if self.reported.is_some() { self.complete(out) } else { Ok(()) };
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk: Completion<'_> = serde_json::from_slice(data).map_err(|_| {
            GatewayError::new(Cause::InvalidResponse, "the provider sent a chunk that is not a chat completion")
        })?;
        if let Some(error) = error::inside(&chunk, data) {
            return Err(error);
        }
        self.any_chunk = true;
        if let Some(reported) = &chunk.usage {
            self.reported = usage(reported).or(self.reported);
            self.cost = reported.cost.or(self.cost);
        }
        if let Some(choice) = chunk.choices.iter().find(|choice| choice.index.unwrap_or(0) == 0) {
            self.on_choice(choice, out)?;
        }
        match self.finish.is_some() && self.reported.is_some() {
            true => self.complete(out),
            false => Ok(()),
        }
    }

    /// The provider's bytes have ended.
    pub fn on_end(&mut self, end: End, out: &mut BytesMut) -> Result<(), GatewayError> {
        if self.is_done() {
            return Ok(());
        }
        let whole = self.finish.is_some() || (self.any_chunk && (self.done_seen || end == End::AfterDone));
        match whole {
            true => self.complete(out),
            false => Err(GatewayError::new(Cause::Interrupted, "the provider broke off in the middle of its answer")),
        }
    }

    fn on_choice(&mut self, choice: &Choice<'_>, out: &mut BytesMut) -> Result<(), GatewayError> {
        if let Some(delta) = &choice.delta {
            delta.reasoning_details.iter().for_each(|raw| self.details.push(raw));
            if self.details.size() > self.bounds.tool_buffer {
                return Err(over_bound());
            }
            let reasoning = reasoning_fragment(delta);
            if !reasoning.is_empty() {
                let text = self.thinking_joiner.push(&reasoning).into_owned();
                self.add_thinking(&text, out)?;
            }
            if let Some(words) = delta.content.as_ref().filter(|words| !words.0.is_empty()) {
                let text = self.text_joiner.push(&words.0.0).into_owned();
                self.add_text(&text, out)?;
            }
            if let Some(words) = delta.refusal.as_ref().filter(|words| !words.0.is_empty()) {
                self.refusal.get_or_insert_default().push_str(&String::from_utf8_lossy(&words.0.0));
            }
            for part in &delta.tool_calls {
                let added = self.calls.take_in(part)?;
                if self.calls.size() + self.deferred_size > self.bounds.tool_buffer {
                    return Err(over_bound());
                }
                self.output.push(&added);
                self.advance_calls(out);
            }
        }
        if self.finish.is_none() {
            self.finish = stop_reason::finish(choice);
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str, out: &mut BytesMut) -> Result<(), GatewayError> {
        if text.is_empty() {
            return Ok(());
        }
        self.output.push(text);
        if self.must_wait_for_calls() {
            return self.defer(Deferred::Text(text.to_owned()), text.len());
        }
        let index = self.enter(Kind::Text, out)?;
        sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::TextDelta { text } });
        Ok(())
    }

    fn add_thinking(&mut self, thinking: &str, out: &mut BytesMut) -> Result<(), GatewayError> {
        if thinking.is_empty() {
            return Ok(());
        }
        self.output.push(thinking);
        if self.must_wait_for_calls() {
            return self.defer(Deferred::Thinking(thinking.to_owned()), thinking.len());
        }
        let index = self.enter(Kind::Thinking, out)?;
        if !self.context.omit_thinking {
            self.thinking_digest.push(thinking);
            sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::ThinkingDelta { thinking } });
        }
        Ok(())
    }

    /// A call is open whose arguments have not ended, or calls wait that have not.
    fn must_wait_for_calls(&self) -> bool {
        self.calls.any_unfinished()
    }

    fn defer(&mut self, what: Deferred, size: usize) -> Result<(), GatewayError> {
        self.deferred_size += size;
        if self.calls.size() + self.deferred_size > self.bounds.tool_buffer {
            return Err(over_bound());
        }
        self.deferred.push(what);
        Ok(())
    }

    /// Makes sure that a text or thinking block is open, closing what else is; its index.
    fn enter(&mut self, kind: Kind, out: &mut BytesMut) -> Result<u32, GatewayError> {
        match self.state {
            State::InBlock { index, kind: open } if open == kind => return Ok(index),
            State::InBlock { kind: Kind::Tool(_), .. } => self.flush_calls(out)?,
            _ => {}
        }
        self.close_block(out);
        self.start(out);
        let index = self.next_index();
        let content_block = match kind {
            Kind::Thinking => StartBlock::Thinking { thinking: "", signature: "" },
            Kind::Text | Kind::Tool(_) => StartBlock::Text { text: "" },
        };
        sink::event(out, &Event::ContentBlockStart { index, content_block });
        self.state = State::InBlock { index, kind };
        self.has_content = true;
        Ok(index)
    }

    fn next_index(&self) -> u32 {
        match self.state {
            State::Between { next } => next,
            State::InBlock { index, .. } => index + 1,
            State::NotStarted | State::Done => 0,
        }
    }

    /// Closes a text or thinking block with what belongs to its end. Tool blocks end in [`Self::close_call`].
    fn close_block(&mut self, out: &mut BytesMut) {
        let State::InBlock { index, kind } = self.state else { return };
        match kind {
            Kind::Text => {
                let rest = self.text_joiner.finish();
                if !rest.is_empty() {
                    sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::TextDelta { text: rest } });
                }
            }
            Kind::Thinking => {
                let rest = self.thinking_joiner.finish();
                if !rest.is_empty() && !self.context.omit_thinking {
                    self.thinking_digest.push(rest);
                    sink::event(
                        out,
                        &Event::ContentBlockDelta { index, delta: Delta::ThinkingDelta { thinking: rest } },
                    );
                }
                let signature = self.sign();
                let delta = Delta::SignatureDelta { signature: &signature };
                sink::event(out, &Event::ContentBlockDelta { index, delta });
            }
            Kind::Tool(_) => {}
        }
        sink::event(out, &Event::ContentBlockStop { index });
        self.state = State::Between { next: index + 1 };
    }

    fn sign(&mut self) -> String {
        let details: Vec<Box<RawValue>> = self.details.take();
        self.context.signer.sign(std::mem::take(&mut self.thinking_digest), details)
    }

    /// Sends what can be sent of the calls: the open one live, the next one when the open one is whole.
    fn advance_calls(&mut self, out: &mut BytesMut) {
        loop {
            match self.state {
                State::InBlock { index, kind: Kind::Tool(place) } => {
                    self.send_arguments(place, index, out);
                    if !self.calls.is_whole(place) || !self.calls.waits_after(place) {
                        return;
                    }
                    self.close_block(out);
                }
                _ => {
                    let Some(place) = self.calls.next_waiting().filter(|place| self.calls.has_name(*place)) else {
                        return;
                    };
                    self.open_call(place, out);
                }
            }
        }
    }

    fn open_call(&mut self, place: usize, out: &mut BytesMut) {
        self.close_block(out);
        self.start(out);
        let index = self.next_index();
        let id = self.calls.open(place, self.context.message_id);
        let name = self.context.names.original(self.calls.name(place));
        let content_block =
            StartBlock::ToolUse { id: &id, name, input: crate::wire::anthropic::message::EmptyObject {} };
        sink::event(out, &Event::ContentBlockStart { index, content_block });
        self.state = State::InBlock { index, kind: Kind::Tool(place) };
        self.has_content = true;
        self.any_tool = true;
    }

    fn send_arguments(&mut self, place: usize, index: u32, out: &mut BytesMut) {
        let partial_json = self.calls.unsent(place);
        if !partial_json.is_empty() {
            sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::InputJsonDelta { partial_json } });
            self.calls.mark_sent(place);
        }
    }

    /// Ends every call, in order, as far as they are whole; then what had to wait for them.
    fn flush_calls(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        let cut = self.finish.as_ref().is_some_and(|finish| finish.reason == StopReason::MaxTokens);
        if let State::InBlock { index, kind: Kind::Tool(place) } = self.state {
            self.close_call(place, index, cut, out)?;
        }
        while let Some(place) = self.calls.next_waiting() {
            match self.calls.check(place) {
                Ok(()) => {
                    self.open_call(place, out);
                    let index = self.next_index() - 1;
                    self.send_arguments(place, index, out);
                    self.close_call(place, index, cut, out)?;
                }
                // Cut off in mid-argument and not yet shown: the call is left out (T30).
                Err(_) if cut => self.calls.skip(place),
                Err(error) => return Err(error),
            }
        }
        for deferred in std::mem::take(&mut self.deferred) {
            // Counted when it came.
            let output = self.output;
            match deferred {
                Deferred::Text(text) => self.add_text(&text, out)?,
                Deferred::Thinking(thinking) => self.add_thinking(&thinking, out)?,
            }
            self.output = output;
        }
        self.deferred_size = 0;
        Ok(())
    }

    fn close_call(&mut self, place: usize, index: u32, cut: bool, out: &mut BytesMut) -> Result<(), GatewayError> {
        match self.calls.check(place) {
            Ok(()) => {
                if self.calls.is_without_arguments(place) {
                    let delta = Delta::InputJsonDelta { partial_json: "{}" };
                    sink::event(out, &Event::ContentBlockDelta { index, delta });
                }
            }
            Err(error) if !cut => return Err(error),
            Err(_) => {}
        }
        self.close_block(out);
        Ok(())
    }

    fn complete(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        self.flush_calls(out)?;
        // A half character at the very end, with no block open that could take it.
        let rest: Cow<'_, str> = Cow::Borrowed(self.text_joiner.clone().finish());
        if !rest.is_empty() {
            self.enter(Kind::Text, out)?;
        }
        self.close_block(out);
        self.start(out);
        let mut finish = self.finish.take().unwrap_or_else(Finish::unsaid);
        finish.settle(self.any_tool, self.refusal.take());
        let delta = MessageDelta {
            stop_reason: Some(finish.reason),
            stop_sequence: finish.sequence.as_deref(),
            stop_details: stop_details(&finish),
        };
        sink::event(out, &Event::MessageDelta { delta, usage: self.tally().usage });
        sink::event(out, &Event::MessageStop);
        self.stop_reason = Some(finish.reason);
        self.state = State::Done;
        Ok(())
    }
}

fn over_bound() -> GatewayError {
    GatewayError::new(
        Cause::InvalidResponse,
        "the model's tool calls are longer than the gateway's bound (stream.max_tool_buffer)",
    )
}
