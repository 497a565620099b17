//! What must hold for every input, not only for those that somebody thought of.

#[path = "protocol/mod.rs"]
mod protocol;
#[path = "golden_runner/relay.rs"]
mod relay;

use std::path::Path;
use std::sync::LazyLock;

use gatewayz::translate::dialect::Dialect;
use gatewayz::translate::dropped::Unsupported;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::request::Target;
use gatewayz::translate::response::{Context, InputEstimate};
use gatewayz::translate::tools::ToolNames;
use gatewayz::translate::{self, parse, validate};
use gatewayz::wire::anthropic::request::MessagesRequest;
use gatewayz::wire::json as reader;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use crate::protocol::Ended;
use crate::relay::{INPUT_ESTIMATE, Limits, MESSAGE_ID, MODEL, Relayed};

const LIMITS: Limits = Limits { max_line: 1 << 20, tool_buffer: 1 << 20 };

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::new(b"golden"));
static NAMES: LazyLock<ToolNames> = LazyLock::new(ToolNames::default);

fn context() -> Context<'static> {
    Context {
        message_id: MESSAGE_ID,
        model: MODEL,
        names: &NAMES,
        signer: &SIGNER,
        input_estimate: InputEstimate::Counted(INPUT_ESTIMATE),
        omit_thinking: false,
    }
}

/// The files of a folder of golden cases whose names end so.
fn golden(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut paths: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| golden("stream", ".openai.sse"));

static REQUESTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let files = golden("request", ".anthropic.json");
    files.iter().filter_map(|file| serde_json::from_slice(file).ok()).collect()
});

/// A client's stream keeps the protocol, or there is a status in its place.
fn keeps_the_protocol(relayed: &Relayed) -> Result<(), TestCaseError> {
    match relayed.refused {
        Some(_) => prop_assert!(relayed.out.is_empty()),
        None => {
            let checked = protocol::check(&relayed.out);
            prop_assert!(checked.is_ok(), "{}\n{}", checked.unwrap_err(), String::from_utf8_lossy(&relayed.out));
        }
    }
    Ok(())
}

/// Reads, checks and translates a request for every dialect: refused, or a body that a strict provider takes.
fn is_answered(body: &str) -> Result<(), TestCaseError> {
    let Ok(request) = parse::request(body.as_bytes()) else { return Ok(()) };
    let _ = gatewayz::tokens::estimate_request(&request);
    if validate::messages(&request).is_err() {
        return Ok(());
    }
    for name in Dialect::NAMES {
        let target = Target {
            dialect: &Dialect::named(name).unwrap(),
            model: "upstream/model",
            max_tokens_cap: Some(4096),
            extra_body: &Map::new(),
            unsupported: Unsupported::Drop,
            signer: &SIGNER,
        };
        let mut written = Vec::new();
        if translate::request::request(&request, &target, &mut written).is_ok() {
            let mut sent: Value = serde_json::from_slice(&written).unwrap();
            // Only OpenAI has so strict a bound on stop sequences as the simulator.
            if let Some(stop) = sent["stop"].as_array_mut() {
                stop.truncate(4);
            }
            let objection = gatewayz::simulator::objection(&sent);
            prop_assert!(objection.is_none(), "{name}: {objection:?} to {sent}");
        }
    }
    Ok(())
}

/// The fast reader takes nothing that serde_json refuses, and gives the same.
fn is_read_the_same(body: &str) -> Result<bool, TestCaseError> {
    let Some(fast) = reader::plain::<MessagesRequest<'_>>(body) else { return Ok(false) };
    let slow = serde_json::from_str::<MessagesRequest<'_>>(body);
    prop_assert!(slow.is_ok(), "{slow:?}: {body}");
    prop_assert_eq!(format!("{fast:?}"), format!("{:?}", slow.unwrap()));
    Ok(true)
}

