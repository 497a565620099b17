//! The body of a client's request: read within a bound and a time.

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

use super::App;
use crate::error::{Cause, GatewayError};
use crate::metrics::observation::Rejection;

/// What is set aside for a body before any of it has come, in bytes: an announcement costs nothing.
const FIRST_BUFFER: usize = 512 * 1024;

impl App {
    /// Reads a JSON body within the bound and the time.
    pub(super) async fn read_body(&self, request: &HttpRequest, payload: Payload) -> Result<Bytes, GatewayError> {
        readable(request).inspect_err(|_| self.reject(Rejection::Validation))?;
        let mut reading = Reading::of(self, request);
        let read = tokio::time::timeout(self.body_timeout, reading.read(payload)).await;
        if let Ok(Err(broken)) = read {
            return Err(broken);
        }
        if reading.too_large {
            let message = format!("Request exceeds the maximum size of {} bytes", self.max_body);
            return Err(GatewayError::new(Cause::BodyTooLarge, message));
        }
        if read.is_err() {
            let message = format!("The request body did not arrive within {:?}", self.body_timeout);
            return Err(GatewayError::new(Cause::BodyTimeout, message));
        }
        Ok(reading.whole())
    }
}

/// A body on its way. Unless it arrives whole it is counted as rejected, also when the connection breaks and
/// nobody is left to tell.
struct Reading<'a> {
    app: &'a App,
    announced: usize,
    body: BytesMut,
    too_large: bool,
    whole: bool,
}

impl<'a> Reading<'a> {
    fn of(app: &'a App, request: &HttpRequest) -> Self {
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced: usize = announced.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default();
        Reading {
            app,
            announced,
            body: BytesMut::with_capacity(announced.min(FIRST_BUFFER)),
            too_large: announced > app.max_body,
            whole: false,
        }
    }

    /// What is too large is read on for a while all the same: clients that are still sending when the answer comes
    /// report a broken connection instead of the answer.
    async fn read(&mut self, mut payload: Payload) -> Result<(), GatewayError> {
        let mut read = 0usize;
        while let Some(bytes) = payload.next().await {
            let bytes = bytes.map_err(|_| GatewayError::new(Cause::BodyIncomplete, "the request body broke off"))?;
            read = read.saturating_add(bytes.len());
            self.too_large |= read > self.app.max_body;
            if !self.too_large {
                if self.body.capacity() - self.body.len() < bytes.len() {
                    // It is meant seriously. What is set aside takes memory only when it is written to.
                    self.body.reserve(self.announced.saturating_sub(self.body.len()).max(bytes.len()));
                }
                self.body.extend_from_slice(&bytes);
            } else if read > self.app.max_body.saturating_mul(2) {
                break;
            }
        }
        Ok(())
    }

    fn whole(mut self) -> Bytes {
        self.whole = true;
        std::mem::take(&mut self.body).freeze()
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        match (self.whole, self.too_large) {
            (true, _) => {}
            (false, true) => self.app.reject(Rejection::TooLarge),
            (false, false) => self.app.reject(Rejection::Validation),
        }
    }
}

/// Whether every header that says what the body is says what we read. One that is no text says something else.
fn readable(request: &HttpRequest) -> Result<(), GatewayError> {
    let all = |name, fits: fn(&str) -> bool| {
        request.headers().get_all(name).all(|value: &header::HeaderValue| value.to_str().is_ok_and(fits))
    };
    let is_json =
        |kind: &str| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
    if !all(header::CONTENT_TYPE, is_json) {
        return Err(GatewayError::new(Cause::UnsupportedMedia, "content-type must be application/json"));
    }
    if !all(header::CONTENT_ENCODING, |encoding| encoding.eq_ignore_ascii_case("identity")) {
        return Err(GatewayError::new(
            Cause::UnsupportedMedia,
            "compressed request bodies are not supported; send it plain",
        ));
    }
    Ok(())
}
