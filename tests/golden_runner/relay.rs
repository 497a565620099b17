//! A provider's stream, relayed as the gateway does it, without a socket.

use bytes::BytesMut;
use gatewayz::error::GatewayError;
use gatewayz::translate::response::Context;
use gatewayz::translate::stream::reader::Reader;
use gatewayz::translate::stream::{Bounds, End, sink};
use gatewayz::translate::usage::Tally;

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
    pub fn of<'p>(mut pieces: impl Iterator<Item = &'p [u8]>, context: Context<'_>, limits: Limits) -> Relayed {
        Relayed::read(context, limits, |reader, out| {
            pieces.try_for_each(|piece| reader.bytes(piece, out))?;
            reader.end(End::Eof, out)
        })
    }

    /// Of a provider that answers a streaming request with JSON.
    pub fn of_json(body: &[u8], context: Context<'_>, limits: Limits) -> Relayed {
        Relayed::read(context, limits, |reader, out| reader.json(body, out))
    }

    fn read(
        context: Context<'_>,
        limits: Limits,
        read: impl FnOnce(&mut Reader<'_>, &mut BytesMut) -> Result<(), GatewayError>,
    ) -> Relayed {
        let bounds = Bounds { tool_buffer: limits.tool_buffer };
        let mut reader = Reader::new(context, bounds, limits.max_line, false);
        let mut out = BytesMut::new();
        let read = read(&mut reader, &mut out);
        Relayed::ended(read.err(), out, reader.translator.tally())
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
