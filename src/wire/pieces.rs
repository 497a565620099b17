//! A text that repeats much of another one, in pieces: what is long stays where it stands, and is not copied.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;

/// From how many bytes on a part of the source is referred to. Below that, a copy costs less than one more piece.
const LONG: usize = 4 * 1024;
/// Room for what is copied, in bytes, as far as the source is that long: it grows with what is written.
const FIRST: usize = 64 * 1024;

/// A text in its pieces.
pub type Pieces = Arc<[Bytes]>;

/// Takes what is written, and knows what of it stands in its source.
#[derive(Debug)]
pub struct PiecesWriter {
    source: Bytes,
    copied: Vec<u8>,
    /// Parts of the source, each with how much had been copied before it.
    referred: Vec<(usize, Bytes)>,
}

impl PiecesWriter {
    pub fn new(source: Bytes) -> PiecesWriter {
        // What is escaped once more, the arguments of calls, grows a little.
        let room = (source.len() + source.len() / 8).min(FIRST);
        PiecesWriter { source, copied: Vec::with_capacity(room), referred: Vec::new() }
    }

    /// All that was written.
    pub fn finish(self) -> Pieces {
        let copied = Bytes::from(self.copied);
        if self.referred.is_empty() {
            return Arc::from([copied]);
        }
        let mut pieces = Vec::with_capacity(2 * self.referred.len() + 1);
        let mut from = 0;
        for (to, part) in self.referred {
            pieces.extend([copied.slice(from..to), part]);
            from = to;
        }
        pieces.push(copied.slice(from..));
        pieces.retain(|piece| !piece.is_empty());
        Arc::from(pieces)
    }

    fn is_in_source(&self, bytes: &[u8]) -> bool {
        let (source, bytes) = (self.source.as_ptr_range(), bytes.as_ptr_range());
        source.start <= bytes.start && bytes.end <= source.end
    }
}

impl Write for PiecesWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= LONG && self.is_in_source(bytes) {
            self.referred.push((self.copied.len(), self.source.slice_ref(bytes)));
        } else {
            self.copied.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_in_the_source_is_referred_to_and_the_rest_copied() {
        let source = Bytes::from("x".repeat(3 * LONG));
        let mut writer = PiecesWriter::new(source.clone());
        let elsewhere = "y".repeat(2 * LONG);
        for part in [b"short", &source[..LONG - 1], &source[LONG..2 * LONG], &source[..], elsewhere.as_bytes(), b"end"]
        {
            writer.write_all(part).unwrap();
        }
        let pieces = writer.finish();
        assert_eq!(
            pieces.concat(),
            [b"short", &source[1..LONG], &source[..LONG], &source, elsewhere.as_bytes(), b"end"].concat()
        );
        assert_eq!(pieces.len(), 4);
        assert_eq!((pieces[1].as_ptr(), pieces[2].as_ptr()), (source[LONG..].as_ptr(), source.as_ptr()));
    }

    #[test]
    fn a_short_text_is_one_piece() {
        let mut writer = PiecesWriter::new(Bytes::from_static(b"source"));
        writer.write_all(b"a").unwrap();
        writer.write_all(b"b").unwrap();
        assert_eq!(*writer.finish(), [Bytes::from_static(b"ab")]);
        assert_eq!(PiecesWriter::new(Bytes::new()).finish().concat(), b"");
    }
}
