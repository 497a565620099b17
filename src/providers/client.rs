//! The HTTP client of one provider and worker: TLS, pool, time limits, headers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_service::ServiceExt as _;
use awc::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use awc::{Client, Connector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;

use super::Provider;

/// Below the idle time after which common providers close: a pooled connection that the other side has closed
/// without our noticing fails on its next use.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A connection is renewed after this, so that changes of DNS are followed.
const LIFETIME: Duration = Duration::from_secs(300);

/// A client for this provider.
pub(super) fn client(provider: &Provider) -> Client {
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
        .conn_keep_alive(KEEP_ALIVE)
        .conn_lifetime(LIFETIME)
        // The pool counts a stream until its end, and a full pool waits in silence: the bound on calls is not here.
        .limit(0);
    Client::builder()
        .connector(connector)
        // A redirect would carry prompt and key to another host.
        .disable_redirects()
        .no_default_headers()
        .finish()
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
    // awc's HTTP/2 reuses connections that have ended; see actix-web#2715 and #3788.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The headers of every request to this provider.
pub(super) fn headers(provider: &Provider) -> HeaderMap {
    let mut headers = HeaderMap::new();
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
    headers
}
