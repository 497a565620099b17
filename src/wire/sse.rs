//! Server-sent events: decoding what a provider sends, framing what a client gets.
//!
//! The decoder follows the WHATWG rules (LF, CR, CRLF, comments, several `data:` lines, optional space)
//! with two differences that providers make necessary: a last event without its blank line still counts,
//! and the length of a line and of an event is bounded.

use bytes::{BufMut, BytesMut};
use memchr::memchr2;
use serde::Serialize;

/// A line or the data of one event grew over the bound given to [`Decoder::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Turns bytes, however they are cut, into the `data` of events.
#[derive(Debug)]
pub struct Decoder {
    /// The start of a line whose end has not arrived.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    max: usize,
}

impl Decoder {
    /// `max`: the bound in bytes for one line and for the data of one event.
    pub fn new(max: usize) -> Self {
        Decoder { line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, at_start: true, max }
    }

    /// Takes the next bytes and calls `on_data` for each event that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_data: impl FnMut(&[u8])) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                self.extend_line(bytes)?;
                return Ok(());
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.accept_line(&bytes[..end], &mut on_data)?;
            } else {
                self.extend_line(&bytes[..end])?;
                let line = std::mem::take(&mut self.line);
                self.accept_line(&line, &mut on_data)?;
                self.line = line;
                self.line.clear();
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    /// The bytes have ended: an event whose blank line is missing is handed out all the same.
    pub fn finish(&mut self, mut on_data: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.accept_line(&line, &mut on_data)?;
        }
        self.dispatch(&mut on_data);
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > self.max {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn accept_line(&mut self, line: &[u8], on_data: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        if line.len() > self.max {
            return Err(TooLong);
        }
        let line = match std::mem::take(&mut self.at_start) {
            true => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            self.dispatch(on_data);
            return Ok(());
        }
        // Comments and the fields `event`, `id` and `retry` say nothing in an OpenAI-compatible stream.
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..]) | Some([b':', value @ ..]) => value,
            _ => return Ok(()),
        };
        if self.data.len() + value.len() + 1 > self.max {
            return Err(TooLong);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        Ok(())
    }

    fn dispatch(&mut self, on_data: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.has_data) {
            on_data(&self.data);
            self.data.clear();
        }
    }
}

/// Appends one frame: `event: NAME`, `data: JSON`, blank line.
pub fn write_frame(out: &mut BytesMut, name: &str, data: &impl Serialize) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    // Our own event types hold no map with foreign keys and no float that is not finite, and a BytesMut
    // grows: there is nothing here that can fail.
    serde_json::to_writer(out.writer(), data).expect("events serialize");
    out.put_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(parts: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::new(1024);
        let mut events = Vec::new();
        for part in parts {
            decoder.feed(part, |data| events.push(String::from_utf8_lossy(data).into_owned())).unwrap();
        }
        decoder.finish(|data| events.push(String::from_utf8_lossy(data).into_owned())).unwrap();
        events
    }

    const MIXED: &[u8] =
        "\u{feff}: hello\r\ndata: {\"a\":1}\r\n\r\ndata:x\rdata: y\r\rid: 5\nevent: z\ndata: é\n\n\ndata\n\ndata: last"
            .as_bytes();

    #[test]
    fn every_kind_of_line_end_comment_and_field() {
        assert_eq!(decode(&[MIXED]), ["{\"a\":1}", "x\ny", "é", "", "last"]);
    }

    #[test]
    fn any_cut_gives_the_same_events() {
        let whole = decode(&[MIXED]);
        for cut in 0..MIXED.len() {
            assert_eq!(decode(&[&MIXED[..cut], &MIXED[cut..]]), whole, "cut at {cut}");
        }
        let single: Vec<&[u8]> = MIXED.chunks(1).collect();
        assert_eq!(decode(&single), whole);
    }

    #[test]
    fn a_line_over_the_bound_is_refused_whole_or_in_pieces() {
        let long = [b"data: ".as_slice(), &[b'x'; 2000]].concat();
        assert_eq!(Decoder::new(1024).feed(&long, |_| ()), Err(TooLong));
        let mut decoder = Decoder::new(1024);
        assert!(long.chunks(100).any(|part| decoder.feed(part, |_| ()).is_err()));
    }

    /// Found by the fuzzer: with a byte order mark the same line was too long in pieces and not in one.
    #[test]
    fn a_byte_order_mark_counts_towards_the_bound() {
        let line = [b"\xef\xbb\xbf:".as_slice(), &[b'x'; 1022], b"\n"].concat();
        assert_eq!(Decoder::new(1024).feed(&line, |_| ()), Err(TooLong));
        let mut decoder = Decoder::new(1024);
        assert!(line.chunks(100).any(|part| decoder.feed(part, |_| ()).is_err()));
    }

    #[test]
    fn the_data_of_many_lines_is_bounded_too() {
        let mut decoder = Decoder::new(1024);
        assert!((0..200).any(|_| decoder.feed(b"data: 0123456789\n", |_| ()).is_err()));
    }

    #[test]
    fn a_long_line_that_arrives_whole_is_bounded_like_one_in_pieces() {
        let comment = [b":".as_slice(), &[b'x'; 2000], b"\n"].concat();
        assert_eq!(Decoder::new(1024).feed(&comment, |_| ()), Err(TooLong));
    }
}
