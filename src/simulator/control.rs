//! `/simulator/...`: sets moods and shows counts.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failures;
use super::moods;
use super::state::Shared;
use super::validate::Fault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    mood: String,
    argument: Option<u32>,
    times: Option<u64>,
}

/// `GET /simulator/moods`: those there are, and those that are set.
pub async fn list(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"moods": moods::list(), "set": shared.set_moods()}))
}

/// `PUT /simulator/moods/{model}`.
pub async fn set(
    shared: Data<Shared>,
    model: Path<String>,
    body: Result<web::Bytes, actix_web::Error>,
) -> HttpResponse {
    match read(&model, body) {
        Ok((chosen, times)) => {
            shared.set_mood(&model, chosen, times);
            HttpResponse::Ok().json(json!({"model": *model, "set": shared.set_moods()[model.as_str()]}))
        }
        Err(message) => failures::refused(&Fault { message, param: None }),
    }
}

/// `DELETE /simulator/moods/{model}`.
pub async fn clear(shared: Data<Shared>, model: Path<String>) -> HttpResponse {
    if shared.clear_mood(&model) {
        return HttpResponse::Ok().json(json!({"model": *model, "set": null}));
    }
    failures::not_found(&format!("No mood is set for '{model}'."), "mood_not_set")
}

/// `GET /simulator/stats`.
pub async fn stats(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.stats())
}

/// `GET /v1/models`.
pub async fn models() -> HttpResponse {
    let model = |id: String| json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "simulator"});
    let data: Value = moods::model_ids().map(model).collect();
    HttpResponse::Ok().json(json!({"object": "list", "data": data}))
}

fn read(model: &str, body: Result<web::Bytes, actix_web::Error>) -> Result<(moods::Chosen, Option<u64>), String> {
    if model.is_empty() {
        return Err("Name a model, or * for all.".into());
    }
    let body = body.map_err(|error| error.to_string())?;
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|error| format!("Expected {{\"mood\": NAME, \"argument\": NUMBER, \"times\": NUMBER}}: {error}"))?;
    if wish.times == Some(0) {
        return Err("'times' is at least 1.".into());
    }
    Ok((moods::choose(&wish.mood, wish.argument)?, wish.times))
}
