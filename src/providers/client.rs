//! What a provider's connections and requests begin with: TLS, time limits, headers.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use actix_http::RequestHead;
use actix_service::{Service as _, ServiceExt as _};
use awc::http::header::{self, HeaderName, HeaderValue};
use awc::http::{Method, Uri};
use awc::{Connect, Connector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;

use super::Provider;
use super::pool::{Dial, Socket};

/// Connects to this provider.
pub(super) fn dial(provider: &Provider) -> Dial {
    let tcp =
        actix_tls::connect::Connector::default().service().map(|connection: actix_tls::connect::Connection<_, _>| {
            // Small writes of a request must not wait for an acknowledgement (40 ms). A socket that refuses the
            // option works all the same.
            let _ = tokio::net::TcpStream::set_nodelay(connection.io_ref(), true);
            connection
        });
    let connector = Connector::new()
        .connector(tcp)
        .rustls_0_23(provider.tls.clone())
        .timeout(provider.connect_timeout)
        .handshake_timeout(provider.connect_timeout)
        // A connection counts until its end, and a full count waits in silence: the bound on calls is not here.
        .limit(0)
        .finish();
    let uri = provider.url.clone();
    Box::new(move || {
        let connecting = connector.call(Connect { uri: uri.clone(), addr: None });
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Socket>) })
    })
}

/// HTTP/1.1 over TLS with Mozilla's roots, and those in a PEM file.
pub fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
        let mut any = false;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
            any = true;
        }
        if !any {
            return Err(unreadable(&"holds no certificate"));
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // No other is spoken here, and awc panics where a connection of HTTP/2 is read from.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The head of every request to this provider that asks for this kind of answer.
pub(super) fn head(provider: &Provider, accept: &'static str) -> Rc<RequestHead> {
    let mut head = RequestHead::default();
    (head.method, head.uri) = (Method::POST, provider.url.clone());
    let headers = &mut head.headers;
    if let Some(host) = host(&provider.url) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("gatewayz/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Neither is left out: the configuration is refused when a key or a header cannot be sent.
    if let Some(key) = &provider.key
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
    {
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    for (name, value) in &provider.extra_headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        {
            // Some providers take their key in a header of their own.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    Rc::new(head)
}

/// Without the port that everybody knows.
fn host(url: &Uri) -> Option<HeaderValue> {
    let host = url.host()?;
    let known = if url.scheme_str() == Some("https") { 443 } else { 80 };
    let port = url.port_u16().filter(|port| *port != known);
    HeaderValue::try_from(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))).ok()
}
