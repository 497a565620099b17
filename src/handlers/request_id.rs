//! Every answer carries `request-id` and `x-gatewayz-provider`, whoever makes it.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest};

use crate::dispatch::random_id;

/// The header that names the provider of an answer.
pub const PROVIDER_HEADER: HeaderName = HeaderName::from_static("x-gatewayz-provider");
/// The header that names the request.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("request-id");

#[derive(Debug, Clone)]
struct RequestId(String);

/// Middleware: gives the request its id, and the answer its headers.
pub async fn assign(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = random_id("req_");
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if let Ok(value) = header {
        headers.insert(REQUEST_ID_HEADER, value);
    }
    if !headers.contains_key(PROVIDER_HEADER) {
        headers.insert(PROVIDER_HEADER, HeaderValue::from_static(crate::config::OWN_NAME));
    }
    Ok(response)
}

/// The id of a request that came through [`assign`].
pub fn of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}
