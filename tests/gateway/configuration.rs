//! Where settings come from, and which of them wins.

use std::time::Duration;

use gatewayz::auth::hex_digest;
use gatewayz::config::load::{Layer, Loaded, load};
use gatewayz::config::secrets::Environment;
use secrecy::ExposeSecret;

use crate::harness::message::{asking, with};
use crate::harness::provider::closed_url;
use crate::harness::scratch::Scratch;
use crate::harness::{Gateway, Provider};

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn read(file: &str, variables: &[(&str, &str)]) -> Loaded {
    let file = Scratch::toml(file);
    load(Some(file.path()), &environment(variables)).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Every mistake as `layer: key`; the file is called `file`.
fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let file = Scratch::toml(text);
    let found = load(Some(file.path()), &environment(variables)).expect_err("a mistake").0;
    let layer = |layer: &Layer| match layer {
        Layer::File(path) => {
            assert_eq!(path, file.path());
            "file".to_owned()
        }
        layer => layer.to_string(),
    };
    let mut named: Vec<String> =
        found.iter().map(|mistake| format!("{}: {}", layer(&mistake.layer), mistake.key)).collect();
    named.sort();
    named
}

#[test]
fn numbers_are_finite() {
    let entry = |limits: &str| {
        let digest = hex_digest("team");
        format!("[auth]\n[[auth.keys]]\nname = \"team\"\nsha256 = \"{digest}\"\nlimits = {{ {limits} }}\n")
    };
    for number in ["nan", "-nan", "inf", "-inf"] {
        let text = entry(&format!("usd_per_day = {number}, usd_per_month = 1.0"))
            + "[[providers]]\nname = \"p\"\ndialect = \"generic\"\nbase_url = \"http://127.0.0.1:9/v1\"\n"
            + &format!("breaker = {{ error_ratio = {number} }}\n")
            + "[[models]]\nid = \"m\"\nroutes = [ { provider = \"p\", model = \"m\" } ]\n"
            + &format!("price = {{ input = 1.0, output = {number}, cache_read = {number} }}\n");
        let expected = [
            "file: auth.keys[0].limits.usd_per_day",
            "file: models[0].price.cache_read",
            "file: models[0].price.output",
            "file: providers[0].breaker.error_ratio",
        ];
        assert_eq!(mistakes(&text, &[]), expected, "{number}");
    }
    let by_variable = [("GATEWAYZ__STREAM__PING_INTERVAL", "nan")];
    assert_eq!(mistakes("", &by_variable), ["GATEWAYZ__ variables: stream.ping_interval"]);
}

#[test]
fn the_defaults_alone_are_a_configuration() {
    let settings = load(None, &Environment::default()).unwrap().settings;
    assert_eq!((settings.server.host.as_str(), settings.server.port), ("::", 8080));
    assert_eq!(settings.server.max_body.as_u64(), 32 << 20);
    assert_eq!((settings.server.max_connections, settings.server.max_inflight), (25_000, 20_000));
    assert_eq!(settings.server.client_body_timeout, Duration::from_secs(60));
    assert_eq!(settings.server.client_write_timeout, Duration::from_secs(60));
    assert_eq!(settings.stream.ping_interval, Duration::from_secs(10));
    let names: Vec<&str> = settings.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["openrouter", "featherless"]);
    assert!(settings.models.iter().any(|model| model.id == "claude-sonnet-4-5-20250929"));
    assert!(settings.models.iter().any(|model| model.id == "*"));
}

#[test]
fn later_layers_win() {
    let file = "[server]\nport = 1001\nworkers = 3\nmax_connections = 7\n[stream]\nping_interval = \"1s\"\n";
    let port = |variables: &[(&str, &str)]| read(file, variables).settings.server.port;
    assert_eq!(port(&[]), 1001);
    assert_eq!(port(&[("PORT", "1002")]), 1002);
    assert_eq!(port(&[("PORT", "1002"), ("GATEWAYZ__SERVER__PORT", "1003")]), 1003);
    assert_eq!(port(&[("PORT", "")]), 1001);
    let loaded = read(
        file,
        &[
            ("GATEWAYZ__SERVER__WORKERS", "4"),
            ("GATEWAYZ__STREAM__COMMIT_AFTER", "250ms"),
            ("GATEWAYZ__SERVER__MAX_BODY", "1MiB"),
            ("GATEWAYZ__TRANSLATION__UNSUPPORTED", "reject"),
        ],
    );
    let settings = loaded.settings;
    assert_eq!((settings.server.workers, settings.server.max_connections), (4, 7));
    assert_eq!(settings.server.max_body.as_u64(), 1 << 20);
    assert_eq!(settings.stream.ping_interval, Duration::from_secs(1));
    assert_eq!(settings.stream.commit_after, Duration::from_millis(250));
    assert_eq!(loaded.layers.len(), 3, "{:?}", loaded.layers);
}

