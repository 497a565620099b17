//! Methods that HTTP does not define are turned away before anything counts them: the method is a metric label,
//! and whoever can connect could invent new ones for ever.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};

use super::reply;

const KNOWN: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// Middleware: lets known methods pass.
pub async fn known<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if KNOWN.contains(request.method()) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let request: HttpRequest = request.into_parts().0;
    let response = reply::wrong_method(request.clone(), "GET, HEAD, POST").await;
    Ok(ServiceResponse::new(request, response).map_into_right_body())
}
