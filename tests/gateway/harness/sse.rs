//! The events of a stream, as they come.

use serde_json::Value;

use super::PROVIDER_KEY;
use super::http::Body;

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
}

impl Events {
    pub fn new(body: Body) -> Events {
        Events { body, held: String::new() }
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

    /// All events that are still to come.
    pub fn rest(mut self) -> Transcript {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        assert_eq!(self.held, "", "the stream ends with half a frame");
        Transcript { events, complete: self.body.complete }
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

    /// Fails unless the order is that of a whole message: one start, blocks 0, 1, 2... each opened and closed
    /// once, one delta, one stop, and nothing after it (T9, T20).
    pub fn assert_whole(&self) {
        let mut open = None;
        let mut next = 0;
        let mut stage = "message_start";
        for event in self.events.iter().filter(|event| event.name != "ping") {
            let index = event.data["index"].as_u64();
            stage = match (stage, event.name.as_str()) {
                ("message_start", "message_start") => "blocks",
                ("blocks", "content_block_start") if open.is_none() && index == Some(next) => {
                    open = index;
                    next += 1;
                    "blocks"
                }
                ("blocks", "content_block_delta") if open.is_some() && index == open => "blocks",
                ("blocks", "content_block_stop") if open.is_some() && index == open => {
                    open = None;
                    "blocks"
                }
                ("blocks", "message_delta") if open.is_none() => "message_stop",
                ("message_stop", "message_stop") => "end",
                _ => panic!("{event:?} stands in a wrong place of {:?}", self.names()),
            };
        }
        assert_eq!(stage, "end", "{:?}", self.names());
        assert!(self.complete, "the stream has no end");
    }
}
