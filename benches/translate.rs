//! What reading and translating costs, without sockets: `cargo bench --bench translate`.

mod inputs;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::BytesCount;
use gatewayz::tokens;
use gatewayz::translate::dialect::Dialect;
use gatewayz::translate::dropped::Unsupported;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::request::{Target, request};
use gatewayz::translate::response::{Context, InputEstimate, response};
use gatewayz::translate::stream::reader::Reader;
use gatewayz::translate::stream::{Bounds, End};
use gatewayz::translate::tools::ToolNames;
use gatewayz::translate::{parse, validate};
use gatewayz::wire::pieces::PiecesWriter;
use gatewayz::wire::sse::Decoder;
use serde_json::Map;

use self::inputs::Size;

// As in the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [Size; 3] = [Size::Question, Size::Talk, Size::Agent];
const MAX_LINE: usize = 1 << 20;

fn main() {
    divan::main();
}

/// Parse, validate, estimate the tokens, translate, write: what the gateway does with a request.
#[divan::bench(args = SIZES)]
fn request_whole(bencher: Bencher<'_, '_>, size: Size) {
    let body = Bytes::from(size.request("model", false));
    let signer = Signer::new(b"bench");
    let (dialect, extra_body) = (Dialect::named("generic").unwrap(), Map::new());
    bencher.counter(BytesCount::new(body.len())).bench(|| {
        let parsed = parse::request(&body).unwrap();
        validate::messages(&parsed).unwrap();
        let target = Target {
            dialect: &dialect,
            model: "model",
            max_tokens_cap: None,
            extra_body: &extra_body,
            unsupported: Unsupported::Drop,
            signer: &signer,
        };
        let mut written = PiecesWriter::new(body.clone());
        request(&parsed, &target, &mut written).unwrap();
        (tokens::estimate_request(&parsed), written.finish())
    });
}

#[divan::bench(args = SIZES)]
fn request_parse(bencher: Bencher<'_, '_>, size: Size) {
    let body = size.request("model", false);
    bencher.counter(BytesCount::new(body.len())).bench(|| drop(parse::request(body.as_bytes()).unwrap()));
}

#[divan::bench(args = SIZES)]
fn request_estimate(bencher: Bencher<'_, '_>, size: Size) {
    let body = size.request("model", false);
    let parsed = parse::request(body.as_bytes()).unwrap();
    bencher.counter(BytesCount::new(body.len())).bench(|| tokens::estimate_request(&parsed));
}

#[divan::bench(args = SIZES)]
fn count_tokens(bencher: Bencher<'_, '_>, size: Size) {
    let body = size.request("model", false);
    let parsed = parse::request(body.as_bytes()).unwrap();
    bencher.counter(BytesCount::new(body.len())).bench(|| tokens::count_request(&parsed));
}

#[divan::bench]
fn response_text(bencher: Bencher<'_, '_>) {
    translate_response(bencher, &inputs::completion());
}

#[divan::bench]
fn response_tool_call(bencher: Bencher<'_, '_>) {
    translate_response(bencher, &inputs::tool_call());
}

fn translate_response(bencher: Bencher<'_, '_>, body: &str) {
    let (names, signer) = (ToolNames::default(), Signer::new(b"bench"));
    let context = context(&names, &signer);
    bencher.counter(BytesCount::new(body.len())).bench(|| response(body.as_bytes(), &context).unwrap());
}

/// Decode, translate and write a stream, of which each event comes by itself.
#[divan::bench]
fn stream_translation(bencher: Bencher<'_, '_>) {
    let (names, signer) = (ToolNames::default(), Signer::new(b"bench"));
    let context = context(&names, &signer);
    let events = inputs::stream();
    bencher.counter(BytesCount::new(events.concat().len())).bench(|| {
        let mut reader = Reader::new(context, Bounds { tool_buffer: MAX_LINE }, MAX_LINE, false);
        for event in &events {
            let mut out = BytesMut::new();
            reader.bytes(event.as_bytes(), &mut out).unwrap();
            divan::black_box_drop(out);
        }
        let mut out = BytesMut::new();
        reader.end(End::Eof, &mut out).unwrap();
        out
    });
}

#[divan::bench]
fn sse_decoding(bencher: Bencher<'_, '_>) {
    let bytes = inputs::stream().concat();
    bencher.counter(BytesCount::new(bytes.len())).bench(|| {
        let mut decoder = Decoder::new(MAX_LINE);
        let mut events = 0usize;
        decoder.feed(bytes.as_bytes(), |data| events += usize::from(!divan::black_box(data).is_empty())).unwrap();
        events
    });
}

fn context<'a>(names: &'a ToolNames, signer: &'a Signer) -> Context<'a> {
    Context {
        message_id: "msg_bench",
        model: "model",
        names,
        signer,
        input_estimate: InputEstimate::Counted(200),
        omit_thinking: false,
    }
}
