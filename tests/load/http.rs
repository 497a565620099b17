//! A client of which thousands fit into a thread: it writes requests and reads answers as they come, and keeps its
//! connection where it may.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Status and headers, their names in lower case.
#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is still to come of a body.
enum Rest {
    Nothing,
    Length(usize),
    Chunks,
}

/// See the module.
pub struct Client {
    pub address: SocketAddr,
    socket: Option<BufReader<TcpStream>>,
    rest: Rest,
    /// The gateway closes the connection after this answer.
    closes: bool,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, socket: None, rest: Rest::Nothing, closes: false }
    }

    /// Sends a message and waits for the head of the answer.
    pub async fn send(&mut self, key: &str, body: &Value) -> Result<Head> {
        let body = body.to_string();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        // As the pools of the SDKs do: what the gateway has closed meanwhile is not used again.
        let is_open = |socket: &mut BufReader<TcpStream>| {
            socket.get_ref().try_read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        self.socket = self.socket.take_if(is_open);
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                let socket = TcpStream::connect(self.address).await?;
                socket.set_nodelay(true)?;
                // Thousands of clients must not each hold the usual 8 KiB.
                self.socket.insert(BufReader::with_capacity(2048, socket))
            }
        };
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        let head = read_head(socket).await?;
        self.closes = head.header("connection") == Some("close");
        self.rest = match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some(_), _) => Rest::Chunks,
            (None, Some(length)) => Rest::Length(length.parse().map_err(Error::other)?),
            (None, None) => return Err(Error::other("an answer without a length")),
        };
        Ok(head)
    }

    /// The next bytes of the body; none at the end that HTTP marks. Anything else is an error.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(socket) = &mut self.socket else { return Err(Error::other("no connection")) };
        let size = match self.rest {
            Rest::Nothing => 0,
            Rest::Length(length) => length,
            Rest::Chunks => usize::from_str_radix(line(socket).await?.trim(), 16).map_err(Error::other)?,
        };
        let mut bytes = vec![0; size];
        socket.read_exact(&mut bytes).await?;
        match self.rest {
            Rest::Chunks => drop(line(socket).await?),
            Rest::Nothing | Rest::Length(_) => self.rest = Rest::Nothing,
        }
        if size > 0 {
            return Ok(Some(bytes));
        }
        self.rest = Rest::Nothing;
        if self.closes {
            self.socket = None;
        }
        Ok(None)
    }

    /// All that is still to come.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.piece().await? {
            all.extend(bytes);
        }
        Ok(all)
    }

    /// Closes the connection, whatever is under way.
    pub fn hang_up(&mut self) {
        self.socket = None;
        self.rest = Rest::Nothing;
    }

    /// Whether the connection is kept for the next request.
    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }
}

async fn line(socket: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    match line.ends_with("\r\n") {
        true => Ok(line.trim_end().to_owned()),
        false => Err(Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
    }
}

async fn read_head(socket: &mut BufReader<TcpStream>) -> Result<Head> {
    let status = line(socket).await?;
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::other("no status"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(socket).await?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => return Ok(Head { status, headers }),
        }
    }
}
