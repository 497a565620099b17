//! The body of a request, written piece by piece: awc copies what it is given into a buffer that it keeps until the
//! answer has ended, and what is asked in one stream may be megabytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, MessageBody};
use bytes::Bytes;

/// Bytes.
const PIECE: usize = 64 * 1024;

/// See the module.
pub(super) struct Pieces {
    size: usize,
    rest: Bytes,
}

impl Pieces {
    pub(super) fn of(body: Bytes) -> Pieces {
        Pieces { size: body.len(), rest: body }
    }
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.rest.len().min(PIECE);
        Poll::Ready((length > 0).then(|| Ok(self.rest.split_to(length))))
    }
}
