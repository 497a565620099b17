//! Who may call: client keys and the metrics bearer, compared in constant time.

use actix_web::HttpRequest;
use actix_web::http::header;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A credential as it is kept: its SHA-256.
type KeyDigest = [u8; 32];

/// The keys that open the API.
pub struct ClientKeys {
    digests: Vec<KeyDigest>,
    /// No key is asked for: `--insecure`, on loopback.
    open: bool,
}

impl ClientKeys {
    /// Plain keys and hex digests; `open` lets everybody in.
    pub fn new(plain: &[SecretString], hex: &[String], open: bool) -> ClientKeys {
        let plain = plain.iter().map(|key| digest(key.expose_secret()));
        ClientKeys { digests: plain.chain(hex.iter().filter_map(|hex| from_hex(hex))).collect(), open }
    }

    /// Whether the request bears one of the keys, as `x-api-key` or as bearer. Either will do: an SDK sends both
    /// when its environment holds both, and one of them may be meant for another service.
    pub fn admit(&self, request: &HttpRequest) -> bool {
        let keys = [header_text(request, "x-api-key"), bearer(request)];
        self.open || keys.into_iter().flatten().any(|key| self.contains(key))
    }

    fn contains(&self, key: &str) -> bool {
        let presented = digest(key);
        // Every key is compared, so that the time says nothing of which one came near.
        let found = self.digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&presented));
        found.into()
    }
}

/// The bearer token of `/metrics`. Without one nobody gets in.
pub struct MetricsToken(Option<KeyDigest>);

impl MetricsToken {
    pub fn new(token: Option<&SecretString>) -> MetricsToken {
        MetricsToken(token.map(|token| digest(token.expose_secret())))
    }

    /// Whether the request bears the token.
    pub fn admit(&self, request: &HttpRequest) -> bool {
        match (&self.0, bearer(request)) {
            (Some(known), Some(presented)) => known.ct_eq(&digest(presented)).into(),
            _ => false,
        }
    }
}

/// SHA-256 in hex, as it stands in `auth.key_sha256`.
pub fn hex_digest(key: &str) -> String {
    digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

fn from_hex(text: &str) -> Option<KeyDigest> {
    let mut digest = KeyDigest::default();
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

fn header_text<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = header_text(request, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(name: &'static str, value: &'static str) -> HttpRequest {
        TestRequest::default().insert_header((name, value)).to_http_request()
    }

    #[test]
    fn plain_and_hashed_keys_open_in_both_headers() {
        let keys = ClientKeys::new(&["plain".into()], &[hex_digest("hashed")], false);
        assert!(keys.admit(&request("x-api-key", "plain")));
        assert!(keys.admit(&request("authorization", "Bearer hashed")));
        assert!(keys.admit(&request("authorization", "bearer plain")));
        assert!(!keys.admit(&request("x-api-key", "wrong")));
        assert!(!keys.admit(&request("authorization", "Basic plain")));
        assert!(!keys.admit(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn without_a_token_nobody_sees_the_metrics() {
        assert!(!MetricsToken::new(None).admit(&request("authorization", "Bearer ")));
        let token = MetricsToken::new(Some(&"t".into()));
        assert!(token.admit(&request("authorization", "Bearer t")));
        assert!(!token.admit(&request("x-api-key", "t")));
    }
}
