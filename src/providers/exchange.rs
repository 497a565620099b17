//! One request and its answer over HTTP/1.1. Heads and chunks are read and written by actix' codec.
//!
//! The body that is asked is written from where it stands, beside its head; once it is written it is freed. Between two
//! pieces of an answer nothing is held for what will come.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_codec::{AsyncWrite, Decoder, Encoder};
use actix_http::body::BodySize;
use actix_http::error::{ParseError, PayloadError};
use actix_http::h1::{ClientCodec, ClientPayloadCodec, Message, MessageType};
use actix_http::{RequestHead, RequestHeadType, ResponseHead};
use awc::error::{ConnectError, SendRequestError};
use awc::http::{StatusCode, Version, header};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;

use super::pool::{Connection, Pool};
use crate::wire::pieces::Pieces;

/// Pieces that are written at once, at most.
const SLICES: usize = 64;

/// Asks, and returns when the head of the answer has come. Dropping the future closes the connection, as dropping the
/// [`Payload`] before its end does.
pub(super) async fn exchange(
    pool: &Rc<Pool>,
    head: &Rc<RequestHead>,
    body: Pieces,
) -> Result<(ResponseHead, Payload), SendRequestError> {
    let connection = pool.take().await?;
    let (mut codec, mut written) = (pool.codec(), BytesMut::with_capacity(1024));
    let size = BodySize::Sized(body.iter().map(|piece| piece.len() as u64).sum());
    codec.encode(Message::Item((RequestHeadType::Rc(head.clone(), None), size)), &mut written)?;
    let mut asking = Asking {
        pool,
        connection,
        codec,
        writing: Some(Writing { head: written.freeze(), body, written: 0 }),
        read: BytesMut::new(),
        answer: None,
    };
    let head = poll_fn(|context| asking.poll(context)).await?;
    let may_keep = says_its_end(&head);
    Ok((head, asking.answered(may_keep)))
}

/// Whether what follows on the connection can only be the next answer. After `100 Continue`, which is the answer to us,
/// the real one may follow; without a length, a body that is not read.
fn says_its_end(head: &ResponseHead) -> bool {
    let has = |name| head.headers.contains_key(name);
    head.version == Version::HTTP_11
        && !head.status.is_informational()
        && (has(header::CONTENT_LENGTH)
            || has(header::TRANSFER_ENCODING)
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED))
}

/// Whether an error says that the other side has closed: TLS says so where it was not told beforehand.
fn is_closing(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// What is written, and how far.
struct Writing {
    head: Bytes,
    body: Pieces,
    /// Bytes of both.
    written: usize,
}

impl Writing {
    fn write(&mut self, socket: &mut (impl AsyncWrite + Unpin), context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(socket);
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.rest(&mut slices);
            if count == 0 {
                return socket.poll_flush(context);
            }
            match ready!(socket.as_mut().poll_write_vectored(context, &slices[..count]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                wrote => self.written += wrote,
            }
        }
    }

    /// What comes next, and in how many slices.
    fn rest<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (mut passed, mut count) = (self.written, 0);
        for piece in [&self.head].into_iter().chain(&*self.body) {
            let rest = &piece[passed.min(piece.len())..];
            passed -= piece.len() - rest.len();
            if !rest.is_empty() && count < slices.len() {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        count
    }
}

/// An exchange of which the answer has not begun.
struct Asking<'a> {
    pool: &'a Rc<Pool>,
    connection: Connection,
    codec: ClientCodec,
    /// None when it is asked.
    writing: Option<Writing>,
    read: BytesMut,
    /// Has come, though not all is asked.
    answer: Option<ResponseHead>,
}

impl Asking<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, SendRequestError>> {
        let asked = self.ask(context);
        if self.answer.is_none()
            && let Poll::Ready(head) = self.listen(context)?
        {
            self.answer = Some(head);
        }
        match (self.answer.take(), asked) {
            // It has been promised before all was asked, and may wait for the rest.
            (Some(head), Poll::Pending) if head.status.is_success() => {
                self.answer = Some(head);
                Poll::Pending
            }
            // A provider may refuse, and close, before it has read all.
            (Some(head), _) => Poll::Ready(Ok(head)),
            (None, Poll::Ready(Err(error))) => Poll::Ready(Err(SendRequestError::Send(error))),
            (None, _) => Poll::Pending,
        }
    }

    fn ask(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        ready!(writing.write(&mut self.connection.socket, context))?;
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn listen(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, SendRequestError>> {
        loop {
            let has_begun = !self.read.is_empty();
            match ready!(self.pool.read(&mut self.connection, &mut self.read, context)) {
                Ok(0) if has_begun => return Poll::Ready(Err(ParseError::Incomplete.into())),
                Ok(0) => return Poll::Ready(Err(ConnectError::Disconnected.into())),
                Err(error) if !has_begun && is_closing(&error) => {
                    return Poll::Ready(Err(ConnectError::Disconnected.into()));
                }
                Err(error) => return Poll::Ready(Err(ParseError::Io(error).into())),
                Ok(_) => {}
            }
            if let Some(head) = self.codec.decode(&mut self.read)? {
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// `may_keep`: nothing but the next answer comes after this one.
    fn answered(self, may_keep: bool) -> Payload {
        let has_body = self.codec.message_type() != MessageType::None;
        let keeps = self.writing.is_none() && may_keep;
        let mut payload = Payload {
            pool: self.pool.clone(),
            connection: Some(self.connection),
            codec: self.codec.into_payload_codec(),
            read: self.read,
            keeps,
        };
        if !has_body {
            payload.end();
        }
        payload
    }
}

/// The body of an answer: bytes as they come. Its connection goes back to the pool when the end has been read.
pub(super) struct Payload {
    pool: Rc<Pool>,
    /// None after the end.
    connection: Option<Connection>,
    codec: ClientPayloadCodec,
    read: BytesMut,
    /// Whether the connection can serve again.
    keeps: bool,
}

impl Payload {
    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.keeps && self.codec.keep_alive() && self.read.is_empty() {
            self.pool.give_back(connection);
        }
    }
}

impl Stream for Payload {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
            let decoded = this.codec.decode(&mut this.read);
            if this.read.is_empty() {
                // The codec makes room for what will come.
                this.read = BytesMut::new();
            }
            match decoded? {
                Some(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(None) => {
                    this.end();
                    return Poll::Ready(None);
                }
                None => {}
            }
            if ready!(this.pool.read(connection, &mut this.read, context))? == 0 {
                this.connection = None;
                let cut = !this.read.is_empty();
                return Poll::Ready(cut.then(|| Err(PayloadError::Incomplete(None))));
            }
        }
    }
}
