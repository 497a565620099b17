//! The provider: answers written beforehand, on the same thread as the load. It reads of a request only what it must.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

use super::case::Answer;
use super::inputs;

/// Where the provider listens, and what it has sent.
pub struct Provider {
    pub plain: SocketAddr,
    /// For `localhost`, by a certificate of [`Provider::authority`].
    pub tls: SocketAddr,
    /// PEM.
    pub authority: String,
    chunks: Rc<Cell<u64>>,
}

impl Provider {
    /// Must be called within a `LocalSet`. `port`: 0 for any.
    pub async fn start(port: u16) -> io::Result<Provider> {
        let (authority, acceptor) = authority();
        let chunks = Rc::new(Cell::new(0));
        let answers = Rc::new(Answers::new(chunks.clone()));
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let behind_tls = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (plain, tls) = (listener.local_addr()?, behind_tls.local_addr()?);
        spawn_local(accept(listener, None, answers.clone()));
        spawn_local(accept(behind_tls, Some(acceptor), answers));
        Ok(Provider { plain, tls, authority, chunks })
    }

    /// Events that have been sent so far.
    pub fn chunks(&self) -> u64 {
        self.chunks.get()
    }
}

fn authority() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "benchmark");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (issuer.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, answers: Rc<Answers>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (tls, answers) = (tls.clone(), answers.clone());
        spawn_local(async move {
            // Whoever hangs up, or shows itself a stranger to TLS, is done.
            socket.set_nodelay(true)?;
            match tls {
                None => serve(socket, &answers).await,
                Some(tls) => serve(tls.accept(socket).await?, &answers).await,
            }
        });
    }
}

async fn serve(mut socket: impl AsyncRead + AsyncWrite + Unpin, answers: &Answers) -> io::Result<()> {
    let mut read = Vec::with_capacity(64 * 1024);
    loop {
        let length = loop {
            if let Some(length) = request_length(&read) {
                break length;
            }
            if socket.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        while read.len() < length {
            if socket.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        answers.write(wanted(&read), &mut socket).await?;
        read.clear();
    }
}

/// Head and body, once the head is there.
fn request_length(read: &[u8]) -> Option<usize> {
    let head = memmem::find(read, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).unwrap_or_default();
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Some(head + length.and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0))
}

/// What is asked for: by the first segment of the path, or, from a gateway that knows one path only, by the model.
fn wanted(request: &[u8]) -> Answer {
    let path = request.get(b"POST /".len()..).unwrap_or_default();
    let by_path = Answer::ALL.into_iter().find(|answer| path.starts_with(answer.model().as_bytes()));
    let by_model = || Answer::ALL.into_iter().find(|answer| memmem::find(request, answer.model().as_bytes()).is_some());
    by_path.or_else(by_model).unwrap_or(Answer::Text)
}

/// The answers as they go over the wire.
struct Answers {
    text: String,
    tool_call: String,
    /// Each event as one chunk of HTTP.
    events: Vec<String>,
    chunks: Rc<Cell<u64>>,
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
const STREAM_END: &str = "0\r\n\r\n";

impl Answers {
    fn new(chunks: Rc<Cell<u64>>) -> Answers {
        let whole = |body: String| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            format!("{head}\r\n\r\n{body}")
        };
        let framed = |event: &String| format!("{:x}\r\n{event}\r\n", event.len());
        Answers {
            text: whole(inputs::completion()),
            tool_call: whole(inputs::tool_call()),
            events: inputs::stream().iter().map(framed).collect(),
            chunks,
        }
    }

    async fn write(&self, answer: Answer, socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
        match answer {
            Answer::Text => socket.write_all(self.text.as_bytes()).await,
            Answer::ToolCall => socket.write_all(self.tool_call.as_bytes()).await,
            Answer::Stream => {
                socket.write_all(STREAM_HEAD.as_bytes()).await?;
                for event in &self.events {
                    self.event(event, socket).await?;
                }
                socket.write_all(STREAM_END.as_bytes()).await
            }
            Answer::Paced => {
                socket.write_all(STREAM_HEAD.as_bytes()).await?;
                let mut pace = interval(Duration::from_millis(1));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for event in &self.events {
                    pace.tick().await;
                    self.event(event, socket).await?;
                }
                socket.write_all(STREAM_END.as_bytes()).await
            }
            Answer::Held => {
                socket.write_all(STREAM_HEAD.as_bytes()).await?;
                self.event(&self.events[0], socket).await?;
                // Until the other side closes.
                socket.read_u8().await.map(drop)
            }
        }
    }

    async fn event(&self, event: &str, socket: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.chunks.set(self.chunks.get() + 1);
        socket.write_all(event.as_bytes()).await?;
        // TLS keeps what has been written until then.
        socket.flush().await
    }
}
