//! Any bytes as the body of a Messages request: refused, or translated into JSON for every dialect. Whatever the fast
//! reader takes, serde_json reads the same.
#![no_main]

use gatewayz::tokens::estimate_request;
use gatewayz::translate::dialect::Dialect;
use gatewayz::translate::dropped::Unsupported;
use gatewayz::translate::reasoning::Signer;
use gatewayz::translate::request::{Target, request};
use gatewayz::translate::{parse, validate};
use gatewayz::wire::anthropic::request::MessagesRequest;
use gatewayz::wire::json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Some(fast) = std::str::from_utf8(body).ok().and_then(json::plain::<MessagesRequest<'_>>) {
        let slow: MessagesRequest<'_> = serde_json::from_slice(body).expect("what the fast reader takes");
        assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
    }
    let Ok(parsed) = parse::request(body) else { return };
    let valid = validate::messages(&parsed).is_ok();
    estimate_request(&parsed);
    if !valid {
        return;
    }
    let (signer, extra_body) = (Signer::new(b"fuzz"), serde_json::Map::new());
    for name in Dialect::NAMES {
        let dialect = Dialect::named(name).expect("a name of the list");
        let target = Target {
            dialect: &dialect,
            model: "m",
            max_tokens_cap: None,
            extra_body: &extra_body,
            unsupported: Unsupported::Drop,
            signer: &signer,
        };
        let mut written = Vec::new();
        if request(&parsed, &target, &mut written).is_ok() {
            let body: serde_json::Value = serde_json::from_slice(&written).expect("the body is JSON");
            assert!(body["messages"].is_array());
        }
    }
});
