//! The order of events that every stream must keep, checked on the bytes as they go out.
//!
//! A guard against ourselves: in tests a violation is a panic, in a running gateway it is counted. Reads event
//! names and indices only, which costs less than writing them did.

use memchr::{memchr, memchr_iter};

/// What a stream has said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Before,
    Between {
        next: u32,
    },
    Open {
        index: u32,
    },
    /// `message_delta` has been sent.
    Closing,
    /// `message_stop` or `error` has been sent.
    Ended,
}

/// An event that must not stand where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The event's name; empty when the frame is none.
    pub event: String,
}

/// The order of one stream.
#[derive(Debug, Default)]
pub struct Order {
    state: State,
}

impl Order {
    /// Checks whole frames, which are the next of the stream.
    pub fn observe(&mut self, frames: &[u8]) -> Result<(), Violation> {
        let mut rest = frames;
        while !rest.is_empty() {
            let blank = memchr_iter(b'\n', rest).find(|at| rest.get(at + 1) == Some(&b'\n'));
            let end = blank.map_or(rest.len(), |at| at + 2);
            let (frame, after) = rest.split_at(end);
            self.frame(frame)?;
            rest = after;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), Violation> {
        let name_end = memchr(b'\n', frame).unwrap_or(frame.len());
        let (name, data) = frame.split_at(name_end);
        let name = name.strip_prefix(b"event: ").unwrap_or_default();
        let next = match (name, self.state) {
            (b"ping", State::Before | State::Ended) => None,
            (b"ping", state) => Some(state),
            (b"message_start", State::Before) => Some(State::Between { next: 0 }),
            (b"content_block_start", State::Between { next }) if index(data) == Some(next) => {
                Some(State::Open { index: next })
            }
            (b"content_block_delta", State::Open { index: open }) if index(data) == Some(open) => Some(self.state),
            (b"content_block_stop", State::Open { index: open }) if index(data) == Some(open) => {
                Some(State::Between { next: open + 1 })
            }
            (b"message_delta", State::Between { .. }) => Some(State::Closing),
            (b"message_stop", State::Closing) => Some(State::Ended),
            (b"error", State::Between { .. } | State::Open { .. } | State::Closing) => Some(State::Ended),
            _ => None,
        };
        self.state = next.ok_or_else(|| Violation { event: String::from_utf8_lossy(name).into_owned() })?;
        Ok(())
    }
}

/// The block's index: our frames have it right after the type.
fn index(data: &[u8]) -> Option<u32> {
    let after_type = &data[memchr(b',', data)?..];
    let digits = after_type.strip_prefix(b",\"index\":")?.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<u32>, digit| {
        number.unwrap_or(0).checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, index: Option<u32>) -> String {
        let index = index.map_or(String::new(), |index| format!(",\"index\":{index}"));
        format!("event: {name}\ndata: {{\"type\":\"{name}\"{index}}}\n\n")
    }

    fn stream(events: &[(&str, Option<u32>)]) -> Result<(), Violation> {
        let frames: String = events.iter().map(|(name, index)| frame(name, *index)).collect();
        Order::default().observe(frames.as_bytes())
    }

    const WELL: [(&str, Option<u32>); 9] = [
        ("message_start", None),
        ("ping", None),
        ("content_block_start", Some(0)),
        ("content_block_delta", Some(0)),
        ("content_block_stop", Some(0)),
        ("content_block_start", Some(1)),
        ("content_block_stop", Some(1)),
        ("message_delta", None),
        ("message_stop", None),
    ];

    #[test]
    fn a_stream_in_order_passes_and_every_event_left_out_or_doubled_is_found() {
        assert_eq!(stream(&WELL), Ok(()));
        for (at, (name, _)) in WELL.into_iter().enumerate() {
            let mut without = WELL.to_vec();
            without.remove(at);
            // A missing end is no violation yet, and a ping or a delta may be missing.
            let harmless = ["ping", "content_block_delta", "message_stop"].contains(&name);
            assert_eq!(stream(&without).is_ok(), harmless, "without {name} at {at}");
            let mut doubled = WELL.to_vec();
            doubled.insert(at, WELL[at]);
            let harmless = ["ping", "content_block_delta"].contains(&name);
            assert_eq!(stream(&doubled).is_ok(), harmless, "{name} doubled at {at}");
        }
    }

    #[test]
    fn an_error_ends_a_stream() {
        assert_eq!(stream(&[("message_start", None), ("content_block_start", Some(0)), ("error", None)]), Ok(()));
        assert!(stream(&[("error", None)]).is_err());
        assert!(stream(&[("message_start", None), ("error", None), ("ping", None)]).is_err());
        assert!(Order::default().observe(b"garbage").is_err());
    }
}
