//! Writes a text as a JSON string, as serde_json does, and many bytes at a time.

use serde::de::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer};
use serde_json::value::RawValue;

use super::scan::{BLOCK, Block};
use super::{NotTaken, RAW_VALUE};

/// How many bytes are copied at once, whether they are all wanted or not: a length that is known costs less.
const RUN: usize = 32;
/// A block, and what a copy from its last byte takes with it.
const CHUNK: usize = BLOCK + RUN;

/// A text as a JSON string, with its quotes.
pub fn quoted(text: &str) -> Box<RawValue> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8 + CHUNK);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(chunk) = rest.first_chunk() {
        escape(chunk, BLOCK, &mut out);
        rest = &rest[BLOCK..];
    }
    for end in rest.chunks(BLOCK) {
        let mut chunk = [0; CHUNK];
        chunk[..end.len()].copy_from_slice(end);
        escape(&chunk, end.len(), &mut out);
    }
    out.push(b'"');
    unread(simdutf8::basic::from_utf8(&out).expect("a text, and escapes in ASCII"))
}

/// JSON that is known to be JSON: serde_json would look through it again.
pub fn unread(json: &str) -> Box<RawValue> {
    let map = MapDeserializer::<_, NotTaken>::new([(RAW_VALUE, BorrowedStrDeserializer::new(json))].into_iter());
    Box::deserialize(MapAccessDeserializer::new(map)).expect("a text")
}

/// Adds so many bytes of a chunk, at most a block.
fn escape(chunk: &[u8; CHUNK], length: usize, out: &mut Vec<u8>) {
    let block = Block::of(chunk.first_chunk().expect("a chunk is longer"));
    let mut special = block.equal(b'"') | block.equal(b'\\') | block.control();
    let mut from = 0;
    loop {
        let at = length.min(special.trailing_zeros() as usize);
        while from < at {
            let run = chunk[from..].first_chunk::<RUN>().expect("what follows a block is as long");
            let wanted = out.len() + RUN.min(at - from);
            out.extend_from_slice(run);
            out.truncate(wanted);
            from += RUN;
        }
        if at == length {
            return;
        }
        push_escaped(chunk[at], out);
        from = at + 1;
        special &= special - 1;
    }
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => return out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_serde_json_writes_it() {
        let ascii: String = (0..128).map(char::from).collect();
        for text in ["", "a", "\"", "\\\\", "é\n😀", &ascii, &ascii.repeat(3), &"x".repeat(200), &"\"\n".repeat(99)]
        {
            for before in 0..130 {
                let text = "é".repeat(before % 2) + &"x".repeat(before) + text;
                assert_eq!(quoted(&text).get(), serde_json::to_string(&text).unwrap());
            }
        }
    }
}