/// Where there are variables and no files, as on Railway.
#[test]
fn a_variable_may_hold_what_a_file_would() {
    let file = "[server]\nport = 1001\nworkers = 3\nmax_connections = 7\n";
    let text = "[server]\nport = 1002\nworkers = 4\n";
    let port = |variables: &[(&str, &str)]| read(file, variables).settings.server.port;
    assert_eq!(port(&[("GATEWAYZ_CONFIG_TOML", text)]), 1002);
    assert_eq!(port(&[("GATEWAYZ_CONFIG_TOML", text), ("PORT", "1003")]), 1003);
    assert_eq!(port(&[("GATEWAYZ_CONFIG_TOML", text), ("GATEWAYZ__SERVER__PORT", "1004")]), 1004);
    assert_eq!(port(&[("GATEWAYZ_CONFIG_TOML", " \n")]), 1001, "as good as absent");
    let loaded = read(file, &[("GATEWAYZ_CONFIG_TOML", text), ("PORT", "1003")]);
    assert_eq!((loaded.settings.server.workers, loaded.settings.server.max_connections), (4, 7));
    let named: Vec<String> = loaded.layers.iter().skip(2).map(ToString::to_string).collect();
    assert_eq!(named, ["GATEWAYZ_CONFIG_TOML", "PORT", "GATEWAYZ__ variables"]);

    let without_file = |text: &str| load(None, &environment(&[("GATEWAYZ_CONFIG_TOML", text)])).unwrap().settings;
    assert_eq!(without_file(MINIMAL).models.len(), 1, "a list replaces the list before it");
    let on_one_line = format!("auth.keys = [{{ name = \"a\", sha256 = {:?} }}]", "a".repeat(64));
    assert_eq!(without_file(&on_one_line).auth.keys[0].name, "a");
    assert_eq!(without_file("\u{feff}[server]\r\nport = 7\r\n").server.port, 7, "as some editors write it");
}

#[test]
fn a_mistake_in_the_variable_is_named_by_it() {
    let digest = "a".repeat(64);
    let mistakes = |text: &str| {
        let variables = [("GATEWAYZ_CONFIG_TOML", text), ("GATEWAYZ__AUTH__KEY_SHA256", digest.as_str())];
        mistakes("[auth]\nkeys = []\n", &variables)
    };
    assert_eq!(mistakes("[server\n"), ["GATEWAYZ_CONFIG_TOML: "]);
    assert_eq!(mistakes("[server]\nprot = 1\n"), ["GATEWAYZ_CONFIG_TOML: server.prot"]);
    assert_eq!(
        mistakes("[[auth.keys]]\nname = \"a\"\nsha256 = \"short\"\n[[auth.keys]]\nname = \"b\"\n"),
        ["GATEWAYZ_CONFIG_TOML: auth.keys[0].sha256", "GATEWAYZ_CONFIG_TOML: auth.keys[1].sha256"]
    );
}

#[test]
fn the_file_of_the_command_line_wins_over_the_one_in_the_environment() {
    let named = Scratch::toml("[server]\nport = 2001\n");
    let path = named.text();
    let variables = [("GATEWAYZ_CONFIG", path.as_str())];
    assert_eq!(load(None, &environment(&variables)).unwrap().settings.server.port, 2001);
    assert_eq!(read("[server]\nport = 2002\n", &variables).settings.server.port, 2002);
    assert_eq!(load(None, &environment(&[("GATEWAYZ_CONFIG", "")])).unwrap().settings.server.port, 8080);
}

#[test]
fn a_list_replaces_the_list_before_it() {
    let settings = read(MINIMAL, &[]).settings;
    assert_eq!((settings.providers.len(), settings.models.len()), (1, 1));
    let digest = |digit: &str| digit.repeat(64);
    let file = format!("[auth]\nkey_sha256 = [{:?}, {:?}]\n", digest("a"), digest("b"));
    assert_eq!(read(&file, &[]).settings.auth.key_sha256, [digest("a"), digest("b")]);
    let listed = format!("{},{}", digest("c"), digest("d"));
    let variables = [("GATEWAYZ__AUTH__KEY_SHA256", listed.as_str())];
    assert_eq!(read(&file, &variables).settings.auth.key_sha256, [digest("c"), digest("d")]);
    let one = digest("d");
    assert_eq!(read(&file, &[("GATEWAYZ__AUTH__KEY_SHA256", &one)]).settings.auth.key_sha256, [one.as_str()]);
}

