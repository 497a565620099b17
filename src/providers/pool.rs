//! The connections to one provider from one worker.
//!
//! awc dials: addresses, TLS, time limits. The connections are kept here and not in awc's own pool, which gives each request two
//! buffers of 8 KB and a clock with a task of its own, and takes a connection back only from its own reader.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_codec::{AsyncRead, AsyncWrite, ReadBuf};
use actix_http::ServiceConfig;
use actix_http::h1::ClientCodec;
use awc::error::ConnectError;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::task::unconstrained;

/// Below the idle time after which common providers close: a kept connection that the other side has closed
/// without our noticing fails on its next use.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How often it is looked for connections that have been idle for longer.
const SWEEP: Duration = Duration::from_secs(5);
/// A connection is renewed after this, so that changes of DNS are followed.
const LIFETIME: Duration = Duration::from_secs(300);
/// Bytes read at once: one record of TLS.
const READ: usize = 16 * 1024;
/// Room left behind what has been read: where actix' codec finds less, it makes some for 32 KB.
const SPARE: usize = 2 * 1024;

/// TCP, or TLS over it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

/// Makes a new connection.
pub(super) type Dial = Box<dyn Fn() -> LocalBoxFuture<'static, Result<Box<dyn Socket>, ConnectError>>>;

/// A connection on which one request at a time is answered. Dropping it closes it.
pub(super) struct Connection {
    pub(super) socket: Box<dyn Socket>,
    created: Instant,
    generation: u64,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// See the module.
pub(super) struct Pool {
    dial: Dial,
    /// The one that was used last is at the end, and is taken first: what is too much grows old at the front.
    idle: RefCell<VecDeque<Idle>>,
    generation: Cell<u64>,
    /// What is read goes through here, so that a connection on which nothing comes needs no room for it.
    scratch: RefCell<Box<[u8]>>,
    /// Shared by all codecs, since each has a clock that ticks.
    config: ServiceConfig,
}

impl Pool {
    /// An empty pool. Must be called on a runtime.
    pub(super) fn new(dial: Dial) -> Pool {
        Pool {
            dial,
            idle: RefCell::default(),
            generation: Cell::default(),
            scratch: RefCell::new(vec![0; READ].into()),
            config: ServiceConfig::default(),
        }
    }

    /// What reads and writes the heads of one exchange.
    pub(super) fn codec(&self) -> ClientCodec {
        ClientCodec::new(self.config.clone())
    }

