//! The tool calls of one streamed message: which fragment belongs to which call, and what is still to be sent.
//!
//! Knows no events and no state of the stream. Calls stand in the order in which they first appeared.

use crate::error::{Cause, GatewayError};
use crate::translate::response::tool_input;
use crate::translate::tools::{is_tool_id, own_tool_id};
use crate::wire::openai::completion::{Arguments, ToolCallPart};
use crate::wire::text::SurrogateJoiner;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Opened,
    Skipped,
}

#[derive(Debug)]
struct Call {
    index: Option<u32>,
    provider_id: Option<String>,
    name: String,
    arguments: String,
    /// Bytes of `arguments` that the client has.
    sent: usize,
    joiner: SurrogateJoiner,
    stage: Stage,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    used_ids: Vec<String>,
}

impl Calls {
    /// Takes in a fragment; returns the arguments that it added.
    pub(super) fn take_in(&mut self, part: &ToolCallPart<'_>) -> Result<String, GatewayError> {
        let id = part.id.as_deref().filter(|id| !id.is_empty());
        let name = part.function.as_ref().and_then(|function| function.name.as_deref()).filter(|name| !name.is_empty());
        let place = self.locate(part.index, id, name);
        let call = &mut self.calls[place];
        if call.provider_id.is_none() {
            call.provider_id = id.map(str::to_owned);
        }
        // Some providers repeat the name in every chunk: the first one stands (T26).
        if call.name.is_empty() {
            call.name = name.unwrap_or_default().to_owned();
        }
        let added = match part.function.as_ref().and_then(|function| function.arguments.as_ref()) {
            None => return Ok(String::new()),
            Some(Arguments::Json(fragment)) => call.joiner.push(&fragment.0).into_owned(),
            Some(Arguments::Object(raw)) if raw.get() == "null" => return Ok(String::new()),
            Some(Arguments::Object(raw)) => raw.get().to_owned(),
        };
        let whole = tool_input(&call.arguments).is_ok() && !call.arguments.trim().is_empty();
        if whole && (added.trim().is_empty() || added == call.arguments) {
            return Ok(String::new());
        }
        if whole && self.is_closed(place) {
            return Err(GatewayError::new(Cause::InvalidResponse, "the model went on with a tool call that had ended"));
        }
        self.calls[place].arguments.push_str(&added);
        Ok(added)
    }

    /// The call that a fragment belongs to, a new one when it is none of those known.
    fn locate(&mut self, index: Option<u32>, id: Option<&str>, name: Option<&str>) -> usize {
        let by_index = index.and_then(|index| self.calls.iter().rposition(|call| call.index == Some(index)));
        let found = match (by_index, id) {
            // An index that is 0 for all calls: another id, with a name, is another call (T27).
            (Some(place), Some(id)) => {
                let other = self.calls[place].provider_id.as_deref().is_some_and(|known| known != id);
                match other && name.is_some() {
                    true => self
                        .calls
                        .iter()
                        .position(|call| call.provider_id.as_deref() == Some(id) && call.index == index),
                    false => Some(place),
                }
            }
            (Some(place), None) => Some(place),
            (None, Some(id)) if index.is_none() => {
                self.calls.iter().position(|call| call.provider_id.as_deref() == Some(id))
            }
            // Neither index nor id: it goes on with the last call, unless it names one anew.
            (None, None) if index.is_none() && name.is_none() => self.calls.len().checked_sub(1),
            (None, _) => None,
        };
        found.unwrap_or_else(|| {
            self.calls.push(Call {
                index,
                provider_id: None,
                name: String::new(),
                arguments: String::new(),
                sent: 0,
                joiner: SurrogateJoiner::default(),
                stage: Stage::Waiting,
            });
            self.calls.len() - 1
        })
    }

    /// Bytes of arguments held.
    pub(super) fn size(&self) -> usize {
        self.calls.iter().map(|call| call.arguments.len()).sum()
    }

    /// Whether any call has been begun whose arguments have not ended.
    pub(super) fn any_unfinished(&self) -> bool {
        (0..self.calls.len()).any(|place| self.calls[place].stage != Stage::Skipped && !self.is_whole(place))
    }

    /// The first call that has not been opened.
    pub(super) fn next_waiting(&self) -> Option<usize> {
        self.calls.iter().position(|call| call.stage == Stage::Waiting)
    }

    /// Whether a call after this one waits.
    pub(super) fn waits_after(&self, place: usize) -> bool {
        self.calls[place + 1..].iter().any(|call| call.stage == Stage::Waiting)
    }

    fn is_closed(&self, place: usize) -> bool {
        self.calls[place].stage == Stage::Opened
            && self.calls[place + 1..].iter().any(|call| call.stage == Stage::Opened)
    }

    /// Whether the arguments so far are a whole object.
    pub(super) fn is_whole(&self, place: usize) -> bool {
        let arguments = self.calls[place].arguments.trim_end();
        arguments.ends_with('}') && tool_input(arguments).is_ok()
    }

    pub(super) fn has_name(&self, place: usize) -> bool {
        !self.calls[place].name.is_empty()
    }

    pub(super) fn name(&self, place: usize) -> &str {
        &self.calls[place].name
    }

    /// Marks a call as opened and settles its id: the provider's when it fits and is new, else our own (T25).
    pub(super) fn open(&mut self, place: usize, message_id: &str) -> String {
        let call = &mut self.calls[place];
        call.stage = Stage::Opened;
        let given =
            call.provider_id.as_deref().filter(|id| is_tool_id(id) && !self.used_ids.iter().any(|used| used == id));
        let id = given.map_or_else(|| own_tool_id(message_id, place), str::to_owned);
        self.used_ids.push(id.clone());
        id
    }

    /// Leaves a call out.
    pub(super) fn skip(&mut self, place: usize) {
        self.calls[place].stage = Stage::Skipped;
    }

    /// What the client does not have yet. Nothing until it is clear that the arguments are an object, since
    /// `null` must become `{}`.
    pub(super) fn unsent(&self, place: usize) -> &str {
        let call = &self.calls[place];
        match call.arguments.trim_start().starts_with('{') {
            true => &call.arguments[call.sent..],
            false => "",
        }
    }

    pub(super) fn mark_sent(&mut self, place: usize) {
        self.calls[place].sent = self.calls[place].arguments.len();
    }

    /// Whether the call has ended without arguments.
    pub(super) fn is_without_arguments(&self, place: usize) -> bool {
        self.calls[place].sent == 0
    }

    /// Whether the call may stand as it is: it has a name, and its arguments are an object or absent.
    pub(super) fn check(&self, place: usize) -> Result<(), GatewayError> {
        let call = &self.calls[place];
        if call.name.is_empty() {
            return Err(GatewayError::new(Cause::InvalidResponse, "the model called a tool without a name"));
        }
        tool_input(&call.arguments).map(|_| ())
    }
}
