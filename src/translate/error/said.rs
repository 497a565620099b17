//! What can be read of an error body, whatever its shape: OpenAI's, OpenRouter's, vLLM's, llama.cpp's, Ollama's,
//! FastAPI's, plain text or a page of HTML.

use serde_json::Value;

/// How OpenRouter words an error whose cause stands in `metadata.raw`.
const PASSED_ON: &str = "Provider returned error";

#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) message: String,
    /// The kind of failure in the provider's words: types and codes, in lower case.
    kinds: String,
    /// All that was said, in lower case.
    pub(super) words: String,
    code: Option<u16>,
    pub(super) moderated: bool,
    pub(super) retry_after: Option<u64>,
    /// Tokens of the prompt and of the context, where they stand in fields (llama.cpp).
    pub(super) overflow: Option<(u64, u64)>,
    /// A page of HTML: a proxy speaks, not the provider.
    pub(super) is_page: bool,
}

impl Said {
    pub(super) fn read(body: &[u8]) -> Said {
        if let Ok(value) = serde_json::from_slice::<Value>(body) {
            return Said::of(&value);
        }
        // Something compressed, most likely.
        if body.contains(&0) {
            return Said::default();
        }
        let text = String::from_utf8_lossy(body.trim_ascii()).into_owned();
        match text.starts_with('<') {
            true => Said { is_page: true, ..Said::default() },
            false => Said { words: text.to_lowercase(), message: text, ..Said::default() },
        }
    }

    pub(super) fn of(value: &Value) -> Said {
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let metadata = &error["metadata"];
        let raw = match &metadata["raw"] {
            Value::String(text) => Some(Said::read(text.as_bytes())),
            Value::Null => None,
            other => Some(Said::of(other)),
        };
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let detail = match &value["detail"] {
            Value::Null | Value::String(_) => text(&value["detail"]),
            other => Some(other.to_string()),
        };
        let own = text(error).or_else(|| text(&error["message"])).or(detail).unwrap_or_default();
        let kinds = [&error["type"], &error["code"], &error["status"], &metadata["error_type"]];
        let kinds = kinds.into_iter().filter_map(text).collect::<Vec<_>>().join("\n").to_lowercase();
        let code = [&error["code"], &error["status"]].into_iter().find_map(|code| match code {
            Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        let inner = raw.as_ref().map_or("", |raw| &raw.message);
        let words = format!("{kinds}\n{inner}\n{own}").to_lowercase();
        Said {
            moderated: !metadata["reasons"].is_null() || kinds.contains("content_policy_violation"),
            message: if own == PASSED_ON && !inner.is_empty() { inner.to_owned() } else { own },
            kinds,
            words,
            code,
            retry_after: metadata["retry_after_seconds"].as_u64(),
            overflow: error["n_prompt_tokens"].as_u64().zip(error["n_ctx"].as_u64()),
            is_page: false,
        }
    }

    /// Whether anything said contains one of these.
    pub(super) fn mentions(&self, any: &[&str]) -> bool {
        any.iter().any(|word| self.words.contains(word))
    }

    /// Whether a type or code contains one of these.
    pub(super) fn is_kind(&self, any: &[&str]) -> bool {
        any.iter().any(|word| self.kinds.contains(word))
    }

    /// The status that an error inside a 200 would have had.
    pub(super) fn status(&self) -> u16 {
        let kinds: [(u16, &[&str]); 7] = [
            (429, &["rate_limit", "resource_exhausted", "too_many_requests"]),
            (503, &["overloaded", "unavailable"]),
            (504, &["timeout"]),
            (401, &["authentication", "invalid_api_key", "permission_denied"]),
            (402, &["payment_required", "insufficient_quota"]),
            (404, &["not_found", "notfounderror"]),
            (400, &["invalid_request", "badrequest", "invalid_prompt", "unprocessable"]),
        ];
        let by_kind = || kinds.into_iter().find(|(_, words)| self.is_kind(words)).map(|(status, _)| status);
        self.code.filter(|code| (400..600).contains(code)).or_else(by_kind).unwrap_or(500)
    }
}
