//! `POST /v1/chat/completions`: from the request to the mood to the answer.

use std::future::pending;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentType, HeaderName};
use actix_web::web::{self, Data};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Answer, Finish};
use super::brain::{self, Slant};
use super::chunks;
use super::completion::completion;
use super::envelope::{Envelope, written};
use super::failures;
use super::moods::{self, Chosen, Mood};
use super::play::{play, wait_until};
use super::request::{ChatRequest, Thinking, ThinkingStyle};
use super::script::{self, Tempo};
use super::state::{Shared, Visit};
use super::validate::{self, Fault};

pub async fn chat(shared: Data<Shared>, body: Result<web::Bytes, actix_web::Error>) -> HttpResponse {
    let mut response = answered(&shared, body).await;
    // A limit that is told and not enforced; who meets one has nothing left.
    let left = if response.status() == StatusCode::TOO_MANY_REQUESTS { 0 } else { shared.left(now() / 60) };
    response.headers_mut().insert(HeaderName::from_static("x-ratelimit-remaining-requests"), left.into());
    response
}

async fn answered(shared: &Data<Shared>, body: Result<web::Bytes, actix_web::Error>) -> HttpResponse {
    let start = Instant::now();
    let mut request = match read(body) {
        Ok(request) => request,
        Err(refusal) => {
            shared.refuse();
            return *refusal;
        }
    };
    let mut visit = shared.clone().into_inner().begin(&request.model, request.stream);
    let chosen = match mood(shared, &request.model, visit.nth) {
        Ok(chosen) => chosen,
        Err(failure) => {
            visit.finish();
            return *failure;
        }
    };
    if chosen.mood == Mood::Hang {
        pending::<()>().await;
    }
    if chosen.mood == Mood::Think && request.thinking.is_none() {
        request.thinking = Some(Thinking { style: ThinkingStyle::Content, effort: "medium".into() });
    }
    let envelope = envelope(&request, chosen, visit.serial);
    let answer = brain::answer(&request, slant(chosen.mood));
    let tempo = Tempo::new(&shared.pace, chosen);
    if request.stream && chosen.mood != Mood::JsonForStream {
        streamed(&answer, &envelope, chosen, tempo, start, visit).await
    } else {
        whole(answer, &envelope, chosen, tempo, start, visit).await
    }
}

fn read(body: Result<web::Bytes, actix_web::Error>) -> Result<ChatRequest, Box<HttpResponse>> {
    let kind = "invalid_request_error";
    let body = body.map_err(|error| {
        let status = error.as_response_error().status_code();
        failures::openai(status, kind, &format!("The request body could not be read: {error}"), Value::Null)
    })?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("We could not parse the JSON body of your request: {error}");
        failures::refused(&Fault { message, param: None })
    })?;
    validate::check(&body).map_err(|fault| failures::refused(&fault))?;
    Ok(ChatRequest::read(&body))
}

/// The mood to answer in, or the failure that it answers with. A mood that was set wins over the model's name.
fn mood(shared: &Shared, model: &str, nth: u64) -> Result<Chosen, Box<HttpResponse>> {
    let chosen = match shared.take_mood(model) {
        Some(set) => set,
        None => match moods::from_model(model) {
            Some(wish) => wish.map_err(|wrong| failures::not_found(&wrong, "model_not_found"))?,
            None => Chosen::WELL,
        },
    };
    if chosen.mood == Mood::Flaky && fails(nth, chosen.argument.into()) {
        return Err(Box::new(failures::unavailable()));
    }
    failures::of_mood(chosen, model).map_or(Ok(chosen), |failure| Err(Box::new(failure)))
}

/// Whether the n-th request (from 1) is one of the share that fails, spread evenly.
fn fails(nth: u64, percent: u64) -> bool {
    nth * percent / 100 > (nth - 1) * percent / 100
}

fn slant(mood: Mood) -> Slant {
    match mood {
        Mood::Refuse => Slant::Refuses,
        Mood::Empty => Slant::Silent,
        Mood::Tools => Slant::CallsFirstTool,
        Mood::Interleaved => Slant::CallsTwoTools,
        Mood::Surrogates => Slant::SplitsEmoji,
        _ => Slant::None,
    }
}

fn envelope(request: &ChatRequest, chosen: Chosen, serial: u64) -> Envelope {
    Envelope {
        serial,
        created: now(),
        model: request.model.clone(),
        style: request.thinking.as_ref().map_or(ThinkingStyle::Content, |thinking| thinking.style),
        prompt_tokens: request.prompt_tokens,
        cached_tokens: if chosen.mood == Mood::Cached { request.prompt_tokens / 2 } else { 0 },
        include_usage: request.include_usage,
        interleaved: chosen.mood == Mood::Interleaved,
    }
}

/// Unix time in seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

async fn streamed(
    answer: &Answer,
    envelope: &Envelope,
    chosen: Chosen,
    tempo: Tempo,
    start: Instant,
    visit: Visit,
) -> HttpResponse {
    let acts = script::stream(chunks::frames(answer, envelope), chosen, envelope, tempo);
    // The head leaves with the first bytes of the body, as it does at providers.
    if let Some(first) = acts.first() {
        wait_until(start + first.due).await;
    }
    HttpResponse::Ok()
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .streaming(play(acts, start, visit))
}

async fn whole(
    mut answer: Answer,
    envelope: &Envelope,
    chosen: Chosen,
    tempo: Tempo,
    start: Instant,
    mut visit: Visit,
) -> HttpResponse {
    if chosen.mood == Mood::ErrorInStream {
        answer.end_after(usize::try_from(chosen.argument).unwrap_or(usize::MAX), Finish::Error);
        answer.finish = Finish::Error;
    }
    let due = tempo.after(answer.tokens());
    let mut body = completion(&answer, envelope);
    match chosen.mood {
        Mood::ErrorIn200 => body = script::error_in_200(),
        Mood::ErrorInStream => {
            body["choices"][0]["error"] = json!({"code": 502, "message": "Provider disconnected"});
        }
        Mood::NoFinish => body["choices"][0]["finish_reason"] = Value::Null,
        Mood::NoUsage => {
            body.as_object_mut().map(|fields| fields.remove("usage"));
        }
        _ => {}
    }
    let mut text = written(&body);
    wait_until(start + due).await;
    if matches!(chosen.mood, Mood::Cut | Mood::HangAfter) {
        let acts = script::half(&text, chosen.mood, due);
        return json_head().body(SizedStream::new(text.len() as u64, play(acts, start, visit)));
    }
    if chosen.mood == Mood::Malformed {
        text = text.chars().take(text.chars().count() / 2).collect();
    }
    visit.finish();
    json_head().body(text)
}

fn json_head() -> HttpResponseBuilder {
    let mut head = HttpResponseBuilder::new(StatusCode::OK);
    head.content_type(ContentType::json());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaky_share_is_exact_and_spread() {
        let failed = |percent| (1..=100).filter(|nth| fails(*nth, percent)).count();
        assert_eq!([failed(0), failed(1), failed(30), failed(100)], [0, 1, 30, 100]);
        assert_eq!((1..=4).map(|nth| fails(nth, 50)).collect::<Vec<_>>(), [false, true, false, true]);
    }
}
