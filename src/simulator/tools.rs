//! Which tools to call, and with what arguments.

use super::hints::Hints;
use super::request::{ChatRequest, Tool, ToolChoice};
use super::say;
use super::schema;

/// A call to make; `arguments` is a JSON object as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub arguments: String,
}

/// How keen the model is on tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keenness {
    /// Calls what the prompt asks for.
    AsAsked,
    /// Calls the first tool in any case.
    First,
    /// Calls two at once in any case.
    Two,
}

/// The calls to answer a request with; none for an answer in words.
pub fn calls(request: &ChatRequest, keenness: Keenness) -> Vec<Call> {
    let (Some(first), false) = (request.tools.first(), request.follows_tools()) else {
        return Vec::new();
    };
    let prompt = say::without_notes(request.prompt());
    let hints = Hints::new(&prompt);
    let wanted = match (&request.tool_choice, keenness) {
        (ToolChoice::None, _) => return Vec::new(),
        (_, Keenness::First) => return vec![call(first, &hints)],
        (_, Keenness::Two) => {
            let second = request.tools.get(1).unwrap_or(first);
            return vec![call(first, &hints), call(second, &hints)];
        }
        (ToolChoice::Named(name), _) => request.tools.iter().find(|tool| tool.name == *name),
        (ToolChoice::Required, _) => asked_for(&request.tools, &prompt).or(Some(first)),
        (ToolChoice::Auto, _) => asked_for(&request.tools, &prompt),
    };
    let Some(wanted) = wanted else {
        return Vec::new();
    };
    if request.parallel_tool_calls {
        let places = hints.places();
        if places.len() > 1 {
            return places.iter().map(|place| call(wanted, &hints.about(place))).collect();
        }
        let several = ["both", "parallel", "each"].iter().any(|word| has_word(&prompt, word));
        if several && request.tools.len() > 1 && !matches!(request.tool_choice, ToolChoice::Named(_)) {
            return several_tools(&request.tools, &prompt).into_iter().map(|tool| call(tool, &hints)).collect();
        }
    }
    vec![call(wanted, &hints)]
}

fn call(tool: &Tool, hints: &Hints<'_>) -> Call {
    let arguments = schema::fill(&tool.parameters, hints);
    // A tool without a schema takes no arguments, and arguments are always an object.
    let arguments = if arguments.is_object() { arguments.to_string() } else { "{}".to_owned() };
    Call { name: tool.name.clone(), arguments }
}

/// The tool that the prompt asks for: by name, by the weather, or with words such as "use the tool".
fn asked_for<'a>(tools: &'a [Tool], prompt: &str) -> Option<&'a Tool> {
    if let Some(named) = tools.iter().find(|tool| mentions(prompt, &tool.name)) {
        return Some(named);
    }
    if has_word(prompt, "weather") {
        let knows = |tool: &&Tool| format!("{} {}", tool.name, tool.description).to_lowercase().contains("weather");
        return tools.iter().find(knows).or(tools.first());
    }
    let asks = ["use the tool", "use a tool", "use both tools", "use your tools"];
    let lower = prompt.to_lowercase();
    let asks = asks.iter().any(|words| lower.contains(words)) || has_word(prompt, "call");
    if asks { tools.first() } else { None }
}

/// The tools that the prompt names when it names several, else the first two.
fn several_tools<'a>(tools: &'a [Tool], prompt: &str) -> Vec<&'a Tool> {
    let named: Vec<&Tool> = tools.iter().filter(|tool| mentions(prompt, &tool.name)).collect();
    if named.len() > 1 { named } else { tools.iter().take(2).collect() }
}

/// Whether the prompt names a tool. A name that is one plain word, as `Write` or `Task`, must be written as it
/// is, or every other prompt would call a tool.
fn mentions(prompt: &str, name: &str) -> bool {
    if name.contains(['_', '-']) {
        return has_word(prompt, name) || has_word(prompt, &name.replace(['_', '-'], " "));
    }
    is_word_of(prompt, name)
}

fn has_word(text: &str, word: &str) -> bool {
    is_word_of(&text.to_lowercase(), &word.to_lowercase())
}

fn is_word_of(text: &str, word: &str) -> bool {
    let inner = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(word).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|text| text.chars().next());
        !inner(before) && !inner(after)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tool(name: &str) -> Value {
        json!({"type": "function", "function": {"name": name, "parameters": {"type": "object",
            "properties": {"city": {"type": "string"}}, "required": ["city"]}}})
    }

    fn called(prompt: &str, extra: Value) -> Vec<(String, String)> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": prompt}],
            "tools": [tool("get_weather"), tool("get_time")]});
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let calls = calls(&ChatRequest::read(&body), Keenness::AsAsked);
        calls.into_iter().map(|call| (call.name, call.arguments)).collect()
    }

    fn pair(name: &str, city: &str) -> (String, String) {
        (name.to_owned(), json!({"city": city}).to_string())
    }

    #[test]
    fn a_tool_is_called_when_the_prompt_asks() {
        assert_eq!(called("What is the weather in Paris?", json!({})), [pair("get_weather", "Paris")]);
        assert_eq!(called("please get time in Oslo", json!({})), [pair("get_time", "Oslo")]);
        assert_eq!(called("Use the tool.", json!({})), [pair("get_weather", "tool")]);
        assert!(called("Why is the sky blue?", json!({})).is_empty());
        assert!(called("Recall the past", json!({})).is_empty());
    }

    #[test]
    fn tool_choice_is_obeyed() {
        assert!(called("weather in Paris", json!({"tool_choice": "none"})).is_empty());
        assert_eq!(called("sky", json!({"tool_choice": "required"})), [pair("get_weather", "sky")]);
        let named = json!({"tool_choice": {"type": "function", "function": {"name": "get_time"}}});
        assert_eq!(called("weather in Paris", named), [pair("get_time", "Paris")]);
    }

    #[test]
    fn several_calls_are_made_at_once_unless_forbidden() {
        let two = "Weather in Paris and Tokyo?";
        assert_eq!(called(two, json!({})), [pair("get_weather", "Paris"), pair("get_weather", "Tokyo")]);
        assert_eq!(called(two, json!({"parallel_tool_calls": false})).len(), 1);
        let both = "Call both tools for the weather in Rome";
        assert_eq!(called(both, json!({})), [pair("get_weather", "Rome"), pair("get_time", "Rome")]);
    }

    #[test]
    fn a_tool_result_is_not_answered_with_a_call() {
        let after = json!({"messages": [{"role": "user", "content": "weather in Paris"},
            {"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "sunny"}]});
        assert!(called("", after).is_empty());
    }
}
