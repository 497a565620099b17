//! Any lines as the chunks of a stream: an error, or a message that ends; one start, one stop, no block left open.
#![no_main]

use bytes::BytesMut;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::response::{Context, InputEstimate};
use gatewayz::translate::stream::{Bounds, End, StreamTranslator};
use gatewayz::translate::tools::ToolNames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (signer, names) = (Signer::new(b"fuzz"), ToolNames::default());
    let context = Context {
        message_id: "msg_fuzz",
        model: "m",
        names: &names,
        signer: &signer,
        input_estimate: InputEstimate::Counted(1),
        omit_thinking: false,
    };
    let mut translator = StreamTranslator::new(context, Bounds { tool_buffer: 4096 }, false);
    let mut out = BytesMut::new();
    let fed = input.split(|byte| *byte == b'\n').try_for_each(|data| translator.on_data(data, &mut out));
    let ended = fed.and_then(|()| translator.on_end(End::Eof, &mut out));
    let text = String::from_utf8(out.to_vec()).expect("events are UTF-8");
    let count = |name: &str| text.matches(&format!("event: {name}\n")).count();
    assert!(count("message_start") <= 1);
    assert!(count("content_block_stop") <= count("content_block_start"));
    assert_eq!(count("message_stop"), usize::from(translator.is_done()));
    if ended.is_ok() {
        assert!(translator.is_done());
        assert_eq!(count("content_block_stop"), count("content_block_start"));
        assert!(text.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    }
});
