//! The load: connections that are kept, each of which asks again when it has its answer.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};

/// What the connections have seen since it was last taken.
#[derive(Debug, Default)]
pub struct Seen {
    /// How long each answer took.
    pub took: Vec<Duration>,
    /// What went wrong.
    pub problems: Vec<String>,
}

/// A load that goes on until it is dropped.
pub struct Load {
    seen: Rc<RefCell<Seen>>,
    _connections: JoinSet<()>,
}

impl Load {
    pub fn start(address: SocketAddr, request: Vec<u8>, connections: usize) -> Load {
        let (request, seen) = (Rc::<[u8]>::from(request), Rc::new(RefCell::new(Seen::default())));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (request, seen) = (request.clone(), seen.clone());
            tasks.spawn_local(async move {
                if let Err(problem) = ask_for_ever(address, &request, &seen).await {
                    seen.borrow_mut().problems.push(problem);
                }
            });
        }
        Load { seen, _connections: tasks }
    }

    /// Takes what has been seen.
    pub fn take(&self) -> Seen {
        self.seen.take()
    }
}

async fn ask_for_ever(address: SocketAddr, request: &[u8], seen: &RefCell<Seen>) -> Result<(), String> {
    let mut connection = Connection::open(address).await?;
    loop {
        let begun = Instant::now();
        connection.send(request).await?;
        connection.answer().await?;
        seen.borrow_mut().took.push(begun.elapsed());
    }
}

/// One connection.
pub struct Connection {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| format!("connecting: {error}"))?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Connection { socket, read: Vec::new() })
    }

    pub async fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.socket.write_all(request).await.map_err(|error| format!("writing: {error}"))
    }

    /// Reads a whole answer, which must be a good one.
    async fn answer(&mut self) -> Result<(), String> {
        self.read.clear();
        let end = self.head().await?;
        match end {
            End::At(length) => {
                while self.read.len() < length {
                    self.more().await?;
                }
                Ok(())
            }
            End::LastChunk => {
                // No event has CR in it, so nothing else looks like the last chunk.
                while !self.read.ends_with(b"\r\n0\r\n\r\n") {
                    self.more().await?;
                }
                let tail = &self.read[self.read.len().saturating_sub(128)..];
                let is_whole = [&b"[DONE]"[..], b"message_stop"].iter().any(|end| memmem::find(tail, end).is_some());
                if is_whole { Ok(()) } else { Err(format!("a stream ended in {}", String::from_utf8_lossy(tail))) }
            }
        }
    }

    /// Reads until the text is there.
    pub async fn wait_for(&mut self, text: &str) -> Result<(), String> {
        while memmem::find(&self.read, text.as_bytes()).is_none() {
            self.more().await?;
        }
        self.read = Vec::new();
        Ok(())
    }

    async fn head(&mut self) -> Result<End, String> {
        let head = loop {
            match memmem::find(&self.read, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more().await?,
            }
        };
        let text = std::str::from_utf8(&self.read[..head]).map_err(|error| error.to_string())?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(format!("answered {}", String::from_utf8_lossy(&self.read)));
        }
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        Ok(match length.and_then(|(_, length)| length.trim().parse::<usize>().ok()) {
            Some(length) => End::At(head + length),
            None => End::LastChunk,
        })
    }

    async fn more(&mut self) -> Result<(), String> {
        self.read.reserve(16 * 1024);
        match self.socket.read_buf(&mut self.read).await {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("reading: {error}")),
        }
    }

    /// Reads on and throws away, so that nobody waits for us, until the task is dropped.
    pub fn drain(mut self) -> tokio::task::JoinHandle<()> {
        spawn_local(async move {
            let mut sink = [0; 256];
            while matches!(self.socket.read(&mut sink).await, Ok(1..)) {}
        })
    }
}

/// Where an answer ends.
enum End {
    At(usize),
    LastChunk,
}