    /// A kept connection that still stands, or a new one.
    pub(super) async fn take(&self) -> Result<Connection, ConnectError> {
        if let Some(connection) = self.kept() {
            return Ok(connection);
        }
        let generation = self.generation.get();
        let socket = (self.dial)().await?;
        Ok(Connection { socket, created: Instant::now(), generation })
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(Idle { mut connection, since }) = idle.pop_back() {
            if now - since > KEEP_ALIVE {
                // Those before it are older.
                idle.clear();
                return None;
            }
            if now - connection.created <= LIFETIME && connection.is_silent() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection on which an answer has come to its end, and after which only the next one can come.
    pub(super) fn give_back(&self, connection: Connection) {
        if connection.generation != self.generation.get() {
            return;
        }
        self.idle.borrow_mut().push_back(Idle { connection, since: Instant::now() });
    }

    /// Closes what has been idle for too long, again and again for as long as there is the pool: without this, what is
    /// left when the requests end would stay open until the next one.
    pub(super) fn keep_swept(self: &Rc<Self>) {
        let pool = Rc::downgrade(self);
        actix_rt::spawn(async move {
            loop {
                actix_rt::time::sleep(SWEEP).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep(Instant::now());
            }
        });
    }

    fn sweep(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| now.saturating_duration_since(oldest.since) > KEEP_ALIVE) {
            idle.pop_front();
        }
        if idle.is_empty() {
            // After a crowd there was room for it.
            idle.shrink_to_fit();
        }
    }

    /// Closes what is kept now, and what is in use now as soon as it is free.
    pub(super) fn renew(&self) {
        self.generation.set(self.generation.get() + 1);
        self.idle.borrow_mut().clear();
    }

    /// Appends what has come, and tells how much that is; nothing at the end of the connection.
    pub(super) fn read(
        &self,
        connection: &mut Connection,
        to: &mut BytesMut,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = self.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let read = Pin::new(&mut connection.socket).poll_read(context, &mut buffer)?;
        read.map(|()| {
            let bytes = buffer.filled();
            to.reserve(bytes.len() + SPARE);
            to.extend_from_slice(bytes);
            Ok(bytes.len())
        })
    }
}

impl Connection {
    /// Whether it is open and nothing has come that nobody asked for.
    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let listening =
            poll_fn(|context| Pin::new(&mut self.socket).poll_read(context, &mut ReadBuf::new(&mut byte)).map(drop));
        // A task that has read much would be told that nothing is there, without a look.
        unconstrained(listening).now_or_never().is_none()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A pool, and the far ends of what it dials.
    fn pool() -> (Pool, Rc<RefCell<Vec<DuplexStream>>>) {
        let far = Rc::new(RefCell::new(Vec::new()));
        let ends = far.clone();
        let dial: Dial = Box::new(move || {
            let (near, end) = duplex(64);
            ends.borrow_mut().push(end);
            Box::pin(async move { Ok(Box::new(near) as Box<dyn Socket>) })
        });
        (Pool::new(dial), far)
    }

    async fn used_once(pool: &Pool) {
        let connection = pool.take().await.unwrap();
        pool.give_back(connection);
    }

    #[actix_rt::test]
    async fn what_is_given_back_is_taken_again_the_last_first() {
        let (pool, far) = pool();
        let (first, second) = (pool.take().await.unwrap(), pool.take().await.unwrap());
        pool.give_back(first);
        pool.give_back(second);
        let mut again = pool.take().await.unwrap();
        assert_eq!(far.borrow().len(), 2, "nothing was dialled");
        again.socket.write_all(b"x").await.unwrap();
        let mut byte = [0];
        assert_eq!(far.take()[1].read(&mut byte).await.unwrap(), 1, "the second was used last");
    }

    #[actix_rt::test]
    async fn what_was_closed_or_spoke_unasked_is_left() {
        let (pool, far) = pool();
        used_once(&pool).await;
        drop(far.borrow_mut().pop());
        used_once(&pool).await;
        assert_eq!(far.borrow().len(), 1, "a new one for the closed one");
        let mut end = far.borrow_mut().pop().unwrap();
        end.write_all(b"HTTP/1.1 408 ").await.unwrap();
        used_once(&pool).await;
        assert_eq!(far.borrow().len(), 1, "a new one for the one that spoke");
        used_once(&pool).await;
        assert_eq!(far.borrow().len(), 1);
    }

    #[actix_rt::test]
    async fn what_is_idle_for_long_is_closed_without_a_request() {
        let (pool, far) = pool();
        let before = Instant::now();
        used_once(&pool).await;
        pool.sweep(before + KEEP_ALIVE);
        used_once(&pool).await;
        assert_eq!(far.borrow().len(), 1, "it was kept");
        pool.sweep(Instant::now() + KEEP_ALIVE + Duration::from_secs(1));
        assert_eq!(far.take()[0].read(&mut [0]).await.unwrap(), 0, "it is closed");
    }

    #[actix_rt::test]
    async fn after_a_renewal_nothing_of_before_is_used() {
        let (pool, far) = pool();
        let in_use = pool.take().await.unwrap();
        used_once(&pool).await;
        pool.renew();
        pool.give_back(in_use);
        used_once(&pool).await;
        assert_eq!(far.borrow().len(), 3);
        for end in &mut far.take()[..2] {
            assert_eq!(end.read(&mut [0]).await.unwrap(), 0, "it is closed");
        }
    }
}
