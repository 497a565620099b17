//! Something that is kept until an answer has ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use pin_project_lite::pin_project;

pin_project! {
    /// A body, and what is dropped with it: when its last bytes have been taken, or the connection has broken.
    pub struct UntilEnd<B, T> {
        #[pin]
        body: B,
        kept: T,
    }
}

impl<B, T> UntilEnd<B, T> {
    pub fn new(body: B, kept: T) -> Self {
        UntilEnd { body, kept }
    }
}

impl<B: MessageBody, T> MessageBody for UntilEnd<B, T> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(context)
    }
}
