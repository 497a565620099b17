//! Any bytes as an event stream, cut anywhere: the same events, and never more held than the bound.
#![no_main]

use gatewayz::wire::sse::Decoder;
use libfuzzer_sys::fuzz_target;

const BOUND: usize = 256;

fn decode(pieces: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let mut decoder = Decoder::new(BOUND);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |data| events.push(data.to_vec())).ok()?;
    }
    decoder.finish(|data| events.push(data.to_vec())).ok()?;
    Some(events)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (head, tail) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = decode(&[bytes]);
    assert_eq!(whole, decode(&[head, tail]));
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(whole, decode(&single));
    assert!(whole.into_iter().flatten().all(|event| event.len() <= BOUND));
});
