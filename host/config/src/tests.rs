//! The promises of the configuration.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use sluicegate_contract::capability::kv::Quota;

use super::{
    Affinity, Breaker, ChatLimits, Config, DEFAULT, Grant, InFlight, Limits, LogFormat,
    PathPattern, PluginLimits, Problem, Problems, Secret, Server, SetLimits, Source, Timeout, load,
    load_with_files, parse,
};

mod environment;
mod exposure;
mod folder;
mod model;
mod properties;
mod wrong;

/// A small file that is right; tests add to it.
const SMALL: &str = r#"
[[listener]]
listen = "127.0.0.1:8080"
[upstream.ollama]
targets = ["http://127.0.0.1:11434"]
[plugin.ollama]
source = "builtin:ollama"
[[route]]
path = "/v1/*"
pipeline = ["ollama"]
upstream = "ollama"
"#;

/// An Ollama behind its adapter.
const ADAPTED: &str =
    "[upstream.second]\nadapter = \"ollama\"\ntargets = [\"http://127.0.0.1:1\"]\n";

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, Path::new("/etc/gate"), &|_| None)
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let env = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    parse(text, Path::new("/etc/gate"), &env)
}

fn good(text: &str) -> Config {
    read(text).expect("a right configuration")
}

/// The problems of `SMALL` with `more` at its end.
fn problems(more: &str) -> Vec<Problem> {
    read(&format!("{SMALL}{more}")).expect_err("a problem").0
}

/// The keys of the problems of `SMALL` with `more` at its end.
fn keys(more: &str) -> Vec<String> {
    problems(more).into_iter().map(|p| p.key).collect()
}

/// `SMALL` with one line in place of another.
fn with(line: &str, other: &str) -> String {
    assert!(SMALL.contains(line), "{line}");
    SMALL.replacen(line, other, 1)
}

