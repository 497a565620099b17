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
/// Interim answers that are passed over, at most.
const MAX_INTERIM: u8 = 16;

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
        is_broken: false,
        read: BytesMut::new(),
        interim: 0,
        answer: None,
    };
    let head = poll_fn(|context| asking.poll(context)).await?;
    let payload = asking.answered(&head);
    Ok((head, payload))
}

/// Where the body of an answer ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Where its head, or its last chunk, says.
    Said,
    /// With the connection.
    Close,
    /// There is none, and what follows on the connection belongs to nobody: the answer was an interim one.
    Unknown,
}

impl End {
    fn of(head: &ResponseHead) -> End {
        let has = |name| head.headers.contains_key(name);
        match head.status {
            status if status.is_informational() => End::Unknown,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => End::Said,
            _ if has(header::CONTENT_LENGTH) || has(header::TRANSFER_ENCODING) => End::Said,
            _ => End::Close,
        }
    }
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
    /// It could not be asked to the end.
    is_broken: bool,
    read: BytesMut,
    /// Has come, though not all is asked.
    answer: Option<ResponseHead>,
    /// How many interim answers have come.
    interim: u8,
}

impl Asking<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, SendRequestError>> {
        self.ask(context);
        if self.answer.is_none()
            && let Poll::Ready(head) = self.listen(context)?
        {
            self.answer = Some(head);
        }
        // It has been promised before all was asked, and may wait for the rest.
        match self.answer.take_if(|head| self.writing.is_none() || !head.status.is_success()) {
            Some(head) => Poll::Ready(Ok(head)),
            None => Poll::Pending,
        }
    }

    /// Where it breaks off there may be something to be heard: a provider may refuse, and close, before it has read all.
    fn ask(&mut self, context: &mut Context<'_>) {
        let Some(writing) = &mut self.writing else { return };
        if let Poll::Ready(result) = writing.write(&mut self.connection.socket, context) {
            (self.writing, self.is_broken) = (None, result.is_err());
        }
    }

    fn listen(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseHead, SendRequestError>> {
        loop {
            let has_begun = !self.read.is_empty() || self.interim > 0;
            match ready!(self.pool.read(&mut self.connection, &mut self.read, context)) {
                Ok(0) if has_begun => return Poll::Ready(Err(ParseError::Incomplete.into())),
                Ok(0) => return Poll::Ready(Err(ConnectError::Disconnected.into())),
                Err(error) if !has_begun && is_closing(&error) => {
                    return Poll::Ready(Err(ConnectError::Disconnected.into()));
                }
                Err(error) => return Poll::Ready(Err(ParseError::Io(error).into())),
                Ok(_) => {}
            }
            while let Some(head) = self.codec.decode(&mut self.read)? {
                if !self.is_interim(&head) {
                    return Poll::Ready(Ok(head));
                }
            }
        }
    }

    /// Whether this is not yet the answer (RFC 9110, 15.2).
    fn is_interim(&mut self, head: &ResponseHead) -> bool {
        let is_interim = head.status.is_informational()
            && head.status != StatusCode::SWITCHING_PROTOCOLS
            && self.codec.message_type() == MessageType::None
            && self.interim < MAX_INTERIM;
        self.interim += u8::from(is_interim);
        is_interim
    }

    fn answered(self, head: &ResponseHead) -> Payload {
        let end = End::of(head);
        let has_body = end == End::Close || self.codec.message_type() != MessageType::None;
        let mut payload = Payload {
            pool: self.pool.clone(),
            connection: Some(self.connection),
            keeps: end == End::Said && head.version == Version::HTTP_11 && self.writing.is_none() && !self.is_broken,
            codec: (end != End::Close).then(|| self.codec.into_payload_codec()),
            read: self.read,
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
    /// None where all that comes is the body.
    codec: Option<ClientPayloadCodec>,
    read: BytesMut,
    /// Whether the connection can serve again.
    keeps: bool,
}

impl Payload {
    fn end(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if self.keeps && self.codec.as_ref().is_some_and(|codec| codec.keep_alive()) && self.read.is_empty() {
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
            let decoded = match &mut this.codec {
                Some(codec) => codec.decode(&mut this.read),
                None => Ok((!this.read.is_empty()).then(|| Some(this.read.split().freeze()))),
            };
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
            let read = match ready!(this.pool.read(connection, &mut this.read, context)) {
                // As many servers close TLS. What the body says must tell whether it is whole.
                Err(error) if this.codec.is_none() && error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read?,
            };
            if read == 0 {
                this.connection = None;
                let cut = !this.read.is_empty();
                return Poll::Ready(cut.then(|| Err(PayloadError::Incomplete(None))));
            }
        }
    }
}
