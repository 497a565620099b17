//! The running simulator over real sockets: what a gateway would see.

mod answers;
mod control;
mod faults;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::rt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Pace, start};

/// Long enough for a slow machine, short enough for a test that waits for what never comes.
const PATIENCE: Duration = Duration::from_millis(300);

/// A simulator on a port of its own.
struct Running {
    address: SocketAddr,
}

/// An answer as it came over the wire.
struct Reply {
    status: u16,
    head: String,
    body: String,
    /// Whether the body came to its end as HTTP marks it.
    complete: bool,
}

impl Running {
    fn with(pace: Pace) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rt::spawn(start(listener, pace, 1).unwrap());
        Running { address }
    }

    fn new() -> Self {
        Running::with(Pace::instant())
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        let mut socket = self.send(method, path, body).await;
        let mut raw = Vec::new();
        timeout(Duration::from_secs(10), socket.read_to_end(&mut raw)).await.unwrap().unwrap();
        Reply::read(&String::from_utf8(raw).unwrap())
    }

    async fn chat(&self, body: Value) -> Reply {
        self.ask("POST", "/v1/chat/completions", &body.to_string()).await
    }

    async fn json(&self, body: Value) -> Value {
        self.chat(body).await.json()
    }

    async fn stats(&self) -> Value {
        self.ask("GET", "/simulator/stats", "").await.json()
    }
}

impl Reply {
    fn read(raw: &str) -> Self {
        let (head, rest) = raw.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if head.contains("transfer-encoding: chunked") {
            let (body, complete) = unchunked(rest);
            return Reply { status, head, body, complete };
        }
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let complete = rest.len() == length.parse::<usize>().unwrap();
        Reply { status, head, body: rest.to_owned(), complete }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data lines, without `[DONE]`.
    fn chunks(&self) -> Vec<Value> {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The text of a stream.
    fn text(&self) -> String {
        self.chunks().iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
    }
}

fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        body.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    (body, false)
}

/// A request of one user message.
fn asking(model: &str, prompt: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
}

/// The same as a stream with usage.
fn streaming(model: &str, prompt: &str) -> Value {
    let mut body = asking(model, prompt);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

fn with_tools(mut body: Value, names: &[&str]) -> Value {
    let tool = |name: &&str| {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object",
            "properties": {"city": {"type": "string"}}, "required": ["city"]}}})
    };
    body["tools"] = names.iter().map(tool).collect();
    body
}
