//! When a connection ends with an answer, though its client would keep it.
//!
//! After a body that nobody read to its end: actix does so by itself when the body has a length. What comes in chunks
//! it would read on and throw away until the client ends it.
//!
//! After an answer to a stranger: actix gives the first head on a connection a time, and no later one.
//!
//! Either way a client that drips would hold a connection for ever, without a key.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::{ConnectionType, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};
use bytes::Bytes;
use futures_util::Stream;

use super::until_end::UntilEnd;

struct Acquainted;

/// Lets the connection be kept: its client has shown a key.
pub(super) fn keep(request: &HttpRequest) {
    request.extensions_mut().insert(Acquainted);
}

/// Middleware: ends connections.
pub async fn end<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<UntilEnd<B, Option<Held>>>, Error> {
    // Held until the answer has ended, so that actix takes it for unread rather than for done with.
    let held = request.headers().contains_key(header::TRANSFER_ENCODING).then(|| {
        let held = Held(Rc::new(RefCell::new(Chunks { payload: request.take_payload(), ended: false })));
        request.set_payload(Payload::Stream { payload: Box::pin(held.clone()) });
        held
    });
    let mut response = next.call(request).await?;
    if held.as_ref().is_some_and(|held| !held.0.borrow().ended) {
        // What came together with the head has not been looked at yet when a refusal comes at once.
        tokio::task::yield_now().await;
    }
    let is_stranger = !response.request().extensions().contains::<Acquainted>();
    if is_stranger {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response.map_body(|_, body| UntilEnd::new(body, held)))
}

/// A body that its reader cannot drop.
#[derive(Clone)]
pub struct Held(Rc<RefCell<Chunks>>);

struct Chunks {
    payload: Payload,
    /// Whether the reader has come to its end, good or bad.
    ended: bool,
}

impl Stream for Held {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut chunks = self.0.borrow_mut();
        let next = Pin::new(&mut chunks.payload).poll_next(context);
        chunks.ended |= matches!(next, Poll::Ready(None | Some(Err(_))));
        next
    }
}
