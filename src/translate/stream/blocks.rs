//! The blocks of one message as they are written: indices without a gap, never two open at once.
//!
//! The state is one enum, so that a second start or an unclosed block is hard to write.

use bytes::BytesMut;

use super::sink;
use crate::translate::reasoning::{Details, TextDigest};
use crate::translate::response::Context;
use crate::wire::anthropic::message::{Delta, EmptyObject, Event, MessageDelta, StartBlock, Usage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotStarted,
    Between { next: u32 },
    InBlock { index: u32, kind: Kind },
    Done,
}

/// What is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    /// The place of the call among the calls.
    Tool(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    context: Context<'a>,
    state: State,
    /// What the next signature has to carry.
    pub(super) details: Details,
    digest: TextDigest,
    /// Thinking that the client does not want to see.
    hidden: String,
    has_content: bool,
}

impl<'a> Blocks<'a> {
    /// `started`: `message_start` has been written by somebody else.
    pub(super) fn new(context: Context<'a>, started: bool) -> Self {
        Blocks {
            context,
            state: if started { State::Between { next: 0 } } else { State::NotStarted },
            details: Details::default(),
            digest: TextDigest::default(),
            hidden: String::new(),
            has_content: false,
        }
    }

    /// Whether any block has been written.
    pub(super) fn has_content(&self) -> bool {
        self.has_content
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes held until the next signature.
    pub(super) fn size(&self) -> usize {
        self.details.size() + self.hidden.len()
    }

    /// The call whose block is open.
    pub(super) fn open_tool(&self) -> Option<usize> {
        match self.state {
            State::InBlock { kind: Kind::Tool(place), .. } => Some(place),
            _ => None,
        }
    }

    /// Writes `message_start` and a ping, unless that has been done.
    pub(super) fn start(&mut self, out: &mut BytesMut) {
        if self.state == State::NotStarted {
            sink::message_start(out, &self.context);
            self.state = State::Between { next: 0 };
        }
    }

    /// `message_start` has been written by somebody else.
    pub(super) fn mark_started(&mut self) {
        if self.state == State::NotStarted {
            self.state = State::Between { next: 0 };
        }
    }

    pub(super) fn text(&mut self, text: &str, out: &mut BytesMut) {
        let index = self.enter(Kind::Text, StartBlock::Text { text: "" }, out);
        sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::TextDelta { text } });
    }

    pub(super) fn thinking(&mut self, thinking: &str, out: &mut BytesMut) {
        let index = self.enter(Kind::Thinking, StartBlock::Thinking { thinking: "", signature: "" }, out);
        if self.context.omit_thinking {
            self.hidden.push_str(thinking);
            return;
        }
        self.digest.push(thinking);
        sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::ThinkingDelta { thinking } });
    }

    pub(super) fn tool(&mut self, place: usize, id: &str, name: &str, out: &mut BytesMut) {
        let start = StartBlock::ToolUse { id, name: self.context.names.original(name), input: EmptyObject {} };
        self.enter(Kind::Tool(place), start, out);
    }

    /// Arguments of the open call.
    pub(super) fn arguments(&mut self, partial_json: &str, out: &mut BytesMut) {
        if let State::InBlock { index, kind: Kind::Tool(_) } = self.state {
            sink::event(out, &Event::ContentBlockDelta { index, delta: Delta::InputJsonDelta { partial_json } });
        }
    }

    /// Makes sure that a block of this kind is open, closing what else is; its index.
    fn enter(&mut self, kind: Kind, content_block: StartBlock<'_>, out: &mut BytesMut) -> u32 {
        if let State::InBlock { index, kind: open } = self.state
            && open == kind
        {
            return index;
        }
        self.close(out);
        if kind != Kind::Thinking {
            self.keep_details(out);
        }
        self.open(kind, content_block, out)
    }

    fn open(&mut self, kind: Kind, content_block: StartBlock<'_>, out: &mut BytesMut) -> u32 {
        self.start(out);
        let index = if let State::Between { next } = self.state { next } else { 0 };
        sink::event(out, &Event::ContentBlockStart { index, content_block });
        self.state = State::InBlock { index, kind };
        self.has_content = true;
        index
    }

    /// Reasoning that is no text (encrypted, or a signature alone) gets a block of its own, for what a provider
    /// wants back must reach the client (T50, T51). Asked between blocks only.
    fn keep_details(&mut self, out: &mut BytesMut) {
        if !self.details.is_empty() {
            self.open(Kind::Thinking, StartBlock::Thinking { thinking: "", signature: "" }, out);
            self.close(out);
        }
    }

    /// Closes what is open, a thinking block with its signature (T48).
    pub(super) fn close(&mut self, out: &mut BytesMut) {
        let State::InBlock { index, kind } = self.state else { return };
        if kind == Kind::Thinking {
            let (digest, hidden) = (std::mem::take(&mut self.digest), std::mem::take(&mut self.hidden));
            let signature = self.context.signer.sign(digest, hidden, self.details.take());
            let delta = Delta::SignatureDelta { signature: &signature };
            sink::event(out, &Event::ContentBlockDelta { index, delta });
        }
        sink::event(out, &Event::ContentBlockStop { index });
        self.state = State::Between { next: index + 1 };
    }

    /// Ends the message.
    pub(super) fn end(&mut self, delta: MessageDelta<'_>, usage: Usage, out: &mut BytesMut) {
        self.close(out);
        self.keep_details(out);
        self.start(out);
        sink::event(out, &Event::MessageDelta { delta, usage });
        sink::event(out, &Event::MessageStop);
        self.state = State::Done;
    }
}