#[test]
fn the_fast_reader_takes_what_clients_send() {
    let pretty = |request: &Value| serde_json::to_string_pretty(request).unwrap();
    let bodies: Vec<String> = REQUESTS.iter().flat_map(|request| [request.to_string(), pretty(request)]).collect();
    let taken = |body: &&String| is_read_the_same(body).unwrap_or_else(|error| panic!("{error}"));
    let taken: Vec<&String> = bodies.iter().filter(taken).collect();
    for body in bodies.iter().filter(|body| !taken.contains(body)) {
        assert!(serde_json::from_str::<MessagesRequest<'_>>(body).is_err(), "left to serde_json: {body}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "text",
        "image",
        "tool_use",
        "tool_result",
        "user",
        "assistant",
        "system",
        "base64",
        "url",
        "auto",
        "tool",
        "enabled",
        "ephemeral",
        "json_schema",
        "{}",
        "",
        "toolu_1",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "model",
        "messages",
        "max_tokens",
        "role",
        "content",
        "type",
        "text",
        "source",
        "data",
        "media_type",
        "url",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "thinking",
        "signature",
        "tools",
        "input_schema",
        "tool_choice",
        "system",
        "stop_sequences",
        "metadata",
        "output_config",
        "cache_control",
        "thread",
        "other",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// All places in a JSON value.
fn places(value: &Value) -> Vec<String> {
    let inside = |key: String, value: &Value| places(value).into_iter().map(move |place| format!("/{key}{place}"));
    let mut all = vec![String::new()];
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| all.extend(inside(at.to_string(), item)));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| all.extend(inside(key.replace('~', "~0").replace('/', "~1"), field)))
        }
        _ => {}
    }
    all
}

/// One `choices[0].delta` as providers send them, in good order or not.
fn delta() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec!["", "Hello", " wörld", "😀", "\u{0}", "\n\n", "<think>"]);
    let arguments =
        prop::sample::select(vec!["", "{", "}", "{}", "{\"a\":", "1}", "\"x", "\"", "null", "[", "\\", " "]);
    let index = prop::option::weighted(0.8, 0u32..3);
    let id = prop::option::of(prop::sample::select(vec!["", "call_a", "call_b", "functions.x:0"]));
    let name = prop::option::of(prop::sample::select(vec!["", "get_weather", "now"]));
    let part = (index, id, name, prop::option::of(arguments)).prop_map(|(index, id, name, arguments)| {
        json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
    });
    let detail = prop::sample::select(vec!["reasoning.text", "reasoning.summary", "reasoning.encrypted"]);
    prop_oneof![
        3 => words.clone().prop_map(|text| json!({"content": text})),
        2 => words.clone().prop_map(|text| json!({"reasoning_content": text})),
        1 => (words.clone(), detail, 0..2).prop_map(|(text, kind, index)| json!({"reasoning": text,
            "reasoning_details": [{"type": kind, "text": text, "data": text, "index": index}]})),
        1 => words.clone().prop_map(|text| json!({"refusal": text})),
        4 => prop::collection::vec(part.clone(), 0..3).prop_map(|parts| json!({"tool_calls": parts})),
        1 => (words, part).prop_map(|(text, part)| json!({"role": "assistant", "content": text, "tool_calls": [part]})),
        1 => Just(json!({"content": null, "tool_calls": null})),
    ]
}

/// The data of one event.
fn event() -> impl Strategy<Value = String> {
    let words = [
        "stop",
        "length",
        "tool_calls",
        "content_filter",
        "function_call",
        "model_context_window_exceeded",
        "error",
        "",
    ];
    let finish = prop::option::weighted(0.15, prop::sample::select(words.to_vec()));
    let usage = prop::option::weighted(0.2, (0u32..2000, 0u32..2000, 0u32..3000));
    let usage = usage.prop_map(|counts| {
        counts.map(|(prompt, completion, cached)| {
            json!({"prompt_tokens": prompt, "completion_tokens": completion,
                "prompt_tokens_details": {"cached_tokens": cached}})
        })
    });
    let chunk = (delta(), finish, usage.clone()).prop_map(|(delta, finish, usage)| {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage}).to_string()
    });
    prop_oneof![
        20 => chunk,
        2 => usage.prop_map(|usage| json!({"choices": [], "usage": usage}).to_string()),
        1 => Just("[DONE]".to_owned()),
        1 => prop::sample::select(vec!["", "{", "null", "{}", "{\"error\":{\"message\":\"x\",\"code\":429}}", "5"])
            .prop_map(str::to_owned),
    ]
}

