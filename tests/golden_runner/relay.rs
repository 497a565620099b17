//! A provider's stream, relayed as the gateway does it, without a socket.

use bytes::BytesMut;
use gatewayz::error::{Cause, GatewayError};
use gatewayz::translate::response::Context;
use gatewayz::translate::stream::{Bounds, End, StreamTranslator, sink};
use gatewayz::translate::usage::Tally;
use gatewayz::wire::sse::Decoder;

pub const MESSAGE_ID: &str = "msg_GoldenGoldenGoldenGolden";
pub const REQUEST_ID: &str = "req_golden";
pub const MODEL: &str = "claude-sonnet-4-5-20250929";
pub const INPUT_ESTIMATE: u64 = 25;

/// Bounds in bytes.
#[derive(Clone, Copy)]
pub struct Limits {
    pub max_line: usize,
    pub tool_buffer: usize,
}

/// What a client got of one stream.
pub struct Relayed {
    pub out: BytesMut,
    /// Before anything was sent: a status, not an event.
    pub refused: Option<GatewayError>,
    pub tally: Tally,
}

impl Relayed {
    /// Of a stream whose bytes come in these pieces.
    pub fn of<'p>(pieces: impl Iterator<Item = &'p [u8]>, context: Context<'_>, limits: Limits) -> Relayed {
        let bounds = Bounds { tool_buffer: limits.tool_buffer };
        let mut translator = StreamTranslator::new(context, bounds, false);
        let mut decoder = Decoder::new(limits.max_line);
        let mut out = BytesMut::new();
        let mut failed = None;
        let mut feed = |data: &[u8], failed: &mut Option<GatewayError>| {
            if failed.is_none() {
                *failed = translator.on_data(data, &mut out).err();
            }
        };
        let too_long = || {
            let problem = "The provider sent a line that is longer than the gateway's bound (stream.max_line)";
            GatewayError::new(Cause::InvalidResponse, problem)
        };
        for piece in pieces {
            let fed = decoder.feed(piece, |data| feed(data, &mut failed));
            failed = failed.or_else(|| fed.err().map(|_| too_long()));
            if failed.is_some() {
                break;
            }
        }
        if failed.is_none() {
            let fed = decoder.finish(|data| feed(data, &mut failed));
            failed = failed.or_else(|| fed.err().map(|_| too_long()));
            // What the end of the bytes leaves over is half a chunk.
            if failed.as_ref().is_some_and(|error| error.cause == Cause::InvalidResponse) {
                let problem = "The provider broke off in the middle of its answer";
                failed = Some(GatewayError::new(Cause::Interrupted, problem));
            }
        }
        if failed.is_none() {
            failed = translator.on_end(End::Eof, &mut out).err();
        }
        Relayed::ended(failed, out, translator.tally())
    }

    /// Of a provider that answers a streaming request with JSON.
    pub fn of_json(body: &[u8], context: Context<'_>, limits: Limits) -> Relayed {
        let bounds = Bounds { tool_buffer: limits.tool_buffer };
        let mut translator = StreamTranslator::new(context, bounds, false);
        let mut out = BytesMut::new();
        let ended = translator.on_data(body, &mut out).and_then(|()| translator.on_end(End::AfterDone, &mut out));
        Relayed::ended(ended.err(), out, translator.tally())
    }

    fn ended(failed: Option<GatewayError>, mut out: BytesMut, tally: Tally) -> Relayed {
        let refused = match failed {
            Some(error) if !out.is_empty() => {
                sink::error(&mut out, &error, REQUEST_ID);
                None
            }
            failed => failed,
        };
        Relayed { out, refused, tally }
    }
}