/// The only problem of a file.
fn only(text: &str) -> Problem {
    let mut all = read(text).expect_err("a problem").0;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// `SMALL` with `auth` before everything; `listen` and the configuration of `auth` are given.
fn guarded(listen: &str, config: &str) -> String {
    let text = with("127.0.0.1:8080", listen);
    let text = text.replace("[\"ollama\"]", "[\"auth\", \"ollama\"]");
    format!("{text}[plugin.auth]\nsource = \"builtin:auth\"\n{config}\n")
}

#[test]
fn default_has_no_problems_and_no_warnings() {
    let config = load(None, &|_| None).expect("the default");
    assert_eq!(config.warnings, []);
    assert_eq!(config.server, Server::default());
    assert_eq!(config.listeners[0].listen.to_string(), "127.0.0.1:8080");
    let admin = config.admin.expect("on by default");
    assert_eq!(admin.listen.to_string(), "127.0.0.1:9180");
    let ollama = &config.upstreams["main"];
    assert_eq!(ollama.adapter.as_deref(), Some("ollama"));
    assert_eq!((&ollama.key, ollama.attempts), (&None, 3));
    assert_eq!(ollama.targets[0].to_string(), "http://127.0.0.1:11434");
    assert_eq!(ollama.timeout, Timeout::default());
    let names: Vec<&str> = config.plugins.keys().map(String::as_str).collect();
    assert_eq!(names, ["access-log", "aggregate", "auth", "ollama"]);
    let auth = &config.plugins["auth"];
    let default = PluginLimits::default();
    assert_eq!(
        (auth.limits.memory, auth.limits.cpu),
        (Some(default.memory), Some(default.cpu))
    );
    assert_eq!(auth.config, json!({ "keys": [] }));
    let paths: Vec<String> = config.routes.iter().map(|r| r.path.to_string()).collect();
    assert_eq!(
        paths,
        [
            "/v1/chat/completions",
            "/v1/chat/completions/input_tokens",
            "/v1/completions",
            "/v1/embeddings",
            "/v1/models",
            "/v1/models/*"
        ]
    );
    let chat = config.chat.expect("on");
    assert_eq!(chat.listen.to_string(), "127.0.0.1:18789");
    assert_eq!((chat.endpoint, chat.key, chat.users.len()), (None, None, 0));
}

#[test]
fn default_shows_the_defaults_in_its_comments() {
    let is_toml = |line: &&str| line.starts_with('[') || line.contains(" = ");
    let uncommented = DEFAULT.lines().map(|line| {
        let rest = line.strip_prefix("# ").filter(is_toml);
        let prose = |rest: &&str| rest.starts_with(|c: char| c.is_uppercase());
        rest.filter(|rest| !prose(rest))
            .filter(|rest| !rest.starts_with("tls"))
            .unwrap_or(line)
    });
    let text = uncommented.collect::<Vec<_>>().join("\n");
    let config = read_with(
        &text,
        &[
            ("SLUICEGATE_ADMIN_TOKEN", "x"),
            ("SLUICEGATE_API_KEY", "x"),
            ("ANN_TOKEN", "x"),
            ("MODEL_SERVER_KEY", "x"),
            ("OTLP_AUTHORIZATION", "x"),
        ],
    )
    .expect("right");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    let proxies = config.listeners[0].proxies.as_ref();
    assert_eq!(proxies, Some(&config.server.trusted_proxies));
    let otlp = config.otlp.expect("in the comments");
    assert_eq!(otlp.endpoint.to_string(), "http://127.0.0.1:4318");
    assert_eq!((&*otlp.service, otlp.sample), ("sluicegate", 1.0));
    assert_eq!(otlp.metrics, Some(Duration::from_secs(60)));
    let main = &config.upstreams["main"];
    assert_eq!((main.attempts, main.budget), (3, 20));
    assert_eq!(main.breaker, Breaker::default());
    let queue = main.in_flight.map(|limit| (limit.queue, limit.timeout));
    assert_eq!(queue, Some((64, Duration::from_secs(30))));
    assert!(text.contains("\n[server.limits]") && text.contains("\n[chat]"));
    assert_eq!(config.server.limits, Limits::default());
    let chat = config.chat.expect("in the comments");
    assert_eq!(chat.listen.to_string(), "127.0.0.1:18789");
    assert_eq!(chat.endpoint.as_deref(), Some("http://127.0.0.1:8080"));
    assert_eq!(chat.store, Path::new("/etc/gate/sluicegate.db"));
    assert!(text.contains("\n[chat.limits]"));
    assert_eq!(chat.limits, ChatLimits::default());
    assert_eq!(chat.orphan_timeout, Some(Duration::from_secs(15 * 60)));
}

#[test]
fn an_adapter_without_a_section_is_the_built_in_one() {
    let text = SMALL
        .replace("[plugin.ollama]", "[plugin.other]")
        .replace("[\"ollama\"]", "[]");
    let text = text.replace("targets", "adapter = \"ollama\"\ntargets");
    let config = good(&text);
    let plugin = &config.plugins["ollama"];
    assert_eq!(plugin.source, Source::Builtin("ollama".into()));
    assert_eq!(config.routes[0].pipeline, Vec::<String>::new());
    let problem = only(&text.replace("adapter = \"ollama\"", "adapter = \"olama\""));
    assert_eq!(problem.key, "upstream.ollama.adapter");
    assert!(problem.mend.contains("`ollama`"), "{problem}");
    let without = text.replace("adapter = \"ollama\"\n", "");
    assert_eq!(only(&without).key, "route[0].pipeline");
}

#[test]
fn keys_attempts_and_fallbacks_of_upstreams_are_read() {
    let more = |line: &str| {
        format!("{SMALL}{line}\n{ADAPTED}key = \"sk-secret\"\nattempts = {{ max = 2 }}\n")
    };
    let config = good(&more("fallback = [\"second\"]"));
    let second = &config.upstreams["second"];
    assert_eq!(second.attempts, 2);
    assert_eq!(second.key.as_ref().map(Secret::expose), Some("sk-secret"));
    assert!(!format!("{config:?}").contains("sk-secret"));
    assert_eq!(config.routes[0].fallback, ["second"]);
    for (fallback, key) in [
        ("[\"ollama\"]", "route[0].fallback[0]"),
        ("[\"second\", \"second\"]", "route[0].fallback[1]"),
        ("[\"secnd\"]", "route[0].fallback[0]"),
    ] {
        assert_eq!(only(&more(&format!("fallback = {fallback}"))).key, key);
    }
    let zero = more("").replace("max = 2", "max = 0");
    assert_eq!(only(&zero).key, "upstream.second.attempts.max");
}

#[test]
fn what_upstreams_do_about_failures_and_load_has_defaults_and_is_read() {
    let usual = good(SMALL);
    let usual = &usual.upstreams["ollama"];
    assert_eq!(usual.breaker, Breaker::default());
    assert_eq!(
        (usual.budget, usual.slow_start),
        (20, Some(Duration::from_secs(10)))
    );
    assert_eq!((usual.in_flight, &usual.affinity), (None, &None));
    let more = |line: &str| good(&format!("{SMALL}{ADAPTED}{line}\n")).upstreams["second"].clone();
    let off =
        more("attempts = { budget = \"0%\" }\nbreaker = { open = \"0s\" }\nslow-start = \"0s\"");
    assert_eq!(
        (off.budget, off.breaker.open, off.slow_start),
        (0, None, None)
    );
    let open = more("breaker = { failures = 2, rate = \"100%\", open = \"1s\" }").breaker;
    assert_eq!(
        (open.failures, open.rate, open.open),
        (2, 100, Some(Duration::from_secs(1)))
    );
    let limit = more("max-in-flight = 2\nqueue = { size = 0, timeout = \"1s\" }").in_flight;
    let expected = InFlight {
        max: 2,
        queue: 0,
        timeout: Duration::from_secs(1),
    };
    assert_eq!(limit, Some(expected));
    for (line, expected) in [
        ("\"user\"", Affinity::User),
        ("\"prompt\"", Affinity::Prompt(1024)),
        ("{ prompt = \"4KiB\" }", Affinity::Prompt(4096)),
        (
            "{ header = \"X-Session\" }",
            Affinity::Header("x-session".into()),
        ),
    ] {
        assert_eq!(more(&format!("affinity = {line}")).affinity, Some(expected));
    }
}

#[test]
fn five_mistakes_are_five_problems_with_key_line_and_mend() {
    let text = r#"[server]
drain-timeout = "30"
[[listener]]
listen = "localhost:8080"
tsl = { cert = "a", key = "b" }
[upstream.ollama]
targets = ["127.0.0.1:11434"]
[plugin.ollama]
source = "builtin:olama"
[[route]]
path = "/v1/*"
pipeline = [
  "ollama",
  "agregate",
]
upstream = "ollama"
"#;
    let all = read(text).expect_err("five").0;
    let places: Vec<_> = all.iter().map(|p| (p.key.as_str(), p.line)).collect();
    assert_eq!(
        places,
        [
            ("server.drain-timeout", Some(2)),
            ("listener[0].tsl", Some(5)),
            ("upstream.ollama.targets[0]", Some(7)),
            ("plugin.ollama.source", Some(9)),
            ("route[0].pipeline[1]", Some(14)),
        ]
    );
    assert!(all.iter().all(|p| !p.mend.is_empty()));
    assert_eq!(all[1].mend, "did you mean `tls`?");
    assert_eq!(all[3].mend, "did you mean `builtin:ollama`?");
}

#[test]
fn syntax_error_is_one_problem_with_its_line() {
    let problem = only("[server]\n\ndrain-timeout = 30s\n");
    assert_eq!(problem.line, Some(3));
    assert_eq!(only("a = 1\nb = 2\na = 3\n").line, Some(3));
}

#[test]
fn file_that_cannot_be_read_is_a_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gate.toml");
    let problem = |file: &Path| load(Some(file), &|_| None).expect_err("unreadable").0;
    assert_eq!(problem(&file)[0].key, file.display().to_string());
    fs::write(&file, b"a = \"\xff\"").expect("written");
    assert_eq!(problem(&file)[0].key, file.display().to_string());
}

