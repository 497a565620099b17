//! How one kind of provider differs from another, as plain data.
//!
//! A new quirk is a field here with a value for each dialect, never a test for a provider's name elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a provider takes and how it wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// The field that bounds the answer's length.
    pub max_tokens_field: MaxTokensField,
    /// The most stop sequences in one request; the rest is dropped and said.
    pub max_stop_sequences: usize,
    /// Whether `top_k` is taken.
    pub top_k: bool,
    /// Whether prompt-cache marks are taken, on content parts and at the top level.
    pub cache_control: bool,
    /// How the wish to think is spelt.
    pub reasoning: ReasoningField,
    /// Which effort a thinking budget stands for.
    pub effort_budgets: EffortBudgets,
    /// Whether effort `none` is taken, for clients that want no thinking.
    pub effort_none: bool,
    /// Whether `user` (a hash of the client's `metadata.user_id`) is taken.
    pub user: bool,
    /// Whether `file` parts (PDF) are taken, and from where.
    pub files: Files,
    /// What becomes of a system turn inside the conversation.
    pub inner_system: InnerSystem,
    /// What becomes of a final assistant turn.
    pub prefill: Prefill,
    /// Whether the `web` plugin stands in for Anthropic's web search.
    pub web_plugin: bool,
    /// How thinking of earlier turns goes back to the provider.
    pub replay: Replay,
    /// Whether the usage in every answer tells what it cost, in US dollars. Where a provider does so, its figure is
    /// taken, whatever stands here: this says that budgets can rely on it.
    pub tells_cost: bool,
}

/// See [`Dialect::max_tokens_field`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    MaxTokens,
    MaxCompletionTokens,
}

impl MaxTokensField {
    /// The field's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            MaxTokensField::MaxTokens => "max_tokens",
            MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// See [`Dialect::reasoning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// Not taken.
    None,
    /// `reasoning: {"effort": ...}`
    ReasoningEffortObject,
    /// `reasoning: {"max_tokens": ...}` for a budget, `{"effort": ...}` for what is no number.
    ReasoningBudgetObject,
    /// `reasoning_effort`.
    ReasoningEffort,
}

/// The largest budget in tokens that still counts as low, and as medium effort; above that it is high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffortBudgets {
    pub low: u64,
    pub medium: u64,
}

/// Goes back from the budgets that agents send to the effort that they mean by them.
const EFFORT_BUDGETS: EffortBudgets = EffortBudgets { low: 2048, medium: 8192 };

impl EffortBudgets {
    /// The effort that so many tokens stand for.
    pub fn effort(self, tokens: u64) -> &'static str {
        match tokens {
            tokens if tokens <= self.low => "low",
            tokens if tokens <= self.medium => "medium",
            _ => "high",
        }
    }
}

/// See [`Dialect::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// Not taken.
    None,
    /// As a data URI only.
    Data,
    /// As a data URI, or by its address.
    DataOrUrl,
}

/// See [`Dialect::inner_system`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InnerSystem {
    /// Stays a system message where it is.
    Keep,
    /// Becomes a user message in `<system>` tags: many chat templates allow a system message in front only.
    Demote,
}

/// See [`Dialect::prefill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefill {
    /// Sent as it is: the provider continues it.
    Send,
    /// Sent with vLLM's `continue_final_message`.
    ContinueFinalMessage,
    /// Refused with a 400.
    Reject,
}

/// See [`Dialect::replay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// Left out.
    None,
    /// As `reasoning_details`, exactly as they came.
    ReasoningDetails,
    /// As `reasoning_content`.
    ReasoningContent,
}

impl Dialect {
    /// The dialect of that name: `openrouter`, `featherless`, `openai` or `generic`.
    pub fn named(name: &str) -> Option<Dialect> {
        match name {
            "openrouter" => Some(Dialect::openrouter()),
            "featherless" => Some(Dialect::featherless()),
            "openai" => Some(Dialect::openai()),
            "generic" => Some(Dialect::generic()),
            _ => None,
        }
    }

    /// All names, for messages.
    pub const NAMES: [&'static str; 4] = ["openrouter", "featherless", "openai", "generic"];

    /// The dialect with some fields set otherwise, by the names and values of this type's serialized form; or
    /// every field that cannot be set so, with its problem.
    pub fn overridden(&self, overrides: &Map<String, Value>) -> Result<Dialect, Vec<(String, String)>> {
        let mut dialect = self.clone();
        let mut problems = Vec::new();
        for (field, value) in overrides {
            match dialect.with(field, value) {
                Ok(changed) => dialect = changed,
                Err(error) => problems.push((field.clone(), error.to_string())),
            }
        }
        if problems.is_empty() { Ok(dialect) } else { Err(problems) }
    }

    fn with(&self, field: &str, value: &Value) -> serde_json::Result<Dialect> {
        let mut fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(self)?)?;
        fields.insert(field.to_owned(), value.clone());
        serde_json::from_value(Value::Object(fields))
    }

    /// OpenRouter, as its package's request types list the fields.
    pub fn openrouter() -> Dialect {
        Dialect {
            max_tokens_field: MaxTokensField::MaxTokens,
            max_stop_sequences: 4,
            top_k: true,
            cache_control: true,
            reasoning: ReasoningField::ReasoningEffortObject,
            effort_budgets: EFFORT_BUDGETS,
            effort_none: true,
            user: true,
            files: Files::DataOrUrl,
            inner_system: InnerSystem::Keep,
            prefill: Prefill::Send,
            web_plugin: true,
            replay: Replay::ReasoningDetails,
            tells_cost: true,
        }
    }

    /// Featherless: open models behind vLLM.
    pub fn featherless() -> Dialect {
        Dialect { replay: Replay::ReasoningContent, ..Dialect::generic() }
    }

    /// OpenAI itself.
    pub fn openai() -> Dialect {
        Dialect {
            max_tokens_field: MaxTokensField::MaxCompletionTokens,
            max_stop_sequences: 4,
            top_k: false,
            cache_control: false,
            reasoning: ReasoningField::ReasoningEffort,
            effort_budgets: EFFORT_BUDGETS,
            // Its models that do not reason refuse the field altogether.
            effort_none: false,
            user: true,
            files: Files::Data,
            inner_system: InnerSystem::Keep,
            prefill: Prefill::Reject,
            web_plugin: false,
            replay: Replay::None,
            tells_cost: false,
        }
    }

    /// vLLM, SGLang, llama.cpp, Ollama: the common ground of the open servers.
    pub fn generic() -> Dialect {
        Dialect {
            max_tokens_field: MaxTokensField::MaxTokens,
            max_stop_sequences: 16,
            top_k: true,
            cache_control: false,
            reasoning: ReasoningField::None,
            effort_budgets: EFFORT_BUDGETS,
            effort_none: false,
            user: false,
            files: Files::None,
            inner_system: InnerSystem::Demote,
            prefill: Prefill::Send,
            web_plugin: false,
            replay: Replay::None,
            tells_cost: false,
        }
    }
}
