//! A provider behind TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::PATIENCE;
use super::provider::completion;
use super::scratch::Scratch;

/// Issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, as `ca_file` names it.
    pub fn file(&self) -> Scratch {
        Scratch::toml(&self.0.pem())
    }

    /// A provider that shows a certificate for `localhost`.
    pub fn provider(&self) -> TlsProvider {
        self.provider_as("localhost", |_| ())
    }

    /// A provider that shows a certificate for this name, changed as it is told.
    pub fn provider_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> TlsProvider {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        TlsProvider::start(certificate.der().clone(), key)
    }
}

/// What came of a connection.
#[derive(Debug)]
pub enum Met {
    /// The gateway turned away before it said anything.
    Nothing,
    /// A request, and the protocol that was agreed on.
    Request { head: String, body: Value, protocol: Option<String> },
}

/// Answers every request with a completion that says `well`.
pub struct TlsProvider {
    port: u16,
    met: Receiver<Met>,
}

impl TlsProvider {
    fn start(certificate: CertificateDer<'static>, key: KeyPair) -> TlsProvider {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        // As big providers do: HTTP/2 would be preferred.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, met) = channel();
        std::thread::spawn(move || serve(&listener, Arc::new(config), &sender));
        TlsProvider { port, met }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/v1", self.port)
    }

    /// Waits for the end of the next connection.
    pub fn meet(&self) -> Met {
        self.met.recv_timeout(PATIENCE).expect("the gateway connects")
    }
}

fn serve(listener: &TcpListener, config: Arc<ServerConfig>, sender: &Sender<Met>) {
    for socket in listener.incoming() {
        let (Ok(socket), config, sender) = (socket, config.clone(), sender.clone()) else { return };
        std::thread::spawn(move || {
            // The test may be over.
            let _ = sender.send(answer(socket, config).unwrap_or(Met::Nothing));
        });
    }
}

/// None when the connection ends before a whole request has come.
fn answer(socket: TcpStream, config: Arc<ServerConfig>) -> Option<Met> {
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(StreamOwned::new(ServerConnection::new(config).ok()?, socket));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let asked = serde_json::from_slice(&body).ok()?;
    let stream = reader.get_mut();
    let protocol = stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let body = completion("well").to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()?;
    Some(Met::Request { head, body: asked, protocol })
}
