//! Token counts: OpenAI's overlapping figures to Anthropic's that add up.

use crate::wire::anthropic::message::{OutputTokensDetails, Usage};
use crate::wire::openai::completion as openai;

/// The provider's figures in Anthropic's form. `None` when it gave neither prompt nor completion tokens.
pub fn usage(reported: &openai::Usage) -> Option<Usage> {
    let count = |count: Option<openai::Count>| count.map(|count| count.0);
    let prompt = count(reported.prompt_tokens);
    let completion = count(reported.completion_tokens);
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    let prompt = prompt.unwrap_or(0);
    let details = reported.prompt_tokens_details.unwrap_or_default();
    let cached = count(details.cached_tokens).or(count(reported.prompt_cache_hit_tokens)).unwrap_or(0);
    let written = count(details.cache_write_tokens).unwrap_or(0);
    let thinking = reported.completion_tokens_details.and_then(|details| count(details.reasoning_tokens));
    Some(Usage {
        input_tokens: prompt.saturating_sub(cached).saturating_sub(written),
        cache_creation_input_tokens: written,
        cache_read_input_tokens: cached,
        output_tokens: completion.unwrap_or(0),
        output_tokens_details: thinking
            .filter(|tokens| *tokens > 0)
            .map(|tokens| OutputTokensDetails { thinking_tokens: tokens.min(completion.unwrap_or(0)) }),
    })
}

/// A bill for one request: tokens, who counted them, and what the provider charged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    pub usage: Usage,
    /// Our own figures, since the provider gave none.
    pub estimated: bool,
    /// US dollars, when the provider says so.
    pub cost: Option<f64>,
}
