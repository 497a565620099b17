//! A client that hides nothing: the request as it is written, the answer as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::sse::Events;
use super::{PATIENCE, PROVIDER_KEY};

/// A request that has not been sent.
#[derive(Clone)]
pub struct Request {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Request {
        Request { address, method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body, with its length but without a type.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        self.header("content-length", &body.len().to_string()).raw_body(body)
    }

    /// What follows the head, framed by headers that the test gives.
    pub fn raw_body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    pub fn json(self, body: &Value) -> Request {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Writes it on a connection of its own.
    pub fn send(self) -> Call {
        let socket = TcpStream::connect(self.address).expect("the gateway listens");
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        self.send_on(Connection(BufReader::new(socket)))
    }

    /// Writes it on a connection that has served before.
    pub fn send_on(self, connection: Connection) -> Call {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.path, self.address);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend(self.body);
        let Connection(mut socket) = connection;
        // A gateway that has closed the connection is seen by who reads the answer.
        let _ = socket.get_mut().write_all(&bytes);
        Call { socket, bodiless: self.method == "HEAD" }
    }

    /// Sends it and reads the whole answer.
    pub fn ask(self) -> Reply {
        self.send().reply()
    }
}

/// A connection that is kept for the next request.
pub struct Connection(BufReader<TcpStream>);

impl From<TcpStream> for Connection {
    fn from(socket: TcpStream) -> Connection {
        Connection(BufReader::new(socket))
    }
}

/// A request on its way. Dropping it hangs up.
pub struct Call {
    socket: BufReader<TcpStream>,
    bodiless: bool,
}

impl Call {
    /// Waits for the whole answer.
    pub fn reply(self) -> Reply {
        self.reply_and_keep().0
    }

    /// Waits for the whole answer, and keeps the connection.
    pub fn reply_and_keep(mut self) -> (Reply, Connection) {
        let head = Head::read(&mut self.socket);
        let mut body = Body::of(&head, self.socket, self.bodiless);
        let mut bytes = Vec::new();
        while let Some(more) = body.read() {
            bytes.extend(more);
        }
        (Reply::new(head, bytes, body.complete), Connection(body.socket))
    }

    /// The whole answer; none when the connection was closed instead.
    pub fn reply_if_any(mut self) -> Option<Reply> {
        let open = self.socket.fill_buf().is_ok_and(|bytes| !bytes.is_empty());
        open.then(|| self.reply())
    }

    /// Waits for the head; the events follow.
    pub fn events(mut self) -> (Head, Events) {
        let head = Head::read(&mut self.socket);
        let body = Body::of(&head, self.socket, self.bodiless);
        (head, Events::new(body))
    }

    /// Whether nothing of an answer has come yet, and the connection is open.
    pub fn is_waiting(&self) -> bool {
        let socket = self.socket.get_ref();
        socket.set_nonblocking(true).unwrap();
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        self.socket.buffer().is_empty() && peeked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Hangs up.
    pub fn hang_up(self) {
        // Nobody cares whether the other side was faster.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}

/// Status and headers of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head, and passes over one that only says to go on.
    fn read(socket: &mut impl BufRead) -> Head {
        fn line(socket: &mut impl BufRead) -> String {
            let mut line = String::new();
            socket.read_line(&mut line).expect("the head of an answer");
            assert!(line.ends_with("\r\n"), "the connection was closed in the head of the answer: {line:?}");
            line.trim_end().to_owned()
        }
        let status = line(socket);
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let mut headers = Vec::new();
        loop {
            let line = line(socket);
            assert!(!line.contains(PROVIDER_KEY), "the provider's key stands in a header: {line}");
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
                None if status == 100 => return Head::read(socket),
                None => return Head { status, headers },
            }
        }
    }

    /// The value of a header; fails when it stands there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {:?}", self.headers);
        value
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub head: Head,
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the body came to the end that HTTP marks.
    pub complete: bool,
}

impl Reply {
    fn new(head: Head, body: Vec<u8>, complete: bool) -> Reply {
        let reply = Reply { status: head.status, head, body, complete };
        assert!(!reply.text().contains(PROVIDER_KEY), "the provider's key stands in an answer: {}", reply.text());
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The text of a message's first block.
    pub fn said(&self) -> String {
        let message = self.json();
        message["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}")).to_owned()
    }
}

/// The body of an answer, piece by piece.
pub struct Body {
    socket: BufReader<TcpStream>,
    framing: Framing,
    /// Whether it has come to the end that HTTP marks.
    pub complete: bool,
}

enum Framing {
    Length(usize),
    Chunked,
    /// Until the connection is closed.
    Open,
}

impl Body {
    fn of(head: &Head, socket: BufReader<TcpStream>, bodiless: bool) -> Body {
        let length = head.header("content-length").map(|length| length.parse().expect("a length"));
        let framing = match (head.header("transfer-encoding"), length) {
            _ if bodiless => Framing::Length(0),
            (Some(coding), _) => {
                assert_eq!(coding, "chunked");
                Framing::Chunked
            }
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::Open,
        };
        Body { socket, framing, complete: false }
    }

    /// The next bytes; none at the end, be it a good one or not.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let bytes = match self.framing {
            Framing::Length(0) => {
                self.complete = true;
                return None;
            }
            Framing::Length(left) => {
                let bytes = self.some(left)?;
                self.framing = Framing::Length(left - bytes.len());
                bytes
            }
            Framing::Chunked => {
                let size = self.line()?;
                let size = usize::from_str_radix(&size, 16).expect("the size of a chunk");
                let bytes = self.exactly(size)?;
                self.line()?;
                if size == 0 {
                    self.complete = true;
                    return None;
                }
                bytes
            }
            Framing::Open => {
                let bytes = self.some(usize::MAX);
                self.complete = bytes.is_none();
                bytes?
            }
        };
        Some(bytes)
    }

    /// Closes the connection.
    pub fn hang_up(self) {
        // Nobody cares whether the other side was faster.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }

    fn some(&mut self, most: usize) -> Option<Vec<u8>> {
        let there = self.socket.fill_buf().expect("more of the answer");
        let bytes = there[..there.len().min(most)].to_vec();
        self.socket.consume(bytes.len());
        (!bytes.is_empty()).then_some(bytes)
    }

    fn exactly(&mut self, size: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.socket.by_ref().take(size as u64).read_to_end(&mut bytes).expect("more of the answer");
        (bytes.len() == size).then_some(bytes)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.socket.read_line(&mut line).expect("more of the answer");
        line.ends_with("\r\n").then(|| line.trim_end().to_owned())
    }
}