/// Pieces of a text, cut between characters.
fn pieces(text: &str, size: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_a_stream_gives_the_same_events(which in any::<Index>(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let bytes = which.get(&STREAMS);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let mut start = 0;
        let pieces = ends.map(|end| &bytes[std::mem::replace(&mut start, end)..end]);
        let cut = Relayed::of(pieces, context(), LIMITS);
        let whole = Relayed::of([&bytes[..]].into_iter(), context(), LIMITS);
        prop_assert_eq!(cut.out, whole.out);
        prop_assert_eq!(cut.refused, whole.refused);
        prop_assert_eq!(cut.tally, whole.tally);
    }

    #[test]
    fn any_chunks_make_a_stream_that_keeps_the_protocol(events in prop::collection::vec(event(), 0..30)) {
        let stream: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        keeps_the_protocol(&Relayed::of([stream.as_bytes()].into_iter(), context(), LIMITS))?;
    }

    #[test]
    fn any_bytes_make_a_stream_that_keeps_the_protocol(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        keeps_the_protocol(&Relayed::of([&bytes[..]].into_iter(), context(), LIMITS))?;
        keeps_the_protocol(&Relayed::of_json(&bytes, context(), LIMITS))?;
    }

    #[test]
    fn a_streamed_answer_is_the_same_message_as_a_whole_one(
        thinking in "\\PC{0,30}",
        text in "\\PC{0,30}",
        calls in prop::collection::vec(("[a-z]{1,8}", prop::collection::hash_map("[a-z]{1,4}", "\\PC{0,9}", 0..3)), 0..3),
        size in 1usize..9,
    ) {
        let usage = json!({"prompt_tokens": 20, "completion_tokens": 8});
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        let calls: Vec<Value> = calls.iter().enumerate().map(|(at, (name, input))| {
            json!({"index": at, "id": format!("call_{at}"), "function": {"name": name, "arguments": json!(input).to_string()}})
        }).collect();
        let message = json!({"role": "assistant", "reasoning_content": thinking, "content": text, "tool_calls": calls});
        let whole = json!({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}).to_string();
        let whole: Value =
            serde_json::from_slice(&translate::response::response(whole.as_bytes(), &context()).unwrap().body).unwrap();

        let mut deltas: Vec<Value> = Vec::new();
        deltas.extend(pieces(&thinking, size).iter().map(|piece| json!({"reasoning_content": piece})));
        deltas.extend(pieces(&text, size).iter().map(|piece| json!({"content": piece})));
        for call in &calls {
            let first = json!({"index": call["index"], "id": call["id"], "function": {"name": call["function"]["name"]}});
            deltas.push(json!({"tool_calls": [first]}));
            deltas.extend(pieces(call["function"]["arguments"].as_str().unwrap(), size).iter().map(
                |piece| json!({"tool_calls": [{"index": call["index"], "function": {"arguments": piece}}]}),
            ));
        }
        let mut stream: String =
            deltas.iter().map(|delta| format!("data: {}\n\n", json!({"choices": [{"delta": delta}]}))).collect();
        stream += &format!("data: {}\n\n", json!({"choices": [{"delta": {}, "finish_reason": finish}], "usage": usage}));
        let relayed = Relayed::of([stream.as_bytes()].into_iter(), context(), LIMITS);
        prop_assert_eq!(protocol::check(&relayed.out), Ok(Ended::Stopped(whole)));
    }

    #[test]
    fn any_json_is_a_request_or_refused(body in any_json()) {
        is_answered(&body.to_string())?;
    }

    #[test]
    fn a_request_with_any_change_is_translated_or_refused(which in any::<Index>(), place in any::<Index>(), change in any_json()) {
        let mut request = which.get(&REQUESTS).clone();
        let place = place.get(&places(&request)).clone();
        *request.pointer_mut(&place).unwrap() = change;
        is_answered(&request.to_string())?;
    }

    #[test]
    fn any_change_of_bytes_is_read_the_same(
        which in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), 0usize..8, "[\\]\\[{}:,\"\\\\u0-9a-fdD8nt\u{0}-\u{1f} é😀.eE+-]{0,6}"), 1..4),
    ) {
        let mut body: Vec<char> = which.get(&REQUESTS).to_string().chars().collect();
        for (place, gone, new) in changes {
            let at = place.index(body.len() + 1);
            let end = (at + gone).min(body.len());
            body.splice(at..end, new.chars());
        }
        is_read_the_same(&String::from_iter(body))?;
    }

    #[test]
    fn any_bytes_are_an_error_that_the_client_can_read(status in 300u16..600, body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        any_json().prop_map(|json| json!({"error": json}).to_string().into_bytes()),
    ]) {
        let error = translate::error::answer(status, None, &body);
        prop_assert!(!error.message.is_empty());
        prop_assert!(error.message.chars().count() < 800);
    }
}
