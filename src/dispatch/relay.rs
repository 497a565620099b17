//! The way from a request's future to its client, without a task or a channel.
//!
//! The future is polled by whoever reads the relay, so it lives exactly as long as the client's connection, and
//! it goes on only when what it wrote has been taken: back-pressure reaches the provider by itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::LocalBoxFuture;

use crate::error::GatewayError;

/// What is known when the status of an answer is settled.
#[derive(Debug)]
pub enum Head {
    /// A whole answer.
    Message {
        body: Vec<u8>,
        served: Served,
    },
    /// A stream: its bytes follow.
    Stream {
        served: Served,
    },
    Failed(GatewayError),
}

/// Who answered, and what could not be sent to them: for the headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    pub provider: String,
    /// Comma-separated; empty when nothing was dropped.
    pub dropped: String,
}

/// Where the future puts what it has to say.
#[derive(Clone, Default)]
pub struct Outbox(Rc<RefCell<Slot>>);

#[derive(Default)]
struct Slot {
    head: Option<Head>,
    bytes: Option<Bytes>,
}

impl Outbox {
    /// Settles the head of the answer.
    pub fn settle(&self, head: Head) {
        self.0.borrow_mut().head = Some(head);
    }

    /// Hands bytes over, and returns when they have been taken.
    pub async fn send(&self, bytes: Bytes) {
        self.0.borrow_mut().bytes = Some(bytes);
        // The reader polls again after it took the bytes, so nothing has to be woken.
        poll_fn(|_| if self.0.borrow().bytes.is_some() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    fn take_bytes(&self) -> Option<Bytes> {
        self.0.borrow_mut().bytes.take()
    }
}

/// See the module. As a [`Stream`] it gives the bytes that follow a [`Head::Stream`].
pub struct Relay {
    work: Option<LocalBoxFuture<'static, ()>>,
    outbox: Outbox,
}

impl Relay {
    /// A relay for what `work` writes.
    pub fn new<F: Future<Output = ()> + 'static>(work: impl FnOnce(Outbox) -> F) -> Relay {
        let outbox = Outbox::default();
        Relay { work: Some(Box::pin(work(outbox.clone()))), outbox }
    }

    /// The head of the answer; `None` if the work ended without one.
    pub async fn head(&mut self) -> Option<Head> {
        poll_fn(|context| {
            let ended = self.drive(context);
            match self.outbox.0.borrow_mut().head.take() {
                None if !ended => Poll::Pending,
                head => Poll::Ready(head),
            }
        })
        .await
    }

    /// Lets the work go on; whether it has ended.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(work) = &mut self.work
            && work.as_mut().poll(context).is_ready()
        {
            self.work = None;
        }
        self.work.is_none()
    }
}

impl Stream for Relay {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(bytes) = this.outbox.take_bytes() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        let ended = this.drive(context);
        match (this.outbox.take_bytes(), ended) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(bytes))),
            (None, true) => Poll::Ready(None),
            (None, false) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[actix_rt::test]
    async fn head_first_then_every_byte_in_order() {
        let mut relay = Relay::new(|outbox| async move {
            outbox.settle(Head::Stream { served: Served::default() });
            outbox.send(Bytes::from_static(b"a")).await;
            outbox.send(Bytes::from_static(b"b")).await;
        });
        assert!(matches!(relay.head().await, Some(Head::Stream { .. })));
        let bytes: Vec<Bytes> = relay.map(|bytes| bytes.unwrap()).collect().await;
        assert_eq!(bytes, ["a", "b"]);
    }

    #[actix_rt::test]
    async fn the_work_waits_until_its_bytes_are_taken() {
        let steps = Rc::new(RefCell::new(0));
        let seen = steps.clone();
        let mut relay = Relay::new(|outbox| async move {
            for _ in 0..3 {
                *steps.borrow_mut() += 1;
                outbox.send(Bytes::from_static(b"x")).await;
            }
        });
        assert!(relay.next().await.is_some());
        assert_eq!(*seen.borrow(), 1);
        assert!(relay.next().await.is_some());
        assert_eq!(*seen.borrow(), 2);
    }

    #[actix_rt::test]
    async fn work_that_ends_without_a_head_is_seen() {
        let mut relay = Relay::new(|_| async {});
        assert!(relay.head().await.is_none());
    }
}
