//! The four verbs, each over one case.

use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::request::Target;
use gatewayz::translate::response::{Context, InputEstimate};
use gatewayz::translate::tools::ToolNames;
use gatewayz::translate::usage::Tally;
use gatewayz::translate::{self, parse, validate};
use gatewayz::wire::anthropic::request::{MessagesRequest, Tool};
use libtest_mimic::Failed;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::case::{Case, Options, same, told};
use crate::pretty::pretty;
use crate::protocol::{self, Ended};
use crate::relay::{INPUT_ESTIMATE, Limits, MESSAGE_ID, MODEL, Relayed};

/// How often each stream is cut at random places.
const CUTS: u64 = 50;

/// `CASE.anthropic.json` → `CASE.openai.json` and `CASE.dropped.json`, or `CASE.error.json`.
pub fn request(case: &Case) -> Result<(), Failed> {
    let options = case.options()?;
    let dialect = options.dialect()?;
    let body = case.read("anthropic.json")?;
    let signer = signer();
    let target = Target {
        dialect: &dialect,
        model: "upstream/model",
        max_tokens_cap: options.max_tokens_cap,
        extra_body: &options.extra_body,
        unsupported: options.unsupported,
        signer: &signer,
    };
    let mut written = Vec::new();
    let translated = parse::request(&body).and_then(|request| {
        validate::messages(&request)?;
        translate::request::request(&request, &target, &mut written)
    });
    let mut outputs = Vec::new();
    match translated {
        Ok(dropped) => {
            outputs.push(("openai.json", pretty(std::str::from_utf8(&written)?)));
            if !dropped.is_empty() {
                let fields: Vec<&str> = dropped.iter().collect();
                outputs.push(("dropped.json", pretty(&json!(fields).to_string())));
            }
        }
        Err(invalid) => outputs.push(("error.json", told(&invalid.into()))),
    }
    case.expect(&["openai.json", "dropped.json", "error.json"], &outputs)
}

/// `CASE.openai.json` → `CASE.anthropic.json`, or `CASE.error.json`.
pub fn response(case: &Case) -> Result<(), Failed> {
    let options = case.options()?;
    let names = names(&options);
    let signer = signer();
    let body = case.read("openai.json")?;
    let outputs = match translate::response::response(&body, &context(&options, &names, &signer)) {
        Ok(translated) => {
            check_tally(&options, &translated.tally)?;
            [("anthropic.json", pretty(std::str::from_utf8(&translated.body)?))]
        }
        Err(error) => [("error.json", told(&error))],
    };
    case.expect(&["anthropic.json", "error.json"], &outputs)
}

/// `CASE.openai.sse` → `CASE.anthropic.sse`, or `CASE.error.json` when it fails before there is anything to send.
/// `CASE.openai.json` stands for a provider that answers a streaming request with JSON.
pub fn stream(case: &Case) -> Result<(), Failed> {
    let options = case.options()?;
    let names = names(&options);
    let signer = signer();
    let context = context(&options, &names, &signer);
    let limits = Limits { max_line: options.max_line, tool_buffer: options.tool_buffer };
    if case.has("openai.json") {
        return compare(Relayed::of_json(&case.read("openai.json")?, context, limits), case, &options);
    }
    let bytes = case.read("openai.sse")?;
    let whole = Relayed::of(std::iter::once(&bytes[..]), context, limits);
    same("one byte at a time", &whole.out, &Relayed::of(bytes.chunks(1), context, limits).out)?;
    for seed in 1..=CUTS {
        let cut = Relayed::of(Cuts::new(&bytes, seed), context, limits);
        same(&format!("cut with seed {seed}"), &whole.out, &cut.out)?;
    }
    compare(whole, case, &options)
}

/// `CASE.openai.json` (status, headers, body) → `CASE.error.json`.
pub fn error(case: &Case) -> Result<(), Failed> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Answer {
        status: u16,
        #[serde(default)]
        retry_after: Option<u64>,
        /// A string is sent as it is, everything else as JSON.
        body: Value,
    }
    let answer: Answer = serde_json::from_slice(&case.read("openai.json")?)?;
    let body = match &answer.body {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let error = translate::error::answer(answer.status, answer.retry_after, body.as_bytes());
    case.expect(&["error.json"], &[("error.json", told(&error))])
}

fn signer() -> Signer {
    Signer::new(b"golden")
}

fn context<'a>(options: &Options, names: &'a ToolNames, signer: &'a Signer) -> Context<'a> {
    Context {
        message_id: MESSAGE_ID,
        model: MODEL,
        names,
        signer,
        input_estimate: InputEstimate::Counted(INPUT_ESTIMATE),
        omit_thinking: options.omit_thinking,
    }
}

fn names(options: &Options) -> ToolNames {
    let tools: Vec<Value> = options.tools.iter().map(|name| json!({"name": name})).collect();
    let request = json!({"model": "m", "messages": [], "tools": tools}).to_string();
    let request: MessagesRequest<'_> = serde_json::from_str(&request).expect("names make tools");
    let tools: &[Tool<'_>] = &request.tools;
    ToolNames::of(tools)
}

fn check_tally(options: &Options, tally: &Tally) -> Result<(), Failed> {
    match (tally.estimated, tally.cost) == (options.estimated, options.cost) {
        true => Ok(()),
        false => Err(format!("the tally is {tally:?}").into()),
    }
}

fn compare(relayed: Relayed, case: &Case, options: &Options) -> Result<(), Failed> {
    let output = match relayed.refused {
        Some(error) => ("error.json", told(&error)),
        None => {
            if let Ended::Stopped(_) = protocol::check(&relayed.out)? {
                check_tally(options, &relayed.tally)?;
            }
            ("anthropic.sse", relayed.out.to_vec())
        }
    };
    case.expect(&["anthropic.sse", "error.json"], &[output])
}

/// Pieces of pseudo-random length, the same for the same seed.
struct Cuts<'a> {
    rest: &'a [u8],
    state: u64,
}

impl<'a> Cuts<'a> {
    fn new(bytes: &'a [u8], seed: u64) -> Self {
        Cuts { rest: bytes, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }
}

impl<'a> Iterator for Cuts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // Small pieces and large ones alike.
        let longest = 1 << (self.state >> 60);
        let length = 1 + (self.state % longest) as usize;
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
