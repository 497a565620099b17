//! A provider that does what the test says, byte by byte, and sees everything that it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;

/// See the module.
pub struct Provider {
    address: SocketAddr,
    exchanges: Receiver<Exchange>,
}

impl Provider {
    pub fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, exchanges) = channel();
        std::thread::spawn(move || serve(&listener, &sender));
        Provider { address, exchanges }
    }

    /// What stands as `base_url` in the configuration.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Waits for the next request.
    pub fn accept(&self) -> Exchange {
        self.exchanges.recv_timeout(PATIENCE).expect("the gateway asks the provider")
    }

    /// The next request, if one has come.
    pub fn try_accept(&self) -> Option<Exchange> {
        self.exchanges.try_recv().ok()
    }

    /// Whether nobody has asked since the last [`Provider::accept`].
    pub fn is_idle(&self) -> bool {
        self.try_accept().is_none()
    }
}

/// An address where nobody listens.
pub fn closed_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

fn serve(listener: &TcpListener, sender: &Sender<Exchange>) {
    for socket in listener.incoming() {
        let (Ok(socket), sender) = (socket, sender.clone()) else { return };
        std::thread::spawn(move || {
            if let Some(exchange) = Exchange::read(socket) {
                // The test may be over.
                let _ = sender.send(exchange);
            }
        });
    }
}

/// A request, and the connection to answer it on. Dropping it cuts the connection.
pub struct Exchange {
    /// The request line and the headers, as they came.
    pub head: String,
    pub body: Value,
    socket: TcpStream,
}

impl Exchange {
    fn read(socket: TcpStream) -> Option<Exchange> {
        socket.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(socket.try_clone().ok()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = header_of(&head, "content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Exchange { head, body: serde_json::from_slice(&body).ok()?, socket })
    }

    /// Waits for the next request on the same connection; none when the gateway closes it.
    pub fn next(self) -> Option<Exchange> {
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Exchange::read(self.socket)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }

    /// Writes bytes as they are. The gateway may have heard enough and closed the connection; what it made of that
    /// is seen on the client's side.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// Answers with a status, headers and a body, and closes.
    pub fn answer(mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(format!(
            "HTTP/1.1 {status} Scripted\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ));
    }

    /// Answers with JSON.
    pub fn json(self, status: u16, body: &Value) {
        self.answer(status, &[("content-type", "application/json")], &body.to_string());
    }

    /// Answers an error in OpenAI's shape.
    pub fn fail(self, status: u16, message: &str) {
        self.json(status, &json!({"error": {"message": message, "type": "x", "param": null, "code": null}}));
    }

    /// Answers with a completion that says this.
    pub fn say(self, text: &str) {
        self.json(200, &completion(text));
    }

    /// Answers with a completion that says this, and keeps the connection.
    pub fn say_and_keep(&mut self, text: &str) {
        let body = completion(text).to_string();
        let length = body.len();
        self.raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
    }

    /// Sends the head of a stream.
    pub fn begin(&mut self) {
        self.raw(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        );
    }

    /// Sends bytes as one chunk of HTTP.
    pub fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend(bytes);
        framed.extend(b"\r\n");
        self.raw(framed);
    }

    /// Sends the same chunk of HTTP again and again, until the gateway closes the connection.
    pub fn chunk_until_closed(&mut self, bytes: &str) {
        let framed = format!("{:x}\r\n{bytes}\r\n", bytes.len());
        while self.socket.write_all(framed.as_bytes()).is_ok() {}
    }

    /// Sends one event.
    pub fn data(&mut self, data: &Value) {
        self.chunk(format!("data: {data}\n\n"));
    }

    /// Sends a piece of text.
    pub fn text(&mut self, text: &str) {
        self.data(&delta(json!({"content": text}), None));
    }

    /// Sends pieces of text until the gateway takes no more for a second, or so many bytes have gone. Gives how many
    /// have.
    pub fn text_until_held_back(&mut self, text: &str, most: usize) -> usize {
        self.socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let data = format!("data: {}\n\n", delta(json!({"content": text}), None));
        let frame = format!("{:x}\r\n{data}\r\n", data.len());
        let mut sent = 0;
        while sent < most && self.socket.write_all(frame.as_bytes()).is_ok() {
            sent += frame.len();
        }
        sent
    }

    /// Ends a stream well: finish, usage, `[DONE]`.
    pub fn finish(mut self) {
        self.data(&delta(json!({}), Some("stop")));
        self.data(&json!({"object": "chat.completion.chunk", "choices": [], "usage": usage()}));
        self.chunk("data: [DONE]\n\n");
        self.end();
    }

    /// Ends the body as HTTP does, whatever stands in it.
    pub fn end(mut self) {
        self.raw("0\r\n\r\n");
    }

    /// Cuts the connection.
    pub fn cut(self) {}

    /// Waits until the gateway closes the connection, and tells how long that took.
    pub fn wait_until_closed(mut self) -> Duration {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut sink = [0; 64];
        loop {
            match self.socket.read(&mut sink) {
                Ok(0) => return begun.elapsed(),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return begun.elapsed(),
                Err(error) => panic!("the gateway keeps the connection to the provider: {error}"),
            }
        }
    }
}

fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// A chat completion that says this.
pub fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "whatever",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(),
    })
}

/// A chunk of a stream.
pub fn delta(delta: Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "whatever",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    })
}

/// 10 tokens in, 3 out.
pub fn usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13})
}
