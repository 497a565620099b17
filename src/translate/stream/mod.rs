//! The third verb: chunks to events.
//!
//! `blocks` writes the blocks, `calls` keeps the tool calls that cannot be sent yet. Nothing is written
//! before there is content (or [`StreamTranslator::start`] is called), so that a failure until then can still
//! become a real status.

mod arguments;
mod blocks;
mod calls;
pub mod reader;
pub mod sink;

use bytes::BytesMut;

use self::blocks::Blocks;
use self::calls::Calls;
use super::error;
use super::response::{Context, reasoning_fragment, stop_details};
use super::stop_reason::{self, Finish};
use super::usage::{Tally, usage};
use crate::error::{Cause, GatewayError};
use crate::tokens::Estimator;
use crate::wire::anthropic::message::{MessageDelta, StopReason, Usage};
use crate::wire::json;
use crate::wire::openai::completion::{Choice, Completion, Delta};
use crate::wire::text::SurrogateJoiner;

/// What follows the last chunk of a stream.
const DONE: &[u8] = b"[DONE]";

/// Why the bytes of a provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Cleanly, as far as the transport can tell.
    Eof,
    /// The provider has said all that an answer needs, and then nothing for long enough.
    AfterDone,
}

/// Bounds in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For all that is held of one message: tool calls, what waits for them, reasoning to be signed.
    pub tool_buffer: usize,
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
    blocks: Blocks<'a>,
    calls: Calls,
    deferred: Vec<Deferred>,
    deferred_size: usize,
    text_joiner: SurrogateJoiner,
    thinking_joiner: SurrogateJoiner,
    refusal: Option<String>,
    finish: Option<Finish>,
    done_seen: bool,
    any_choice: bool,
    any_tool: bool,
    reported: Option<Usage>,
    /// The provider counted when it had finished or later: nothing is missing.
    counted_at_end: bool,
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
            blocks: Blocks::new(context, started),
            calls: Calls::default(),
            deferred: Vec::new(),
            deferred_size: 0,
            text_joiner: SurrogateJoiner::default(),
            thinking_joiner: SurrogateJoiner::default(),
            refusal: None,
            finish: None,
            done_seen: false,
            any_choice: false,
            any_tool: false,
            reported: None,
            counted_at_end: false,
            cost: None,
            output: Estimator::default(),
            stop_reason: None,
        }
    }

    /// Whether a block has been opened: from then on no other provider can answer instead.
    pub fn has_content(&self) -> bool {
        self.blocks.has_content()
    }

    /// Whether `message_stop` has been written.
    pub fn is_done(&self) -> bool {
        self.blocks.is_done()
    }

    /// Whether `[DONE]` came and only the usage may be missing: not worth a long wait.
    pub fn is_only_waiting_for_usage(&self) -> bool {
        self.done_seen && !self.is_done()
    }

    /// Whether the answer has ended and only its usage may follow.
    pub fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Tokens so far: the provider's figures if it gave any, otherwise our estimate.
    pub fn tally(&self) -> Tally {
        match self.reported {
            Some(usage) => Tally { usage, estimated: false, cost: self.cost },
            None => {
                let usage = Usage {
                    input_tokens: self.context.input_estimate.tokens(),
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
        self.blocks.start(out);
    }

    /// `message_start` has been sent by somebody else.
    pub fn mark_started(&mut self) {
        self.blocks.mark_started();
    }

    /// Takes in the data of one event.
    pub fn on_data(&mut self, data: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        let data = data.trim_ascii();
        if self.is_done() || data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            self.done_seen = true;
            return if self.any_choice && self.reported.is_some() { self.complete(out) } else { Ok(()) };
        }
        let chunk: Completion<'_> = match json::from_slice(data) {
            Ok(chunk) => chunk,
            // After its end a stream has nothing to say but its usage (T4).
            Err(_) if self.done_seen => return Ok(()),
            Err(_) => {
                let problem = "The provider sent a chunk that is not a chat completion";
                return Err(GatewayError::new(Cause::InvalidResponse, problem));
            }
        };
        if !self.done_seen {
            if let Some(error) = error::inside(&chunk, data) {
                return Err(error);
            }
            if let Some(choice) = chunk.choices.iter().find(|choice| choice.index.unwrap_or(0) == 0) {
                self.on_choice(choice, out)?;
            }
        }
        if let Some(reported) = &chunk.usage {
            let counted = usage(reported);
            self.counted_at_end |= counted.is_some() && (self.finish.is_some() || self.done_seen);
            self.reported = counted.or(self.reported);
            self.cost = reported.cost.or(self.cost);
        }
        // Figures that came before the finish may be those of the first token only (T41).
        match self.any_choice && self.counted_at_end {
            true => self.complete(out),
            false => Ok(()),
        }
    }

    /// The provider's bytes have ended.
    pub fn on_end(&mut self, end: End, out: &mut BytesMut) -> Result<(), GatewayError> {
        if self.is_done() {
            return Ok(());
        }
        let whole = self.finish.is_some() || (self.any_choice && (self.done_seen || end == End::AfterDone));
        match (whole, self.any_choice) {
            (true, _) => self.complete(out),
            (false, true) => {
                Err(GatewayError::new(Cause::Interrupted, "The provider broke off in the middle of its answer"))
            }
            (false, false) => {
                Err(GatewayError::new(Cause::InvalidResponse, "The provider's answer holds no chat completion"))
            }
        }
    }

    fn on_choice(&mut self, choice: &Choice<'_>, out: &mut BytesMut) -> Result<(), GatewayError> {
        self.any_choice = true;
        if let Some(delta) = choice.said() {
            self.on_delta(delta, out)?;
        }
        // A second finish changes nothing (T15).
        if self.finish.is_none() {
            self.finish = stop_reason::finish(choice);
        }
        Ok(())
    }

    fn on_delta(&mut self, delta: &Delta<'_>, out: &mut BytesMut) -> Result<(), GatewayError> {
        delta.reasoning_details.iter().for_each(|raw| self.blocks.details.push(raw));
        let reasoning = reasoning_fragment(delta);
        if !reasoning.is_empty() {
            let thinking = self.thinking_joiner.push(&reasoning).into_owned();
            self.output.push(&thinking);
            self.say(Deferred::Thinking(thinking), out)?;
        }
        if let Some(words) = delta.content.as_ref().filter(|words| !words.0.is_empty()) {
            let text = self.text_joiner.push(&words.0.0).into_owned();
            self.output.push(&text);
            self.say(Deferred::Text(text), out)?;
        }
        if let Some(words) = delta.refusal.as_ref().filter(|words| !words.0.is_empty()) {
            self.refusal.get_or_insert_default().push_str(&String::from_utf8_lossy(&words.0.0));
        }
        for part in &delta.tool_calls {
            let added = self.calls.take_in(part)?;
            self.output.push(&added);
            self.advance_calls(out)?;
        }
        let held = self.calls.size() + self.deferred_size + self.blocks.size();
        match held > self.bounds.tool_buffer {
            true => Err(over_bound()),
            false => Ok(()),
        }
    }

    /// Writes text or thinking, or keeps it while calls are unfinished: their blocks come first.
    fn say(&mut self, what: Deferred, out: &mut BytesMut) -> Result<(), GatewayError> {
        let (Deferred::Text(text) | Deferred::Thinking(text)) = &what;
        if text.is_empty() {
            return Ok(());
        }
        if self.calls.any_unfinished() {
            self.deferred_size += text.len();
            self.deferred.push(what);
            return Ok(());
        }
        if let Some(place) = self.blocks.open_tool() {
            self.close_call(place, false, out)?;
        }
        self.write(&what, out);
        Ok(())
    }

    fn write(&mut self, what: &Deferred, out: &mut BytesMut) {
        match what {
            Deferred::Text(text) => self.blocks.text(text, out),
            Deferred::Thinking(thinking) => self.blocks.thinking(thinking, out),
        }
    }

    /// Sends what can be sent of the calls: the open one live, the next one when the open one is whole.
    fn advance_calls(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        loop {
            match self.blocks.open_tool() {
                Some(place) => {
                    self.send_arguments(place, out);
                    if !self.calls.waits_after(place) || !self.calls.is_whole(place) {
                        return Ok(());
                    }
                    self.close_call(place, false, out)?;
                }
                None => match self.calls.next_waiting() {
                    Some(place) if !self.calls.name(place).is_empty() => self.open_call(place, out),
                    _ => return Ok(()),
                },
            }
        }
    }

    fn open_call(&mut self, place: usize, out: &mut BytesMut) {
        let id = self.calls.open(place, self.context.message_id);
        self.blocks.tool(place, &id, self.calls.name(place), out);
        self.any_tool = true;
    }

    fn send_arguments(&mut self, place: usize, out: &mut BytesMut) {
        let unsent = self.calls.unsent(place);
        if !unsent.is_empty() {
            self.blocks.arguments(unsent, out);
            self.calls.mark_sent(place);
        }
    }

    /// Ends every call, in order; then what had to wait for them.
    fn flush_calls(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        let cut = self.refusal.is_some() || self.finish.as_ref().is_some_and(Finish::is_cut_off);
        if let Some(place) = self.blocks.open_tool() {
            self.close_call(place, cut, out)?;
        }
        while let Some(place) = self.calls.next_waiting() {
            match self.calls.check(place) {
                // Cut off and not yet shown: the call is left out (T30).
                Ok(()) if cut && self.calls.is_without_arguments(place) => self.calls.skip(place),
                Err(_) if cut => self.calls.skip(place),
                Ok(()) => {
                    self.open_call(place, out);
                    self.send_arguments(place, out);
                    self.close_call(place, cut, out)?;
                }
                Err(error) => return Err(error),
            }
        }
        for deferred in std::mem::take(&mut self.deferred) {
            self.write(&deferred, out);
        }
        self.deferred_size = 0;
        Ok(())
    }

    fn close_call(&mut self, place: usize, cut: bool, out: &mut BytesMut) -> Result<(), GatewayError> {
        match self.calls.check(place) {
            Ok(()) if self.calls.is_unsent(place) => self.blocks.arguments("{}", out),
            Err(error) if !cut => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.blocks.close(out);
        Ok(())
    }

    fn complete(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        // Halves of characters whose other half never came.
        let (thinking, text) = (self.thinking_joiner.finish(), self.text_joiner.finish());
        self.say(Deferred::Thinking(thinking.to_owned()), out)?;
        self.say(Deferred::Text(text.to_owned()), out)?;
        self.flush_calls(out)?;
        let mut finish = self.finish.take().unwrap_or_else(Finish::unsaid);
        finish.settle(self.any_tool, self.refusal.take());
        let delta = MessageDelta {
            stop_reason: Some(finish.reason),
            stop_sequence: finish.sequence.as_deref(),
            stop_details: stop_details(&finish),
        };
        self.blocks.end(delta, self.tally().usage, out);
        self.stop_reason = Some(finish.reason);
        Ok(())
    }
}

fn over_bound() -> GatewayError {
    GatewayError::new(
        Cause::InvalidResponse,
        "What the gateway must hold of the model's answer is more than its bound (stream.max_tool_buffer)",
    )
}