/// As it stands in the documentation.
const MINIMAL: &str = r#"
[[providers]]
name = "local"
dialect = "generic"
base_url = "http://127.0.0.1:8000/v1"

[[models]]
id = "*"
routes = [ { provider = "local", model = "*" } ]
"#;

#[test]
fn the_minimal_file_serves_every_model_of_a_local_server() {
    let provider = Provider::start();
    let file = Scratch::toml(&MINIMAL.replace("http://127.0.0.1:8000/v1", &provider.url()));
    let path = file.text();
    let setup = crate::harness::gateway::Setup::default();
    let mut variables: Vec<(&str, &str)> =
        setup.environment().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    variables.extend([("GATEWAYZ__SERVER__HOST", "127.0.0.1"), ("PORT", "0")]);
    let process = crate::harness::binary::Process::start(&["--config", &path], &variables);
    let address = process.address();
    let body = with(asking("Hi"), "model", "org/any-model-at-all".into());
    let call = crate::harness::binary::request(address, "POST", "/v1/messages").json(&body).send();
    let exchange = provider.accept();
    assert_eq!(exchange.body["model"], "org/any-model-at-all");
    assert_eq!(exchange.header("authorization"), None, "no key is configured, none is sent");
    exchange.say("Hi");
    assert_eq!(call.reply().json()["model"], "org/any-model-at-all");
}

#[test]
fn unknown_keys_are_named() {
    let text = r#"
        colour = "red"
        [server]
        prot = 1
        [limit]
        backend = "memory"
        [limits]
        window = "1m"
        [[providers]]
        name = "local"
        dialect = "generic"
        base_url = "http://127.0.0.1:8000/v1"
        api_key = "secret"
        [[models]]
        id = "*"
        route = []
        routes = [ { provider = "local", model = "*", wieght = 1 } ]
    "#;
    let named = mistakes(text, &[("GATEWAYZ__SERVER__PROT", "1")]);
    for key in [
        "file: colour",
        "file: limit",
        "file: limits.window",
        "file: server.prot",
        "file: providers[0].api_key",
        "file: models[0].route",
        "file: models[0].routes[0].wieght",
        "GATEWAYZ__ variables: server.prot",
    ] {
        assert!(named.contains(&key.to_owned()), "{key} is not in {named:?}");
    }
    assert_eq!(named.len(), 8, "{named:?}");
}

