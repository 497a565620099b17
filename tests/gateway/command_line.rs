//! The command line: what each command prints, and how it ends.

use std::net::TcpListener;

use gatewayz::auth::hex_digest;
use gatewayz::config::Role;
use gatewayz::config::load::load;
use gatewayz::config::secrets::Environment;
use serde_json::json;

use crate::harness::binary::{BINARY, Process, run};
use crate::harness::gateway::Setup;
use crate::harness::http::Request;
use crate::harness::message::{asking, with};
use crate::harness::scratch::Scratch;
use crate::harness::{CLIENT_KEY, Gateway, METRICS_TOKEN, PROVIDER_KEY, Provider};

const URL: &str = "http://127.0.0.1:9/v1";

#[test]
fn the_version_is_told() {
    let ended = run(&["--version"], &[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), concat!("gatewayz ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn help_names_every_command() {
    let ended = run(&["--help"], &[]);
    assert_eq!(ended.code, Some(0));
    for command in ["serve", "demo", "simulate", "check", "keygen", "healthcheck", "--insecure", "--config"] {
        assert!(ended.out.contains(command), "{command}: {}", ended.out);
    }
    for wrong in [
        &["frobnicate"][..],
        &["--frobnicate"],
        &["serve", "extra"],
        &["demo", "--rate", "x"],
        &["demo", "--scenario", "outage"],
        &["demo", "--traffic", "--scenario", "flood"],
    ] {
        assert_eq!(run(wrong, &[]).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_new_key_has_its_shape_and_its_hash_opens_the_gateway() {
    let keygen = || {
        let ended = run(&["keygen"], &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let field = |name: &str| {
            let line = ended.out.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {}", ended.out)).trim().to_owned()
        };
        (field("key:"), field("sha256:"))
    };
    let (key, digest) = keygen();
    let random = key.strip_prefix("gw_live_").expect("the prefix");
    assert!(random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
    assert_eq!(digest, hex_digest(&key));
    assert_ne!(keygen().0, key);

    let provider = Provider::start();
    let hashed = format!("key_sha256 = [{digest:?}]");
    let setup = Gateway::setup(&provider.url()).in_section("auth", &hashed).without_environment("GATEWAYZ_API_KEYS");
    let gateway = setup.start();
    let request = gateway.bare("POST", "/v1/messages").json(&asking("Hi"));
    request.clone().header("x-api-key", CLIENT_KEY).ask().assert_error(401, "authentication_error", false);
    let call = request.header("x-api-key", &key).send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
}

/// With every comment taken away, so that all that can be set is set.
#[test]
fn the_entry_of_a_new_key_is_taken_whole() {
    let entry = |arguments: &[&str]| {
        let ended = run(arguments, &[]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let lines = ended.out.lines().skip_while(|line| *line != "[[auth.keys]]").take_while(|line| !line.is_empty());
        let lines: Vec<&str> = lines.map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
        let environment = [("GATEWAYZ_CONFIG_TOML".to_owned(), lines.join("\n"))];
        let loaded = load(None, &Environment::from(environment)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        loaded.settings.auth.keys[0].clone()
    };
    let key = entry(&["keygen", "--name", "Team_a-1"]);
    assert_eq!((key.name.as_str(), key.role), ("Team_a-1", Role::Client));
    assert!(key.expires_at.is_some());
    let limits = serde_json::to_value(key.limits).unwrap();
    let mut set: Vec<&str> = limits.as_object().unwrap().keys().map(String::as_str).collect();
    set.sort_unstable();
    let all = [
        "concurrent_requests",
        "input_tokens_per_minute",
        "output_tokens_per_minute",
        "requests_per_minute",
        "usd_per_day",
        "usd_per_month",
    ];
    assert_eq!(set, all);
    assert_eq!(entry(&["keygen", "--admin"]).role, Role::Admin);
}

#[test]
fn a_name_that_no_key_may_have_is_refused() {
    for name in ["team a", "", "team\"", "(unnamed)", "tëam"] {
        let ended = run(&["keygen", "--name", name], &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{name}");
        assert!(ended.err.contains("letters, digits, - and _ only"), "{}", ended.err);
    }
}

#[test]
fn serving_without_a_key_or_a_token_is_refused_with_what_to_set() {
    let file = Gateway::setup(URL).file();
    let serve = |environment: &[(&str, &str)]| run(&["serve", "--config", &file.text()], environment);
    let neither = serve(&[]);
    assert_eq!(neither.code, Some(1));
    assert!(neither.err.contains("GATEWAYZ_API_KEYS") && neither.err.contains("METRICS_TOKEN"), "{}", neither.err);
    let no_key = serve(&[("METRICS_TOKEN", METRICS_TOKEN), ("GATEWAYZ_API_KEYS", " , ")]);
    assert_eq!(no_key.code, Some(1));
    assert!(no_key.err.contains("GATEWAYZ_API_KEYS") && !no_key.err.contains("METRICS_TOKEN"), "{}", no_key.err);
    let no_token = serve(&[("GATEWAYZ_API_KEYS", CLIENT_KEY), ("METRICS_TOKEN", "")]);
    assert_eq!(no_token.code, Some(1));
    assert!(!no_token.err.contains("GATEWAYZ_API_KEYS") && no_token.err.contains("METRICS_TOKEN"), "{}", no_token.err);
    assert!(!no_token.err.contains(CLIENT_KEY), "{}", no_token.err);
}

#[test]
fn serving_unguarded_is_possible_on_loopback_only() {
    let provider = Provider::start();
    let open =
        Gateway::setup(&provider.url()).without_environment("GATEWAYZ_API_KEYS").without_environment("METRICS_TOKEN");
    for host in ["::", "0.0.0.0", "192.0.2.1"] {
        let file = open.file();
        let environment = [("GATEWAYZ__SERVER__HOST", host)];
        let ended = run(&["serve", "--insecure", "--config", &file.text()], &environment);
        assert_eq!(ended.code, Some(1), "{host}: {}", ended.err);
        assert!(ended.err.contains("loopback") && ended.err.contains("server.host"), "{}", ended.err);
    }
    let (_process, address) = Process::serve(&open, &["--insecure"], &[]);
    let call = Request::new(address, "POST", "/v1/messages").json(&asking("Hi")).send();
    provider.accept().say("Hi");
    assert_eq!(call.reply().status, 200);
    Request::new(address, "GET", "/metrics").ask().assert_error(401, "authentication_error", false);
}

/// A key that is there is asked for, `--insecure` or not.
#[test]
fn insecure_opens_nothing_that_has_its_key() {
    let (_process, address) = Process::serve(&Gateway::setup(URL), &["--insecure"], &[]);
    let request = Request::new(address, "POST", "/v1/messages").json(&asking("Hi"));
    request.ask().assert_error(401, "authentication_error", false);
}

#[test]
fn serve_is_the_default_and_takes_its_file_from_the_environment() {
    let file = Gateway::setup(URL).file();
    let environment = [
        ("GATEWAYZ_CONFIG", file.text()),
        ("GATEWAYZ_API_KEYS", CLIENT_KEY.into()),
        ("METRICS_TOKEN", METRICS_TOKEN.into()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let process = Process::start(&[], &environment);
    process.err.wait_for("listens on http://127.0.0.1:");
    let missing = process.err.wait_for("provider scripted is off");
    assert!(missing.contains("SCRIPTED_KEY"), "{missing}");
    let dead = process.err.wait_for("no usable route");
    assert!(dead.contains("claude-test"), "{dead}");
}

/// Of sockets, above all: a request takes two.
#[test]
fn the_limit_on_open_files_is_raised_and_told_when_it_is_too_low() {
    let file = Gateway::setup(URL).file();
    let limited = |hard: u32, environment: &[(&str, &str)]| {
        let script = format!("ulimit -Sn 64 && ulimit -Hn {hard} && exec {} serve --config {}", BINARY, file.text());
        let variables =
            [("GATEWAYZ_API_KEYS", CLIENT_KEY), ("METRICS_TOKEN", METRICS_TOKEN), ("PATH", "/usr/bin:/bin")];
        let process = Process::of("sh", &["-c", &script], &[&variables[..], environment].concat());
        process.err.wait_for("listens on http://");
        process.err.text()
    };
    let low = limited(1000, &[]);
    assert!(low.contains("up to 1000 open files"), "{low}");
    let warning = low.lines().find(|line| line.contains("WARN") && line.contains("1000")).expect("a warning");
    for part in ["server.max_inflight = 20000", "40100", "ulimit", "server.max_inflight to 450"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
    let enough =
        limited(1000, &[("GATEWAYZ__SERVER__MAX_INFLIGHT", "450"), ("GATEWAYZ__SERVER__MAX_CONNECTIONS", "900")]);
    assert!(enough.contains("up to 1000 open files") && !enough.contains("ulimit"), "{enough}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let file = Gateway::setup(URL).file();
    let environment = [("GATEWAYZ_API_KEYS", CLIENT_KEY), ("METRICS_TOKEN", METRICS_TOKEN), ("PORT", &port)];
    let ended = run(&["serve", "--config", &file.text()], &environment);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains(&format!("127.0.0.1:{port}")), "{}", ended.err);
}

#[test]
fn the_healthcheck_tells_by_its_exit_code() {
    let (_process, address) = Process::serve(&Gateway::setup(URL), &[], &[]);
    let port = address.port().to_string();
    let alive = run(&["healthcheck"], &[("PORT", &port)]);
    assert_eq!(alive.code, Some(0), "{}", alive.err);
    let file = Scratch::toml(&format!("[server]\nhost = \"127.0.0.1\"\nport = {port}\n"));
    assert_eq!(run(&["healthcheck", "--config", &file.text()], &[]).code, Some(0));

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let dead = run(&["healthcheck"], &[("PORT", &closed)]);
    assert_eq!(dead.code, Some(1));
    assert!(dead.err.contains("does not answer"), "{}", dead.err);
}

#[test]
fn check_shows_what_was_understood_and_no_secret() {
    // Nothing is read for a provider that is off.
    let ca_file = "ca_file = \"/no/such/roots.pem\"".to_owned();
    let setup = Gateway::setup(URL)
        .in_section("stream", "ping_interval = \"7s\"")
        .with_lines("display_name = \"Test\"")
        .provider_with(
            "second",
            URL,
            &format!("extra_headers = {{ X-Secret = \"header-secret\" }}\nextra_body = {{ secret = \"body-secret\" }}\nidle_timeout = \"33s\"\n{ca_file}"),
        )
        .without_environment("SECOND_KEY")
        .with_environment(&[("GATEWAYZ_SIGNATURE_KEY", "signature-secret-0123456789")]);
    let file = setup.file();
    let environment: Vec<(&str, &str)> =
        setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let ended = run(&["check", "--config", &file.text()], &environment);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let path = file.text();
    for part in [
        "built-in defaults",
        path.as_str(),
        "ping_interval = \"7s\"",
        "commit_after = \"5s\"",
        "max_attempts = 1",
        "breaker.open_for = \"15s\"",
        "max_concurrent = 0",
        "client_body_timeout = \"1m\"",
        "client_write_timeout = \"1m\"",
        "max_inflight = 20000",
        "connect_timeout = \"5s\"",
        "first_byte_timeout = \"2m\"",
        "idle_timeout = \"33s\"",
        "total_timeout = \"10m\"",
        ca_file.as_str(),
        "name = \"scripted\"",
        URL,
        "api_key_env = \"SCRIPTED_KEY\"",
        "claude-test -> scripted vendor/upstream-model",
        "not set: its routes are off",
        "X-Secret",
    ] {
        assert!(ended.out.to_lowercase().contains(&part.to_lowercase()), "{part} is not in {}", ended.out);
    }
    for secret in [CLIENT_KEY, METRICS_TOKEN, PROVIDER_KEY, "signature-secret", "header-secret", "body-secret"] {
        assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{secret} is in {}", ended.out);
    }
}

#[test]
fn check_names_every_mistake_with_its_key_and_its_file() {
    let file = Scratch::toml(
        r#"
        [server]
        prot = 8080
        port = "eighty"
        [stream]
        ping_interval = "often"
        [[providers]]
        name = "a b"
        dialect = "klingon"
        base_url = "ftp://x"
        [[models]]
        id = "m"
        routes = [ { provider = "nobody", model = "x" } ]
        "#,
    );
    let ended = run(&["check", "--config", &file.text()], &[("GATEWAYZ__METRICS__MAX_DYNAMIC_MODELS", "many")]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let line = |key: &str| {
        ended.err.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("{key} is not in {}", ended.err))
    };
    for key in [
        "server.prot",
        "server.port",
        "stream.ping_interval",
        "providers[0].name",
        "providers[0].dialect",
        "providers[0].base_url",
        "models[0].routes[0].provider",
    ] {
        assert!(line(key).contains(&file.text()), "{}", line(key));
    }
    assert!(line("metrics.max_dynamic_models").contains("GATEWAYZ__"), "{}", ended.err);
}

/// Both refuse to go on with the same words.
fn refused(setup: &Setup) -> String {
    let file = setup.file();
    let environment: Vec<(&str, &str)> =
        setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let [serve, check] = ["serve", "check"].map(|command| run(&[command, "--config", &file.text()], &environment));
    assert_eq!((serve.code, check.code, check.out.as_str()), (Some(1), Some(1), ""), "{}{}", serve.err, check.err);
    let said = check.err.lines().last().unwrap_or_default().to_owned();
    assert!(serve.err.contains(&said), "{} is not in {}", said, serve.err);
    check.err
}

#[test]
fn a_file_of_roots_that_cannot_be_used_is_refused_by_serve_and_by_check() {
    let (empty, garbage) = (
        Scratch::toml("# no certificate at all\n"),
        Scratch::toml("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    for path in ["/no/such/roots.pem".to_owned(), empty.text(), garbage.text()] {
        let setup = Setup::default().provider_with("scripted", URL, &format!("ca_file = {path:?}"));
        let said = refused(&setup.model("m", &["scripted"], "m"));
        assert!(said.contains("providers[0].ca_file") && said.contains(&path), "{said}");
    }
}

/// A key that was pasted with a line break in it would otherwise be left out in silence.
#[test]
fn a_key_that_no_header_can_carry_is_named_by_its_variable_and_not_shown() {
    let setup = Gateway::setup(URL).with_environment(&[
        ("SCRIPTED_KEY", "sk-first-half\nsk-second-half"),
        ("GATEWAYZ_API_KEYS", "good-key,caf\u{e9}-key,tab\tkey"),
        ("METRICS_TOKEN", "metrics\u{7f}token"),
    ]);
    let said = refused(&setup);
    for variable in ["SCRIPTED_KEY", "GATEWAYZ_API_KEYS", "METRICS_TOKEN"] {
        assert_eq!(said.matches(variable).count(), 1, "{variable}: {said}");
    }
    for part in ["half", "good-key", "-key", "token"] {
        assert!(!said.contains(part), "{part} is in {said}");
    }
}

#[test]
fn a_wrong_configuration_is_not_served() {
    let file = Scratch::toml("[server]\nprot = 1\n");
    let environment = [("GATEWAYZ_API_KEYS", CLIENT_KEY), ("METRICS_TOKEN", METRICS_TOKEN)];
    for command in ["serve", "check", "healthcheck"] {
        let ended = run(&[command, "--config", &file.text()], &environment);
        assert_eq!(ended.code, Some(1), "{command}");
        assert!(ended.err.contains("server.prot"), "{command}: {}", ended.err);
    }
    let missing = run(&["check", "--config", "/no/such/file.toml"], &[]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("/no/such/file.toml"), "{}", missing.err);
}

#[test]
fn the_demo_answers_what_it_prints() {
    let process = Process::start(&["demo", "--port", "0", "--traffic", "--rate", "200"], &[]);
    let line = process.out.wait_for("is listening on http://127.0.0.1:");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
    process.out.wait_for("Ctrl-C");
    let printed = process.out.text();
    for part in
        ["/v1/messages", "x-api-key: demo-key", "Authorization: Bearer demo-token", "base_url=", "ANTHROPIC_BASE_URL="]
    {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    let body = with(asking("Hello, Claude!"), "model", json!("claude-sonnet-4-5-20250929"));
    let reply = Request::new(address, "POST", "/v1/messages").header("x-api-key", "demo-key").json(&body).ask();
    assert_eq!((reply.status, reply.json()["type"].clone()), (200, json!("message")));
    let metrics = || {
        let request = Request::new(address, "GET", "/metrics").header("authorization", "Bearer demo-token");
        crate::harness::exposition::Exposition::read(&request.ask().text())
    };
    crate::harness::eventually("traffic over all five families", || {
        let metrics = metrics();
        let busy = |family: &str| {
            metrics.of("model_requests_total").any(|(series, value)| series.contains(family) && value > 0.0)
        };
        ["claude", "gpt", "gemini", "llama", "mistral"].iter().all(|family| busy(family)).then_some(())
    });
}

#[test]
fn a_demo_that_others_can_reach_wants_keys_that_not_everybody_knows() {
    let demo = ["demo", "--port", "0", "--host", "0.0.0.0"];
    let ended = run(&demo, &[("METRICS_TOKEN", "mine")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("set GATEWAYZ_API_KEYS"), "{}", ended.err);
    let process = Process::start(&demo, &[("METRICS_TOKEN", "mine"), ("GATEWAYZ_API_KEYS", "also-mine")]);
    process.out.wait_for("is listening on http://127.0.0.1:");
}

#[test]
fn the_simulator_runs_by_itself() {
    let process = Process::start(&["simulate", "--port", "0"], &[]);
    let line = process.out.wait_for("answers on http://127.0.0.1:");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let models = Request::new(address, "GET", "/v1/models").ask().json();
    assert!(models["data"].as_array().unwrap().iter().any(|model| model["id"] == "simulate-hang"), "{models}");
    let setup = Setup::default().provider("simulator", &format!("http://{address}/v1")).model("*", &["simulator"], "*");
    let gateway = setup.start();
    let reply = gateway.send(&asking("repeat: hello from the other process")).reply();
    assert_eq!(reply.said(), "hello from the other process");
}
