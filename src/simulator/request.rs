//! A chat request as the simulator reads it, once it is known to be well formed.

use serde_json::Value;

use super::pieces;

/// What the answer depends on.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    pub model: String,
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    pub parallel_tool_calls: bool,
    pub stream: bool,
    pub include_usage: bool,
    /// Tokens that the whole answer may have, reasoning and tool calls included.
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub format: Format,
    pub thinking: Option<Thinking>,
    /// The size of the prompt, images aside.
    pub prompt_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One message, its parts joined.
#[derive(Debug, Clone)]
pub struct Message {
    pub role: Role,
    pub text: String,
    pub attachments: Vec<Attachment>,
}

/// A part of a message that is no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// The address of an image, or a data URI.
    Image(String),
    /// The name of a file.
    File(String),
}

#[derive(Debug, Clone)]
pub struct Tool {
    pub name: String,
    pub description: String,
    /// A JSON Schema.
    pub parameters: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    Auto,
    None,
    Required,
    Named(String),
}

/// The form that the answer must have.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Text,
    JsonObject,
    JsonSchema(Value),
}

/// How reasoning was asked for, which decides the fields that it comes back in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinking {
    pub style: ThinkingStyle,
    pub effort: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingStyle {
    /// `reasoning` and `reasoning_details`, as OpenRouter sends them.
    Details,
    /// `reasoning_content`, as DeepSeek-like servers send it.
    Content,
}

impl ChatRequest {
    /// Reads a body that [`super::validate::check`] found good; what is absent takes its default.
    pub fn read(body: &Value) -> ChatRequest {
        let messages: Vec<Message> = list(&body["messages"]).iter().map(Message::read).collect();
        let tools: Vec<Tool> = list(&body["tools"]).iter().map(|tool| Tool::read(&tool["function"])).collect();
        let texts: usize = messages.iter().map(|message| message.text.chars().count()).sum();
        let schemas: usize = list(&body["tools"]).iter().map(|tool| tool.to_string().chars().count()).sum();
        let calls: usize = list(&body["messages"])
            .iter()
            .flat_map(|message| list(&message["tool_calls"]))
            .map(|call| text(&call["function"]["name"]).len() + text(&call["function"]["arguments"]).len())
            .sum();
        ChatRequest {
            model: text(&body["model"]),
            messages,
            tools,
            tool_choice: ToolChoice::read(&body["tool_choice"]),
            parallel_tool_calls: body["parallel_tool_calls"].as_bool().unwrap_or(true),
            stream: body["stream"].as_bool().unwrap_or(false),
            include_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            max_tokens: body["max_completion_tokens"]
                .as_u64()
                .or_else(|| body["max_tokens"].as_u64())
                .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            stop: match &body["stop"] {
                Value::String(one) => vec![one.clone()],
                many => list(many).iter().map(text).collect(),
            },
            format: Format::read(&body["response_format"]),
            thinking: Thinking::read(body),
            prompt_tokens: pieces::estimate(texts + schemas + calls),
        }
    }

    /// The last thing that the user said.
    pub fn prompt(&self) -> &str {
        self.messages.iter().rev().find(|message| message.role == Role::User).map_or("", |message| &message.text)
    }

    /// The messages since the model last spoke: what the answer must answer.
    pub fn turn(&self) -> &[Message] {
        let start = self.messages.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |at| at + 1);
        self.messages.get(start..).unwrap_or_default()
    }

    /// Whether the model has just been given the results of its tool calls.
    pub fn follows_tools(&self) -> bool {
        self.turn().iter().any(|message| message.role == Role::Tool)
    }
}

impl Message {
    fn read(message: &Value) -> Message {
        let role = match message["role"].as_str() {
            Some("system" | "developer") => Role::System,
            Some("assistant") => Role::Assistant,
            Some("tool") => Role::Tool,
            _ => Role::User,
        };
        let mut texts = Vec::new();
        let mut attachments = Vec::new();
        match &message["content"] {
            Value::String(whole) => texts.push(whole.clone()),
            parts => {
                for part in list(parts) {
                    match part["type"].as_str() {
                        Some("text") => texts.push(text(&part["text"])),
                        Some("image_url") => attachments.push(Attachment::Image(text(&part["image_url"]["url"]))),
                        Some("file") => attachments.push(Attachment::File(text(&part["file"]["filename"]))),
                        _ => {}
                    }
                }
            }
        }
        Message { role, text: texts.join("\n"), attachments }
    }
}

impl Tool {
    fn read(function: &Value) -> Tool {
        Tool {
            name: text(&function["name"]),
            description: text(&function["description"]),
            parameters: function["parameters"].clone(),
        }
    }
}

impl ToolChoice {
    fn read(choice: &Value) -> ToolChoice {
        match choice.as_str() {
            Some("none") => ToolChoice::None,
            Some("required") => ToolChoice::Required,
            _ => match choice["function"]["name"].as_str() {
                Some(name) => ToolChoice::Named(name.to_owned()),
                None => ToolChoice::Auto,
            },
        }
    }
}

impl Format {
    fn read(format: &Value) -> Format {
        match format["type"].as_str() {
            Some("json_object") => Format::JsonObject,
            Some("json_schema") => Format::JsonSchema(format["json_schema"]["schema"].clone()),
            _ => Format::Text,
        }
    }
}

impl Thinking {
    fn read(body: &Value) -> Option<Thinking> {
        let asked = |effort: &Value, style| match effort.as_str() {
            Some("none") => None,
            effort => Some(Thinking { style, effort: effort.unwrap_or("medium").to_owned() }),
        };
        match (&body["reasoning"], &body["reasoning_effort"]) {
            (Value::Object(wish), _) => {
                let off = wish.get("enabled") == Some(&Value::Bool(false));
                let hidden = wish.get("exclude") == Some(&Value::Bool(true));
                if off || hidden {
                    return None;
                }
                asked(wish.get("effort").unwrap_or(&Value::Null), ThinkingStyle::Details)
            }
            (_, effort @ Value::String(_)) => asked(effort, ThinkingStyle::Content),
            _ => None,
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_joined_and_attachments_kept() {
        let request = ChatRequest::read(&json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}},
            {"type": "text", "text": "b"}]}]}));
        assert_eq!(request.prompt(), "a\nb");
        assert_eq!(request.turn()[0].attachments, [Attachment::Image("http://x/y.png".into())]);
    }

    #[test]
    fn reasoning_comes_back_in_the_style_that_asked_for_it() {
        let style = |body: Value| Thinking::read(&body).map(|thinking| thinking.style);
        assert_eq!(style(json!({"reasoning": {"effort": "high"}})), Some(ThinkingStyle::Details));
        assert_eq!(style(json!({"reasoning": {"max_tokens": 2000}})), Some(ThinkingStyle::Details));
        assert_eq!(style(json!({"reasoning_effort": "low"})), Some(ThinkingStyle::Content));
        for off in [json!({}), json!({"reasoning": {"effort": "none"}}), json!({"reasoning_effort": "none"})] {
            assert_eq!(style(off), None);
        }
    }

    #[test]
    fn the_turn_is_what_came_since_the_model_spoke() {
        let request = ChatRequest::read(&json!({"messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "done"}]}));
        assert!(request.follows_tools());
        assert_eq!(request.turn().len(), 1);
        assert_eq!(request.prompt(), "go");
    }
}
