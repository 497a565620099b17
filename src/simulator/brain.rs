//! What to answer to a request. Pure: the same request gets the same answer.

use serde_json::json;

use super::answer::{Answer, Finish};
use super::hints::Hints;
use super::pieces::{WORD, pieces};
use super::request::{Attachment, ChatRequest, Format, Role};
use super::tools::{self, Keenness};
use super::{say, schema};

/// Stand for the two halves of an emoji until the answer is written down, for a string cannot hold a half.
pub const HIGH_HALF: char = '\u{E000}';
pub const LOW_HALF: char = '\u{E001}';

/// How a mood bends what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slant {
    None,
    Refuses,
    Silent,
    CallsFirstTool,
    CallsTwoTools,
    SplitsEmoji,
}

/// The answer to a request, within its `max_tokens` and `stop`.
pub fn answer(request: &ChatRequest, slant: Slant) -> Answer {
    let mut answer = match slant {
        Slant::Refuses => Answer::refusal("I am sorry, but I cannot help with that."),
        Slant::Silent => return Answer::silent(),
        Slant::SplitsEmoji => halves(),
        Slant::CallsFirstTool => calls_or_words(request, Keenness::First),
        Slant::CallsTwoTools => calls_or_words(request, Keenness::Two),
        Slant::None => calls_or_words(request, Keenness::AsAsked),
    };
    if let Some(thinking) = &request.thinking {
        answer.reasoning = pieces(&thoughts(request.prompt(), &thinking.effort), WORD);
    }
    if let Some(most) = request.max_tokens {
        answer.end_after(most, Finish::Length);
    }
    answer
}

fn calls_or_words(request: &ChatRequest, keenness: Keenness) -> Answer {
    let calls = tools::calls(request, keenness);
    if calls.is_empty() { Answer::words(&words(request), &request.stop) } else { Answer::calls(calls) }
}

fn words(request: &ChatRequest) -> String {
    let text = plain_words(request);
    match &request.format {
        Format::Text => text,
        Format::JsonObject => json!({"answer": text}).to_string(),
        Format::JsonSchema(schema) => {
            let prompt = say::without_notes(request.prompt());
            schema::fill(schema, &Hints::new(&prompt)).to_string()
        }
    }
}

fn plain_words(request: &ChatRequest) -> String {
    let turn = request.turn();
    let attachments: Vec<Attachment> = turn.iter().flat_map(|message| message.attachments.clone()).collect();
    if !request.follows_tools() {
        return say::reply(request.prompt(), &attachments, &request.model);
    }
    let results = turn.iter().filter(|message| message.role == Role::Tool).map(|message| message.text.as_str());
    let mut text = say::summary(results);
    let more: Vec<&str> =
        turn.iter().filter(|message| message.role == Role::User).map(|message| message.text.as_str()).collect();
    if !more.is_empty() {
        text.push('\n');
        text.push_str(&say::reply(&more.join("\n"), &attachments, &request.model));
    }
    text
}

fn thoughts(prompt: &str, effort: &str) -> String {
    let steps = [
        "A short and friendly answer will do.",
        "Before that, is there a tool to call or a form to keep to? That has been looked at.",
        "The answer has been checked once more, and it stands.",
    ];
    let depth = match effort {
        "minimal" | "low" => 1,
        "high" | "xhigh" | "max" => steps.len(),
        _ => 2,
    };
    let asked = say::excerpt(say::without_notes(prompt).trim());
    let mut text = format!("The user says: \"{asked}\"");
    for step in steps.iter().take(depth) {
        text.push(' ');
        text.push_str(step);
    }
    text
}

fn halves() -> Answer {
    let mut answer = Answer::words("Here is an emoji in two halves: ", &[]);
    answer.content.push(HIGH_HALF.to_string());
    answer.content.push(LOW_HALF.to_string());
    answer.content.extend(pieces(" and that is all.", WORD));
    answer
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answered(body: Value) -> Answer {
        answer(&ChatRequest::read(&body), Slant::None)
    }

    fn user(text: &str) -> Value {
        json!([{"role": "user", "content": text}])
    }

    #[test]
    fn limits_are_kept() {
        let short = answered(json!({"messages": user("count to 9"), "max_tokens": 3}));
        assert_eq!((short.content.concat().as_str(), short.finish), ("1 2 3", Finish::Length));
        let exact = answered(json!({"messages": user("count to 3"), "max_tokens": 3}));
        assert_eq!(exact.finish, Finish::Stop);
        let stopped = answered(json!({"messages": user("count to 9"), "stop": " 4"}));
        assert_eq!((stopped.content.concat().as_str(), stopped.stopped_by.as_deref()), ("1 2 3", Some(" 4")));
    }

    #[test]
    fn reasoning_counts_against_the_limit() {
        let body = json!({"messages": user("count to 9"), "reasoning_effort": "high", "max_completion_tokens": 4});
        let answer = answered(body);
        assert_eq!((answer.reasoning.len(), answer.content.len(), answer.finish), (4, 0, Finish::Length));
    }

    #[test]
    fn json_is_given_in_the_form_asked_for() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
        let answer = answered(json!({"messages": user("give me n"), "response_format": format}));
        assert_eq!(answer.content.concat(), r#"{"n":1}"#);
        let answer = answered(json!({"messages": user("2 + 2"), "response_format": {"type": "json_object"}}));
        assert_eq!(answer.content.concat(), r#"{"answer":"2 + 2 = 4."}"#);
    }

    #[test]
    fn tool_results_are_summed_up() {
        let answer = answered(json!({"messages": [
            {"role": "user", "content": "weather in Paris"},
            {"role": "assistant", "content": null, "tool_calls": []},
            {"role": "tool", "content": "sunny"}, {"role": "tool", "content": "windy"}]}));
        assert_eq!(answer.content.concat(), "The tool said: sunny\nThe tool said: windy");
    }

    #[test]
    fn the_same_request_gets_the_same_answer() {
        let body = json!({"messages": user("Why is the sky blue?"), "reasoning": {}});
        assert_eq!(answered(body.clone()), answered(body));
    }
}
