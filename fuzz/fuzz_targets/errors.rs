//! Any status and body as a provider's failure, and any body as its success: never a panic, never an address.
#![no_main]

use gatewayz::translate::error;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::response::{Context, InputEstimate, response};
use gatewayz::translate::tools::ToolNames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, Option<u64>, &[u8])| {
    let (status, retry_after, body) = input;
    let failure = error::answer(status, retry_after, body);
    assert!(!failure.message.contains("://"));
    assert!(failure.message.chars().count() < 1000);

    let (signer, names) = (Signer::new(b"fuzz"), ToolNames::default());
    let context = Context {
        message_id: "msg_fuzz",
        model: "m",
        names: &names,
        signer: &signer,
        input_estimate: InputEstimate::Counted(1),
        omit_thinking: false,
    };
    if let Ok(translated) = response(body, &context) {
        serde_json::from_slice::<serde_json::Value>(&translated.body).expect("a message is JSON");
    }
});
