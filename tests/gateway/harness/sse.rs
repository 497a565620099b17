//! The events of a stream, as they come.

use serde_json::Value;

use super::PROVIDER_KEY;
use super::http::Body;
use crate::protocol::{self, Ended};

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

impl Event {
    /// Reads a frame, which must be written as Anthropic writes it (T19).
    fn read(frame: &str) -> Event {
        assert!(!frame.contains(PROVIDER_KEY), "the provider's key stands in a stream: {frame}");
        let mut lines = frame.lines();
        let field = |line: Option<&str>, name: &str| {
            let line = line.unwrap_or_else(|| panic!("no {name} in {frame:?}"));
            line.strip_prefix(name).unwrap_or_else(|| panic!("{line:?} is no {name}")).to_owned()
        };
        let name = field(lines.next(), "event: ");
        let data = field(lines.next(), "data: ");
        assert_eq!(lines.next(), None, "{frame:?}");
        let data: Value = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
        assert_eq!(data["type"], name.as_str());
        Event { name, data }
    }
}

/// The events of an open stream. Dropping it hangs up.
pub struct Events {
    body: Body,
    /// What has come and is no whole frame yet.
    held: String,
    /// All that has come.
    seen: Vec<u8>,
}

impl Events {
    pub fn new(body: Body) -> Events {
        Events { body, held: String::new(), seen: Vec::new() }
    }

    /// Waits for the next event; none at the end.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((frame, rest)) = self.held.split_once("\n\n") {
                let event = Event::read(frame);
                self.held = rest.to_owned();
                return Some(event);
            }
            let bytes = self.body.read()?;
            self.seen.extend_from_slice(&bytes);
            self.held.push_str(std::str::from_utf8(&bytes).expect("whole characters in each write"));
        }
    }

    /// Waits for the next event that is no ping.
    pub fn next_but_ping(&mut self) -> Option<Event> {
        loop {
            match self.next() {
                Some(event) if event.name == "ping" => {}
                other => return other,
            }
        }
    }

    /// Waits for the next event of this name, and gives it.
    pub fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before {name}"));
            if event.name == name {
                return event;
            }
        }
    }

    /// All events that are still to come. A stream that came to its end must have kept the protocol.
    pub fn rest(mut self) -> Transcript {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        assert_eq!(self.held, "", "the stream ends with half a frame");
        let complete = self.body.complete;
        let ended = complete.then(|| protocol::check(&self.seen).unwrap_or_else(|fault| panic!("{fault}")));
        Transcript { events, complete, ended }
    }

    /// Closes the connection.
    pub fn hang_up(self) {
        self.body.hang_up();
    }
}

/// A stream that has ended.
#[derive(Debug)]
pub struct Transcript {
    pub events: Vec<Event>,
    /// Whether it came to the end that HTTP marks.
    pub complete: bool,
    /// How it ended, if it did.
    ended: Option<Ended>,
}

impl Transcript {
    /// The names in order, without pings.
    pub fn names(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.name.as_str()).filter(|name| *name != "ping").collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event.name == name).count()
    }

    pub fn find(&self, name: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.name == name)
    }

    /// The text of all text deltas.
    pub fn said(&self) -> String {
        let delta = |event: &Event| event.data["delta"]["text"].as_str().map(str::to_owned);
        self.events.iter().filter_map(delta).collect()
    }

    /// Fails unless it ended as a whole message does (T9, T20).
    pub fn assert_whole(&self) {
        assert!(matches!(self.ended, Some(Ended::Stopped(_))), "{:?}", self.ended);
    }
}
