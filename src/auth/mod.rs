//! Who may call: keys of clients and admins, and the metrics bearer, compared in constant time.

mod key;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use actix_web::HttpRequest;
use actix_web::http::header;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

pub use self::key::{Key, UNNAMED};
use crate::config::{self, Role};
use crate::error::{Cause, GatewayError};
use crate::limits::meter::Meters;

/// A credential as it is kept: its SHA-256.
type KeyDigest = [u8; 32];

/// All keys; they can be replaced while requests are served.
pub struct KeyRing {
    ring: RwLock<Arc<Ring>>,
    meters: Arc<Meters>,
}

struct Ring {
    keys: Vec<(KeyDigest, Arc<Key>)>,
    /// Whoever has a key without a name, or none where none is asked for.
    unnamed: Arc<Key>,
    /// No key is asked for: `--insecure`, on loopback.
    open: bool,
}

impl KeyRing {
    /// Plain keys, hex digests and named keys; `open` lets everybody in.
    pub fn new(plain: &[SecretString], auth: &config::Auth, open: bool, meters: Arc<Meters>) -> KeyRing {
        KeyRing { ring: RwLock::new(Arc::new(Ring::new(plain, auth, open, &meters))), meters }
    }

    /// Takes these keys in place of those before. What keys of the same name have used is kept.
    pub fn replace(&self, plain: &[SecretString], auth: &config::Auth, open: bool) {
        let ring = Arc::new(Ring::new(plain, auth, open, &self.meters));
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key of a client, from `x-api-key` or a bearer. Either will do: an SDK sends both when its environment holds
    /// both, and one of them may be meant for another service, or be the one from before a change of keys. The first
    /// that opens the API is taken, and its limits hold; when none does, the first that is known says why.
    pub fn client(&self, request: &HttpRequest) -> Result<Arc<Key>, GatewayError> {
        self.ring().client(request)
    }

    /// Whether the request bears the key of an admin.
    pub fn is_admin(&self, request: &HttpRequest) -> bool {
        self.ring().is_admin(request)
    }
}

impl Ring {
    fn new(plain: &[SecretString], auth: &config::Auth, open: bool, meters: &Meters) -> Ring {
        let unnamed = Arc::new(Key::unnamed(meters));
        let plain = plain.iter().map(|key| digest(key.expose_secret()));
        let hashed = auth.key_sha256.iter().filter_map(|hex| from_hex(hex));
        let mut keys: Vec<_> = plain.chain(hashed).map(|digest| (digest, unnamed.clone())).collect();
        let named = |key: &config::NamedKey| Some((from_hex(&key.sha256)?, Arc::new(Key::named(key, meters))));
        keys.extend(auth.keys.iter().filter_map(named));
        Ring { keys, unnamed, open }
    }

    fn client(&self, request: &HttpRequest) -> Result<Arc<Key>, GatewayError> {
        let mut refusal = None;
        for key in self.known(request) {
            match opens_the_api(&key) {
                Ok(()) => return Ok(key),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            Some(error) => Err(error),
            None if self.open => Ok(self.unnamed.clone()),
            None => {
                let any = ["x-api-key", "authorization"].iter().any(|name| request.headers().contains_key(*name));
                let message = if any { "invalid x-api-key" } else { "x-api-key header is required" };
                Err(GatewayError::new(Cause::Unauthenticated, message))
            }
        }
    }

    fn is_admin(&self, request: &HttpRequest) -> bool {
        self.known(request).any(|key| key.role == Role::Admin && key.check(SystemTime::now()).is_ok())
    }

    /// Of the keys that a request bears, those that are known.
    fn known(&self, request: &HttpRequest) -> impl Iterator<Item = Arc<Key>> {
        let presented = [header_text(request, "x-api-key"), bearer(request)];
        presented.into_iter().flatten().filter_map(|key| self.find(key))
    }

    fn find(&self, key: &str) -> Option<Arc<Key>> {
        let presented = digest(key);
        // Every key is compared, so that the time says nothing of which one came near.
        let mut found = u64::MAX;
        for (at, (known, _)) in (0..).zip(&self.keys) {
            found.conditional_assign(&at, known.ct_eq(&presented));
        }
        self.keys.get(usize::try_from(found).ok()?).map(|(_, key)| key.clone())
    }
}

fn opens_the_api(key: &Key) -> Result<(), GatewayError> {
    key.check(SystemTime::now())?;
    match key.role {
        Role::Client => Ok(()),
        Role::Admin => {
            let message = "this key is for /metrics and /admin/usage; models need a key with role client";
            Err(GatewayError::new(Cause::Forbidden, message))
        }
    }
}

/// The bearer token of `/metrics`. Without one nobody gets in by it.
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

/// SHA-256 in hex, as it stands in the configuration.
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
        let auth = config::Auth { key_sha256: vec![hex_digest("hashed")], keys: Vec::new() };
        let keys = KeyRing::new(&["plain".into()], &auth, false, Arc::default());
        assert!(keys.client(&request("x-api-key", "plain")).is_ok());
        assert!(keys.client(&request("authorization", "Bearer hashed")).is_ok());
        assert!(keys.client(&request("authorization", "bearer plain")).is_ok());
        assert!(keys.client(&request("x-api-key", "wrong")).is_err());
        assert!(keys.client(&request("authorization", "Basic plain")).is_err());
        assert!(keys.client(&TestRequest::default().to_http_request()).is_err());
    }

    #[test]
    fn without_a_token_nobody_sees_the_metrics() {
        assert!(!MetricsToken::new(None).admit(&request("authorization", "Bearer ")));
        let token = MetricsToken::new(Some(&"t".into()));
        assert!(token.admit(&request("authorization", "Bearer t")));
        assert!(!token.admit(&request("x-api-key", "t")));
    }
}