#[test]
fn paths_in_a_file_start_where_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gate.toml");
    let text = with("builtin:ollama", "./filters/mine.wasm");
    fs::write(&file, text).expect("written");
    let config = load(Some(&file), &|_| None).expect("right");
    let expected = folder.path().join("./filters/mine.wasm");
    assert_eq!(config.plugins["ollama"].source, Source::File(expected));
}

#[test]
fn server_swap_log_and_admin_are_read() {
    let config = good(&format!(
        r#"{SMALL}
[server]
drain-timeout = "1m"
heartbeat = "0s"
limits = {{ request-body = "1MiB", headers = 0x10, keep-alive = "500ms" }}
[swap]
drain = "10m"
[log]
format = "text"
level = "info,sluicegate_upstream=debug"
[admin]
listen = "127.0.0.1:0"
token = "t"
"#
    ));
    assert_eq!(config.server.drain_timeout, Duration::from_secs(60));
    assert_eq!(config.server.heartbeat, None);
    let limits = Limits {
        request_body: 1 << 20,
        headers: 16,
        keep_alive: Duration::from_millis(500),
        ..Limits::default()
    };
    assert_eq!(config.server.limits, limits);
    assert_eq!(config.swap.drain, Some(Duration::from_secs(600)));
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level, "info,sluicegate_upstream=debug");
    let admin = config.admin.expect("configured");
    assert_eq!(admin.token.expect("configured").expose(), "t");
}

