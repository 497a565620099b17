//! From the bytes of a provider's answer to events: framing and translation as one, so that whoever reads a stream
//! fails in the same way.

use bytes::BytesMut;

use super::{Bounds, End, StreamTranslator};
use crate::error::{Cause, GatewayError};
use crate::translate::response::{Context, response};
use crate::wire::sse::Decoder;

/// Reads one provider's stream.
#[derive(Debug)]
pub struct Reader<'a> {
    decoder: Decoder,
    context: Context<'a>,
    pub translator: StreamTranslator<'a>,
}

impl<'a> Reader<'a> {
    /// `max_line`: bytes of a line. `started`: an earlier attempt has already sent `message_start`.
    pub fn new(context: Context<'a>, bounds: Bounds, max_line: usize, started: bool) -> Self {
        let translator = StreamTranslator::new(context, bounds, started);
        Reader { decoder: Decoder::new(max_line), context, translator }
    }

    /// Takes in the next bytes. What came before a failure in the same bytes is written all the same.
    pub fn bytes(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        let mut failed = None;
        let decoded = self.decoder.feed(bytes, |data| {
            if failed.is_none() {
                failed = self.translator.on_data(data, out).err();
            }
        });
        match failed {
            Some(error) => Err(error),
            None => decoded.map_err(|_| line_too_long()),
        }
    }

    /// The bytes have ended.
    pub fn end(&mut self, end: End, out: &mut BytesMut) -> Result<(), GatewayError> {
        let mut failed = None;
        let decoded = self.decoder.finish(|data| failed = self.translator.on_data(data, out).err());
        match failed {
            // What the end of the bytes leaves over is half a chunk.
            Some(error) if error.cause == Cause::InvalidResponse => return Err(broke_off()),
            Some(error) => return Err(error),
            None => decoded.map_err(|_| line_too_long())?,
        }
        self.translator.on_end(end, out)
    }

    /// The provider answered JSON instead of a stream (T5): an error is an error, a completion becomes events.
    pub fn json(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        // What would be no answer to a request without a stream is none here: a chunk may lack more than a completion.
        response(body, &self.context)?;
        self.translator.on_data(body, out)?;
        // A whole completion has no other end than its own.
        self.translator.on_end(End::AfterDone, out)
    }
}

fn broke_off() -> GatewayError {
    GatewayError::new(Cause::Interrupted, "The provider broke off in the middle of its answer")
}

fn line_too_long() -> GatewayError {
    GatewayError::new(
        Cause::InvalidResponse,
        "The provider sent a line that is longer than the gateway's bound (stream.max_line)",
    )
}
