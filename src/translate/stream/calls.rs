//! The tool calls of one streamed message: which fragment belongs to which call, and what is still to be sent.
//!
//! Knows no events and no state of the stream. Calls stand in the order in which they first appeared.

use super::arguments::ObjectReader;
use crate::error::{Cause, GatewayError};
use crate::translate::response::{not_an_object, tool_input};
use crate::translate::tools::{is_tool_id, own_tool_id};
use crate::wire::openai::completion::{Arguments, ToolCallPart};
use crate::wire::text::SurrogateJoiner;

/// Bytes that a call takes besides its arguments, roughly: so many calls are bounded like long ones.
const CALL_SIZE: usize = 128;

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
    end: ObjectReader,
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
    /// Bytes held.
    size: usize,
}

impl Calls {
    /// Takes in a fragment; returns the arguments that it added.
    pub(super) fn take_in(&mut self, part: &ToolCallPart<'_>) -> Result<String, GatewayError> {
        let function = part.function.as_ref();
        let id = part.id.as_deref().filter(|id| !id.is_empty());
        let name = function.and_then(|function| function.name.as_deref()).filter(|name| !name.is_empty());
        let arguments = function.and_then(|function| function.arguments.as_ref());
        let place = self.locate(part.index, id, name, arguments);
        let call = &mut self.calls[place];
        if call.provider_id.is_none() {
            call.provider_id = id.map(str::to_owned);
        }
        // Some providers repeat the name in every chunk: the first one stands (T26).
        if call.name.is_empty() {
            call.name = name.unwrap_or_default().to_owned();
        }
        let added = match arguments {
            None => return Ok(String::new()),
            Some(Arguments::Json(fragment)) => call.joiner.push(&fragment.0).into_owned(),
            Some(Arguments::Object(raw)) if raw.get() == "null" => return Ok(String::new()),
            Some(Arguments::Object(raw)) => raw.get().to_owned(),
        };
        if call.end.is_reached() {
            // Blanks, or everything once more at the end (T23), are nothing new.
            return match added.trim().is_empty() || added == call.arguments {
                true => Ok(String::new()),
                false => {
                    let problem = "The model went on with a tool call that had ended";
                    Err(GatewayError::new(Cause::InvalidResponse, problem))
                }
            };
        }
        let begun = call.is_object();
        call.arguments.push_str(&added);
        // `null` is as good as nothing, so only what begins like an object is held to be one.
        let read = match (begun, call.is_object()) {
            (true, _) => call.end.push(&added),
            (false, true) => call.end.push(&call.arguments),
            (false, false) => Ok(()),
        };
        read.map_err(|_| not_an_object())?;
        self.size += added.len();
        Ok(added)
    }

    /// The call that a fragment belongs to, a new one when it is none of those known.
    fn locate(
        &mut self,
        index: Option<u32>,
        id: Option<&str>,
        name: Option<&str>,
        arguments: Option<&Arguments<'_>>,
    ) -> usize {
        let has_id = |call: &Call, id: &str| call.provider_id.as_deref() == Some(id);
        let last = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None => self.calls.len().checked_sub(1),
        };
        let found = match (last, id) {
            (None, _) => None,
            (Some(place), None) => {
                Some(place).filter(|place| !self.calls[*place].is_followed_by_another(name, arguments))
            }
            // No index, or one that is 0 for all calls: the id tells them apart (T27).
            (Some(place), Some(id)) => {
                let known = self.calls.iter().rposition(|call| call.index == index && has_id(call, id));
                let call = &self.calls[place];
                let goes_on = match call.provider_id {
                    None => !call.is_followed_by_another(name, arguments),
                    Some(_) => index.is_some() && name.is_none(),
                };
                known.or(goes_on.then_some(place))
            }
        };
        found.unwrap_or_else(|| {
            self.size += CALL_SIZE;
            self.calls.push(Call {
                index,
                provider_id: None,
                name: String::new(),
                arguments: String::new(),
                end: ObjectReader::default(),
                sent: 0,
                joiner: SurrogateJoiner::default(),
                stage: Stage::Waiting,
            });
            self.calls.len() - 1
        })
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether any call has not been sent as a whole.
    pub(super) fn any_unfinished(&self) -> bool {
        self.calls.iter().any(|call| match call.stage {
            Stage::Waiting => true,
            Stage::Opened => !call.end.is_reached(),
            Stage::Skipped => false,
        })
    }

    /// The first call that has not been opened.
    pub(super) fn next_waiting(&self) -> Option<usize> {
        self.calls.iter().position(|call| call.stage == Stage::Waiting)
    }

    /// Whether a call after this one waits.
    pub(super) fn waits_after(&self, place: usize) -> bool {
        self.calls[place + 1..].iter().any(|call| call.stage == Stage::Waiting)
    }

    /// Whether the arguments have come to their end.
    pub(super) fn is_whole(&self, place: usize) -> bool {
        self.calls[place].end.is_reached()
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
        match call.is_object() {
            true => &call.arguments[call.sent..],
            false => "",
        }
    }

    pub(super) fn mark_sent(&mut self, place: usize) {
        self.calls[place].sent = self.calls[place].arguments.len();
    }

    /// Whether the client has seen nothing of the arguments.
    pub(super) fn is_unsent(&self, place: usize) -> bool {
        self.calls[place].sent == 0
    }

    /// Whether there are no arguments at all, which is the same as `{}` unless the answer was cut off.
    pub(super) fn is_without_arguments(&self, place: usize) -> bool {
        self.calls[place].arguments.trim().is_empty()
    }

    /// Whether the call may stand as it is: it has a name, and its arguments are an object or absent.
    pub(super) fn check(&self, place: usize) -> Result<(), GatewayError> {
        let call = &self.calls[place];
        if call.name.is_empty() {
            return Err(GatewayError::new(Cause::InvalidResponse, "The model called a tool without a name"));
        }
        tool_input(&call.arguments).map(|_| ())
    }
}

impl Call {
    /// Whether the arguments begin like an object.
    fn is_object(&self) -> bool {
        self.arguments.trim_start().starts_with('{')
    }

    /// Whether a fragment without an id begins another call: it has another name, or the same one and new
    /// arguments although these have ended.
    fn is_followed_by_another(&self, name: Option<&str>, arguments: Option<&Arguments<'_>>) -> bool {
        let Some(name) = name else { return false };
        let says_more = match arguments {
            None => false,
            Some(Arguments::Json(fragment)) => {
                !fragment.0.trim_ascii().is_empty() && &*fragment.0 != self.arguments.as_bytes()
            }
            Some(Arguments::Object(raw)) => raw.get() != self.arguments,
        };
        !self.name.is_empty() && name != self.name || self.end.is_reached() && says_more
    }
}