#[test]
fn trusted_proxies_are_read_and_everybody_among_them_is_warned_of() {
    let text = "[server]\ntrusted-proxies = [\"10.0.0.1\", \"fd00::/8\"]\n[[listener]]\nlisten = \"127.0.0.1:0\"";
    let proxies = ["10.0.0.1/32", "fd00::/8"].map(|it| it.parse().expect("a network"));
    let config = good(&format!("{SMALL}{text}\nproxy-protocol = true"));
    assert_eq!(config.server.trusted_proxies, proxies);
    assert_eq!(config.listeners[0].proxies, None);
    assert_eq!(config.listeners[1].proxies.as_deref(), Some(&proxies[..]));
    let config = good(&format!("{SMALL}{text}\nproxy-protocol = false"));
    assert_eq!(
        (&config.listeners[1].proxies, config.warnings),
        (&None, vec![])
    );
    let everybody = "[server]\ntrusted-proxies = [\"10.0.0.1\", \"0.0.0.0/0\"]";
    let warnings = good(&format!("{SMALL}{everybody}")).warnings;
    let keys: Vec<_> = warnings.iter().map(|warning| &*warning.key).collect();
    assert_eq!(keys, ["server.trusted-proxies[1]"]);
}

#[test]
fn absent_sections_have_their_defaults() {
    let config = good(SMALL);
    assert_eq!(config.server, Server::default());
    assert_eq!(config.swap.drain, None);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.log.level, "info");
    assert_eq!(config.admin, None);
    assert_eq!(config.chat, None);
    assert_eq!(config.upstreams["ollama"].health, None);
    assert_eq!(config.plugins["ollama"].config, json!({}));
    assert!(config.routes[0].methods.is_empty());
}

#[test]
fn second_route_for_a_path_and_method_is_refused() {
    let second = |path: &str, methods: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\n{methods}\npipeline = [\"ollama\"]\nupstream = \"ollama\"\n"
        )
    };
    assert_eq!(keys(&second("/v1/*", "")), ["route[1]"]);
    assert_eq!(keys(&second("/v1/*", "methods = [\"GET\"]")), ["route[1]"]);
    good(&format!("{SMALL}{}", second("/v1/", "")));
    let get = with("[[route]]", "[[route]]\nmethods = [\"GET\", \"HEAD\"]");
    good(&format!("{get}{}", second("/v1/*", "methods = [\"POST\"]")));
    let both = format!("{get}{}", second("/v1/*", "methods = [\"POST\", \"HEAD\"]"));
    assert_eq!(only(&both).key, "route[1]");
}

#[test]
fn something_must_listen_and_have_a_route() {
    let messages = |text: &str| -> Vec<String> {
        let all = read(text).expect_err("nothing to do").0;
        all.into_iter().map(|p| p.message).collect()
    };
    assert_eq!(messages(""), ["nothing listens"]);
    let listener = "[[listener]]\nlisten = \"127.0.0.1:1\"\n";
    assert_eq!(messages(listener).len(), 1);
    let chat = good("[chat]\n");
    assert_eq!(chat.chat.expect("alone").listen.port(), 18789);
}

#[test]
fn limits_of_the_chat_are_read_and_the_others_stay() {
    let config = good(
        r#"[chat]
orphan-timeout = "0s"
[chat.limits]
sends-per-minute = 600
runs = 1
message-chars = 250000
answer = "64KiB"
"#,
    );
    let chat = config.chat.expect("on");
    assert_eq!(chat.orphan_timeout, None);
    let expected = ChatLimits {
        sends_per_minute: 600,
        runs: 1,
        message_chars: 250_000,
        answer: 64 << 10,
        ..ChatLimits::default()
    };
    assert_eq!(chat.limits, expected);
}

