//! The list of models.

use serde_json::{Value, json};

use crate::harness::Gateway;
use crate::harness::gateway::Setup;

/// Models one to five, and a wildcard, which is no model.
fn gateway() -> Gateway {
    let mut setup = Setup::default().provider("scripted", "http://127.0.0.1:9/v1");
    for number in 1..=5 {
        setup = setup.model(&format!("model-{number}"), &["scripted"], "x");
    }
    setup
        .with_lines("display_name = \"Number Five\"\ncreated_at = \"2025-09-29T00:00:00Z\"\nmax_input_tokens = 200000\nmax_tokens = 64000")
        .model("vendor/with-a-slash", &["scripted"], "x")
        .model("*", &["scripted"], "*")
        .start()
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.request("GET", path).ask();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.head.assert_named("gatewayz");
    reply.json()
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

/// T75
#[test]
fn the_list_has_the_shape_of_anthropics() {
    let gateway = gateway();
    let list = get(&gateway, "/v1/models");
    assert_eq!(ids(&list), ["model-1", "model-2", "model-3", "model-4", "model-5", "vendor/with-a-slash"]);
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(false), &json!("model-1"), &json!("vendor/with-a-slash"))
    );
    let plain = json!({
        "type": "model", "id": "model-1", "display_name": "model-1", "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": null, "max_tokens": null,
    });
    assert_eq!(list["data"][0], plain);
    let full = json!({
        "type": "model", "id": "model-5", "display_name": "Number Five", "created_at": "2025-09-29T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
    });
    assert_eq!(list["data"][4], full);
    assert_eq!(get(&gateway, "/v1/models/model-5"), full);
    assert_eq!(get(&gateway, "/v1/models?beta=true"), list);
}

#[test]
fn pages_go_both_ways() {
    let gateway = gateway();
    let page = |query: &str| {
        let list = get(&gateway, &format!("/v1/models?{query}"));
        let ids = ids(&list).iter().map(|id| id.trim_start_matches("model-").to_owned()).collect::<Vec<_>>().join(" ");
        (ids, list["has_more"].as_bool().unwrap())
    };
    assert_eq!(page("limit=2"), ("1 2".into(), true));
    assert_eq!(page("limit=2&after_id=model-2"), ("3 4".into(), true));
    assert_eq!(page("limit=2&after_id=model-4"), ("5 vendor/with-a-slash".into(), false));
    assert_eq!(page("after_id=vendor/with-a-slash"), (String::new(), false));
    assert_eq!(page("after_id=vendor%2Fwith-a-slash"), (String::new(), false));
    assert_eq!(page("limit=2&before_id=model-5"), ("3 4".into(), true));
    assert_eq!(page("limit=2&before_id=model-3"), ("1 2".into(), false));
    assert_eq!(page("before_id=model-1"), (String::new(), false));
    let empty = get(&gateway, "/v1/models?before_id=model-1");
    assert_eq!((&empty["first_id"], &empty["last_id"]), (&Value::Null, &Value::Null));
}

#[test]
fn walking_through_the_pages_meets_every_model_once() {
    let gateway = Setup::default().start();
    let whole = get(&gateway, "/v1/models?limit=1000");
    let mut walked: Vec<String> = Vec::new();
    loop {
        let after = walked.last().map(|id| format!("&after_id={id}")).unwrap_or_default();
        let page = get(&gateway, &format!("/v1/models?limit=7{after}"));
        walked.extend(ids(&page).into_iter().map(str::to_owned));
        assert_eq!(page["last_id"], walked.last().unwrap().as_str());
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(walked, ids(&whole));
    assert_eq!(get(&gateway, "/v1/models")["data"].as_array().unwrap().len(), 20, "Anthropic's default page");
}

#[test]
fn an_odd_page_is_refused() {
    let gateway = gateway();
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=",
        "after_id=nobody",
        "before_id=nobody",
        "after_id=model-1&before_id=model-3",
    ] {
        let reply = gateway.request("GET", &format!("/v1/models?{query}")).ask();
        reply.assert_error(400, "invalid_request_error", false);
    }
}

#[test]
fn a_model_is_found_by_its_id_also_with_a_slash() {
    let gateway = gateway();
    for path in ["/v1/models/vendor/with-a-slash", "/v1/models/vendor%2Fwith-a-slash", "/v1/models/model-3?beta=true"] {
        assert_eq!(get(&gateway, path)["type"], "model", "{path}");
    }
}

/// T75: configured models only.
#[test]
fn a_model_that_only_a_wildcard_names_is_not_listed() {
    let gateway = gateway();
    for id in ["anything", "*", "model-", "model-1/", "vendor"] {
        let message =
            gateway.request("GET", &format!("/v1/models/{id}")).ask().assert_error(404, "not_found_error", false);
        assert!(message.starts_with("model: "), "{message}");
    }
}