#[test]
fn wrong_types_and_values_are_named() {
    assert_eq!(
        mistakes("[server]\nport = \"x\"\nworkers = -1\nmax_body = \"big\"\n", &[]),
        ["file: server.max_body", "file: server.port", "file: server.workers"]
    );
    assert_eq!(
        mistakes("[stream]\nping_interval = \"soon\"\ncommit_after = 5\n", &[]),
        ["file: stream.commit_after", "file: stream.ping_interval"]
    );
    assert_eq!(mistakes("[stream]\nping_interval = \"0s\"\n", &[]), ["file: stream.ping_interval"]);
    assert_eq!(
        mistakes(
            "[server]\nclient_header_timeout = \"0s\"\nclient_body_timeout = \"0s\"\nclient_write_timeout = \"999us\"\n",
            &[]
        ),
        ["file: server.client_body_timeout", "file: server.client_header_timeout", "file: server.client_write_timeout"]
    );
    assert_eq!(
        mistakes("[server]\nmax_connections = 0\nmax_inflight = 0\n", &[]),
        ["file: server.max_connections", "file: server.max_inflight"]
    );
    assert_eq!(mistakes("[translation]\nunsupported = \"ignore\"\n", &[]), ["file: translation.unsupported"]);
    assert_eq!(mistakes("[auth]\nkey_sha256 = [\"abc\"]\n", &[]), ["file: auth.key_sha256[0]"]);
    assert_eq!(mistakes("[server]\nhost = \"localhost\"\n", &[]), ["file: server.host"]);
    for port in ["x", "-1", "70000", "80 80"] {
        assert_eq!(mistakes("", &[("PORT", port)]), ["PORT: server.port"], "{port}");
    }
    assert_eq!(mistakes("", &[("GATEWAYZ__SERVER__PORT", "x")]), ["GATEWAYZ__ variables: server.port"]);
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_named() {
    assert_eq!(mistakes("[server\nport = 1", &[]), ["file: "]);
    let missing = load(Some("/no/such/file.toml".as_ref()), &Environment::default()).expect_err("no file");
    assert!(missing.to_string().contains("/no/such/file.toml"), "{missing}");
}

/// Several layers may set what stands in one section.
#[test]
fn a_mistake_is_laid_at_the_door_of_the_layer_that_has_set_it() {
    let file = "[server]\nhost = \"nowhere\"\n[[auth.keys]]\nname = \"a\"\nsha256 = \"short\"\n";
    let digest = "a".repeat(64);
    let variables = [("GATEWAYZ__AUTH__KEY_SHA256", digest.as_str()), ("PORT", "8080")];
    assert_eq!(mistakes(file, &variables), ["file: auth.keys[0].sha256", "file: server.host"]);
}

#[test]
fn names_that_lead_nowhere_are_named() {
    let provider =
        |name: &str| format!("[[providers]]\nname = {name:?}\ndialect = \"generic\"\nbase_url = \"http://x/v1\"\n");
    let model = |id: &str, provider: &str| {
        format!("[[models]]\nid = {id:?}\nroutes = [ {{ provider = {provider:?}, model = \"x\" }} ]\n")
    };
    let text =
        [provider("a"), provider("a"), provider("gatewayz"), model("m", "b"), model("m", "a"), model("x*y", "a")]
            .concat();
    assert_eq!(
        mistakes(&text, &[]),
        [
            "file: models[0].routes[0].provider",
            "file: models[1].id",
            "file: models[2].id",
            "file: providers[1].name",
            "file: providers[2].name"
        ]
    );
    assert_eq!(
        mistakes(&[provider("a"), "[[models]]\nid = \"m\"\nroutes = []\n".into()].concat(), &[]),
        ["file: models[0].routes"]
    );
}

#[test]
fn an_address_that_cannot_be_called_is_named() {
    for url in ["", "x", "ftp://x/v1", "127.0.0.1:8000", "http://user:password@x/v1", "http://x/v1?key=1"] {
        let text = format!("models = []\n[[providers]]\nname = \"a\"\ndialect = \"generic\"\nbase_url = {url:?}\n");
        assert_eq!(mistakes(&text, &[]), ["file: providers[0].base_url"], "{url}");
    }
    let text = MINIMAL
        .replace("name = \"local\"", "name = \"local\"\ntotal_timeout = \"0s\"\nextra_headers = { \"x y\" = \"z\", Transfer-Encoding = \"chunked\" }");
    assert_eq!(
        mistakes(&text, &[]),
        [
            "file: providers[0].extra_headers.Transfer-Encoding",
            "file: providers[0].extra_headers.x y",
            "file: providers[0].total_timeout"
        ]
    );
}

const SECRET: &str = "redis://:secret-in-the-wrong-place@redis";

/// A password or a key may stand in the line that cannot be read, or where something else belongs.
#[test]
fn no_mistake_repeats_what_stands_there() {
    let problems = |text: &str| {
        let by_file = Scratch::toml(text);
        let by_file = load(Some(by_file.path()), &Environment::default()).expect_err("a mistake");
        let by_variable = load(None, &environment(&[("GATEWAYZ_CONFIG_TOML", text)])).expect_err("a mistake");
        for shown in [&by_file, &by_variable].map(|mistakes| format!("{mistakes} {mistakes:?}")) {
            assert!(!shown.contains("secret"), "{shown}");
        }
        by_variable.0.into_iter().map(|mistake| format!("{}: {}", mistake.key, mistake.problem)).collect::<Vec<_>>()
    };
    let line = format!("redis_url = \"{SECRET}");
    let [said] = &problems(&format!("[limits]\n\n{line}\n"))[..] else { panic!("one mistake") };
    assert!(said.starts_with(&format!(": no TOML at line 3, column {}: ", line.len() + 1)), "{said}");
    let line = format!("\"é\" = {SECRET:?} ");
    let [said] = &problems(&format!("{line}{SECRET}"))[..] else { panic!("one mistake") };
    assert!(said.starts_with(&format!(": no TOML at line 1, column {}: ", line.chars().count() + 1)), "{said}");
    assert_eq!(problems(&format!("a = {SECRET:?}\na = 2\n")), [": no TOML at line 2, column 1: duplicate key"]);
    for (line, said) in [
        ("limits = SECRET", "limits: invalid type: string, expected a table"),
        ("limits.backend = SECRET", "limits.backend: unknown variant, expected `memory` or `redis`"),
        ("limits.redis_url = [SECRET, 1]", "limits.redis_url: invalid type: sequence, expected a string"),
        ("auth = SECRET", "auth: invalid type: string, expected a table"),
        ("auth.keys = SECRET", "auth.keys: invalid type: string, expected a sequence"),
        ("auth.keys = [SECRET]", "auth.keys[0]: invalid type: string, expected a table"),
        ("auth.key_sha256 = SECRET", "auth.key_sha256: invalid type: string, expected a sequence"),
        ("server.port = SECRET", "server.port: invalid type: string, expected u16"),
        ("server.drain = SECRET", "server.drain: invalid value: string, expected a duration"),
        ("server.max_body = SECRET", "server.max_body: invalid value: string, expected parsable string"),
    ] {
        assert_eq!(problems(&line.replace("SECRET", &format!("{SECRET:?}"))), [said]);
    }
    let entry = ["name", "sha256", "role", "expires_at"].map(|field| format!("{field} = {SECRET:?}")).join("\n");
    let found = problems(&format!("[[auth.keys]]\n{entry}\nmodels = [\"*{SECRET}\"]\n"));
    assert_eq!(found.len(), 5, "{found:?}");
    let overrides = format!("dialect = \"generic\"\ndialect_overrides = {{ top_k = {SECRET:?} }}");
    let found = problems(&MINIMAL.replace("dialect = \"generic\"", &overrides));
    assert_eq!(found, ["providers[0].dialect_overrides.top_k: invalid type: string, expected a boolean"]);
}

#[test]
fn what_is_loaded_shows_no_hash_and_no_address_of_redis() {
    let digest = "ab".repeat(32);
    let text = format!(
        "[auth]\nkey_sha256 = [{:?}]\n[[auth.keys]]\nname = \"team\"\nsha256 = {digest:?}\n[limits]\nbackend = \"redis\"\nredis_url = \"redis://redis.internal\"\n",
        "cd".repeat(32)
    );
    let loaded = read(&text, &[("GATEWAYZ_API_KEYS", "client-key")]);
    let shown = format!("{loaded:?} {:?}", loaded.settings.auth.keys);
    for hidden in ["abab", "cdcd", "redis.internal", "client-key"] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
    assert!(shown.contains("team"), "{shown}");
}

#[test]
fn secrets_come_from_the_environment_and_are_trimmed() {
    let file = MINIMAL.replace("name = \"local\"", "name = \"local\"\napi_key_env = \"MY_KEY\"");
    let secrets =
        read(&file, &[("GATEWAYZ_API_KEYS", " a , b,"), ("METRICS_TOKEN", " t\n"), ("MY_KEY", "k\n")]).secrets;
    let keys: Vec<&str> = secrets.client_keys.iter().map(|key| key.expose_secret()).collect();
    assert_eq!(keys, ["a", "b"]);
    assert_eq!(secrets.metrics_token.as_ref().unwrap().expose_secret(), "t");
    assert_eq!(secrets.provider_keys["local"].expose_secret(), "k");
    let shown = format!("{secrets:?}");
    assert!(!shown.contains("\"a\"") && !shown.contains("\"k\""), "{shown}");
    let empty = read(&file, &[("MY_KEY", " "), ("METRICS_TOKEN", "")]).secrets;
    assert!(empty.provider_keys.is_empty() && empty.metrics_token.is_none());
}

#[test]
fn extra_headers_and_fields_go_to_the_provider() {
    let provider = Provider::start();
    let lines = "extra_headers = { X-Title = \"gatewayz\", HTTP-Referer = \"https://example.com\" }\nextra_body = { seed = 7, provider = { sort = \"price\" } }";
    let gateway = crate::harness::gateway::Setup::default()
        .provider_with("scripted", &provider.url(), lines)
        .provider("other", &closed_url())
        .model(crate::harness::message::MODEL, &["scripted"], "upstream")
        .start();
    let call = gateway.send(&asking("Hi"));
    let exchange = provider.accept();
    assert_eq!(
        (exchange.header("x-title"), exchange.header("http-referer")),
        (Some("gatewayz"), Some("https://example.com"))
    );
    assert_eq!((&exchange.body["seed"], &exchange.body["provider"]["sort"]), (&7.into(), &"price".into()));
    exchange.say("Hi");
    assert_eq!(call.reply().status, 200);
}

#[test]
fn the_configured_maximum_of_tokens_is_the_cap() {
    let provider = Provider::start();
    let gateway: Gateway = Gateway::setup(&provider.url()).with_lines("max_tokens = 50").start();
    for (asked, sent) in [(10, 10), (50, 50), (51, 50), (1_000_000, 50)] {
        let call = gateway.send(&with(asking("Hi"), "max_tokens", asked.into()));
        let exchange = provider.accept();
        assert_eq!(exchange.body["max_tokens"], sent);
        exchange.say("Hi");
        assert_eq!(call.reply().status, 200);
    }
}