#[test]
fn path_pattern_is_one_path_or_all_below() {
    let pattern = |path: &str| {
        let config = good(&with("/v1/*", path));
        config.routes[0].path.clone()
    };
    let below = pattern("/v1/*");
    assert_eq!(below, PathPattern::Prefix("/v1/".to_owned()));
    assert!(below.matches("/v1/models") && below.matches("/v1/"));
    assert!(!below.matches("/v1") && !below.matches("/v10"));
    assert_eq!(below.to_string(), "/v1/*");
    let exact = pattern("/v1/models");
    assert!(exact.matches("/v1/models") && !exact.matches("/v1/models/x"));
    assert_eq!(exact.to_string(), "/v1/models");
    assert!(pattern("/*").matches("/"));
}

#[test]
fn what_a_plugin_is_granted_is_read() {
    let config = good(&format!(
        r#"{SMALL}
[plugin.none]
source = "none.wasm"
[plugin.some]
source = "some.wasm"
grant = {{ http = ["https://IdP.example", "http://10.0.0.5:8080"], kv = true, rate = false, metrics = true }}
[plugin.all.grant]
http = {{ origins = ["http://idp:80"], networks = ["10.0.0.0/8", "::1"] }}
kv = {{ keys = 5 }}
rate = {{ subjects = 7 }}
[plugin.all]
source = "all.wasm"
"#
    ));
    let grant = |name: &str| config.plugins[name].grant.clone();
    assert_eq!(grant("none"), Grant::default());
    let some = grant("some");
    let origins = some.http.clone().expect("granted").origins;
    let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://idp.example:443", "http://10.0.0.5:8080"]);
    assert_eq!(some.kv, Some(Quota::default()));
    assert!(some.rate.is_none() && some.metrics);
    let all = grant("all");
    assert_eq!(all.http.expect("granted").networks.len(), 2);
    let quota = Quota {
        keys: 5,
        ..Quota::default()
    };
    assert_eq!((all.kv, all.rate), (Some(quota), Some(7)));
    assert!(!all.metrics);
}

#[test]
fn upstream_and_plugin_are_read() {
    let config = good(&format!(
        r#"{SMALL}
[upstream.far]
targets = ["https://a.example/v1", "http://[::1]:8000"]
health = {{ path = "/health" }}
timeout = {{ total = "10m", connect = "1s", stall = "0s" }}
[plugin.mine]
source = "mine.wasm"
on-fault = "open"
limits = {{ memory = "64KiB", cpu = "5ms", output = "1MiB" }}
grants = []
[plugin.mine.config]
text = "a"
list = [1, -2, 0x10, 1.5, true, 2026-08-01]
table = {{ env = "A", file = "B" }}
number = {{ env = 5 }}
"#
    ));
    let far = &config.upstreams["far"];
    assert_eq!(far.targets.len(), 2);
    assert_eq!(far.targets[0].base, "/v1");
    let health = far.health.as_ref().expect("configured");
    assert_eq!(health.interval, Duration::from_secs(5));
    let timeout = Timeout {
        total: Some(Duration::from_secs(600)),
        connect: Duration::from_secs(1),
        stall: None,
        ..Timeout::default()
    };
    assert_eq!(far.timeout, timeout);
    assert_eq!(Timeout::default().stall, Some(Duration::from_secs(30)));
    let mine = &config.plugins["mine"];
    assert_eq!(
        mine.source,
        Source::File(PathBuf::from("/etc/gate/mine.wasm"))
    );
    assert!(mine.fail_open && mine.secrets.is_empty());
    let limits = SetLimits {
        memory: Some(64 << 10),
        cpu: Some(Duration::from_millis(5)),
        output: Some(1 << 20),
    };
    assert_eq!(mine.limits, limits);
    assert_eq!(
        mine.config,
        json!({
            "text": "a",
            "list": [1, -2, 16, 1.5, true, "2026-08-01"],
            "table": { "env": "A", "file": "B" },
            "number": { "env": 5 },
        })
    );
}

#[test]
fn plugin_in_no_route_is_warned_of() {
    let config = good(&format!("{SMALL}\n[plugin.idle]\nsource = \"a.wasm\"\n"));
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].key, "plugin.idle");
    assert_eq!(config.warnings[0].line, Some(13));
}
