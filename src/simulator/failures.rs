//! Answers that are no completion: errors as providers word them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use serde_json::{Value, json};

use super::moods::{Chosen, Mood};
use super::validate::Fault;

const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// An error in OpenAI's shape.
pub fn openai(status: StatusCode, kind: &str, message: &str, code: Value) -> HttpResponse {
    let error = json!({"message": message, "type": kind, "param": null, "code": code});
    HttpResponse::build(status).json(json!({"error": error}))
}

/// The answer to a request that is not well formed.
pub fn refused(fault: &Fault) -> HttpResponse {
    let error = json!({"message": fault.message, "type": "invalid_request_error", "param": fault.param, "code": null});
    HttpResponse::BadRequest().json(json!({"error": error}))
}

/// The answer to a wrong path, method or model.
pub fn not_found(message: &str, code: &str) -> HttpResponse {
    openai(StatusCode::NOT_FOUND, "invalid_request_error", message, json!(code))
}

/// The answer of a provider that is down for a moment.
pub fn unavailable() -> HttpResponse {
    let message = "The server is temporarily unable to handle the request. Please retry later.";
    openai(StatusCode::SERVICE_UNAVAILABLE, "server_error", message, json!("service_unavailable"))
}

/// The error that a mood answers every request with, if it is such a mood.
pub fn of_mood(chosen: Chosen, model: &str) -> Option<HttpResponse> {
    let invalid = |status, message: &str, code| openai(status, "invalid_request_error", message, json!(code));
    let response = match chosen.mood {
        Mood::RateLimit => rate_limit(chosen.argument, model),
        Mood::Error => {
            let message = "The server had an error while processing your request. Sorry about that!";
            openai(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message, Value::Null)
        }
        Mood::BadGateway => HttpResponse::BadGateway().content_type("text/html").body(HTML),
        Mood::Unavailable => unavailable(),
        Mood::Overloaded => {
            let status = StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            openrouter(status, "Provider overloaded", json!({"provider_name": "Simulator"}))
        }
        Mood::Timeout => openrouter(StatusCode::REQUEST_TIMEOUT, "Your request timed out", Value::Null),
        Mood::Unauthorised => {
            let message =
                "Incorrect API key provided: sk-sim***********cret. You can find your API key in your settings.";
            invalid(StatusCode::UNAUTHORIZED, message, Some("invalid_api_key"))
        }
        Mood::Forbidden => {
            let message = format!("The API key sk-sim***cret has no access to model {model}.");
            invalid(StatusCode::FORBIDDEN, &message, Some("model_forbidden"))
        }
        Mood::NoCredit => {
            let message = "Insufficient credits. Add more using https://openrouter.ai/settings/credits";
            openrouter(StatusCode::PAYMENT_REQUIRED, message, Value::Null)
        }
        Mood::NotFound => not_found(&format!("The model `{model}` does not exist."), "model_not_found"),
        Mood::Invalid => {
            let message = "Invalid request: this model does not take one of the parameters.";
            invalid(StatusCode::BAD_REQUEST, message, None)
        }
        Mood::Moderated => moderated(model),
        Mood::Context => {
            let message = "This model's maximum context length is 8192 tokens. \
                However, your messages resulted in 9001 tokens.";
            invalid(StatusCode::BAD_REQUEST, message, Some("context_length_exceeded"))
        }
        Mood::Cold => {
            let message = format!("Model {model} is cold: it is not ready for inference. Please try again later.");
            invalid(StatusCode::BAD_REQUEST, &message, Some("model_not_ready"))
        }
        _ => return None,
    };
    Some(response)
}

/// An error in OpenRouter's shape, whose code is the status.
fn openrouter(status: StatusCode, message: &str, metadata: Value) -> HttpResponse {
    let mut error = json!({"code": status.as_u16(), "message": message});
    if !metadata.is_null() {
        error["metadata"] = metadata;
    }
    HttpResponse::build(status).json(json!({"error": error, "user_id": "user_simulated"}))
}

fn rate_limit(seconds: u32, model: &str) -> HttpResponse {
    let raw = format!("{model} is temporarily rate-limited upstream. Please retry shortly.");
    let metadata = json!({"raw": raw, "provider_name": "Simulator"});
    let mut response = openrouter(StatusCode::TOO_MANY_REQUESTS, "Provider returned error", metadata);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

fn moderated(model: &str) -> HttpResponse {
    let message = format!("{model} requires moderation. Your input was flagged for \"violence\".");
    let metadata = json!({
        "reasons": ["violence"],
        "flagged_input": "the flagged part of the input",
        "provider_name": "Simulator",
        "model_slug": model,
    });
    openrouter(StatusCode::FORBIDDEN, &message, metadata)
}
