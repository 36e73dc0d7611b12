//! The program from outside: its commands, exit codes and signals.

use std::path::Path;

use serde_json::{Value, json};
use sluicegate_tests::component;
use sluicegate_tests::served::{self, Served};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Script, Setup, Upstream, eventually, guest, within};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// The program, built from its own source by this package.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-tested");

/// What a command that ended has said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

fn program(arguments: &[&str]) -> Command {
    served::program(PROGRAM, arguments)
}

pub(crate) async fn run(arguments: &[&str]) -> Said {
    let output = within("the end of the command", program(arguments).output())
        .await
        .expect("it starts");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn written(text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile()
        .expect("a file");
    std::fs::write(file.path(), text).expect("room for a file");
    file
}

fn path(file: &NamedTempFile) -> &str {
    name(file.path())
}

pub(crate) fn name(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test]
async fn check_reports_five_mistakes_each_with_its_key_its_line_and_a_mend() {
    let file = written(
        r#"[server]
drain-timeout = 30
[[listener]]
listen = "127.0.0.1"
[upstream.ollama]
targets = ["127.0.0.1:11434"]
[plugin.auth]
source = "builtin:oauth"
[[route]]
path = "/v1/*"
pipeline = ["atuh"]
upstream = "ollama"
"#,
    );
    let said = run(&["check", path(&file)]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    for (line, key) in [
        (2, "server.drain-timeout"),
        (4, "listener[0].listen"),
        (6, "upstream.ollama.targets[0]"),
        (8, "plugin.auth.source"),
        (11, "route[0].pipeline[0]"),
    ] {
        assert!(
            said.err.contains(&format!("line {line}: {key}: ")),
            "{key} in line {line}: {}",
            said.err
        );
    }
    assert_eq!(said.err.matches("error: ").count(), 5, "{}", said.err);
    assert_eq!(
        said.err.matches("\n    → ").count(),
        5,
        "a mend for each: {}",
        said.err
    );
    assert!(said.err.contains("5 problems"));
    assert!(said.err.contains("`auth`"), "what was meant: {}", said.err);
}

#[tokio::test]
async fn check_loads_the_plugins_too() {
    let module = component::file(&component::of_text("(module)"));
    let setup = Setup::before_url("http://127.0.0.1:1")
        .plugin("mine", name(module.path()), "")
        .plugin(
            "auth",
            "builtin:auth",
            "config = { keys = [{ name = \"a\" }], colour = 1 }",
        )
        .route("/*", r#"["auth", "mine"]"#, "");
    let file = written(&setup.toml());
    let said = run(&["check", path(&file)]).await;
    assert_eq!(said.code, Some(2));
    for words in [
        "plugin.mine.source: ",
        "core WebAssembly module",
        "plugin.auth.config.keys.0: ",
        "plugin.auth.config: ",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[tokio::test]
async fn check_says_what_is_in_a_file_that_is_right() {
    let file = written(&Setup::before_url("http://127.0.0.1:1").chat().toml());
    let said = run(&["check", path(&file)]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(
        said.out
            .ends_with("is valid (routes: 3, plugins: 5, upstreams: 1)\n"),
        "{}",
        said.out
    );
    // `aggregate` and `ollama`; a gate holds none.
    let capacity = "/v1/chat/completions: 2 sandboxes per exchange, ";
    assert!(said.out.contains(capacity), "{}", said.out);
    for endpoint in ["http://127.0.0.1:1", "http://127.0.0.1:1/v1"] {
        let section = format!("[chat]\nendpoint = \"{endpoint}\"");
        let setup = Setup::before_url("http://127.0.0.1:1").chat();
        let file = written(&setup.section(&section).toml());
        let said = run(&["check", path(&file)]).await;
        let line = "the chat page calls http://127.0.0.1:1/v1/chat/completions\n";
        assert!(said.out.starts_with(line), "{endpoint}: {}", said.out);
    }
    let said = run(&["check", "/nowhere/at-all.toml"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("/nowhere/at-all.toml"), "{}", said.err);
    let file = written("[server\n");
    let said = run(&["check", path(&file)]).await;
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("line 1") && said.err.contains("not TOML"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn check_warns_of_an_address_that_ends_in_a_path_of_the_api() {
    for (base, mend) in [
        ("/v1", Some("http://127.0.0.1:1")),
        ("/api/", Some("http://127.0.0.1:1")),
        ("/ollama/v1", Some("http://127.0.0.1:1/ollama")),
        ("", None),
        ("/ollama", None),
        ("/v1/ollama", None),
    ] {
        let url = format!("http://127.0.0.1:1{base}");
        // By any name: what counts is whom the adapter is for.
        let setup = Setup::before_url(&url)
            .adapter("mine")
            .plugin("mine", "builtin:ollama", "")
            .plugin("auth", "builtin:auth", "config = { keys = [] }")
            .route("/*", r#"["auth"]"#, "");
        let file = written(&setup.toml());
        let said = run(&["check", path(&file)]).await;
        assert_eq!(said.code, Some(0), "{base}: {}", said.err);
        match mend {
            Some(mend) => {
                assert!(
                    said.err.contains("warning: upstream.ollama.targets[0]: "),
                    "{}",
                    said.err
                );
                assert!(
                    said.err.contains(&format!("write {mend:?}")),
                    "{}",
                    said.err
                );
            }
            None => assert_eq!(said.err, "", "{base}"),
        }
    }
}

#[tokio::test]
async fn check_never_prints_a_secret() {
    let setup = Setup::before_url("http://127.0.0.1:1")
        .plugin("auth", "builtin:auth", "config = { keys = [{ name = \"a\", key = \"sk-s3cret\" }, { name = \"b\", key = \"sk-s3cret\" }] }")
        .route("/*", r#"["auth"]"#, "");
    let file = written(&setup.toml());
    let said = run(&["check", path(&file)]).await;
    assert_eq!(said.code, Some(2), "two names for one key");
    assert!(
        !said.err.contains("s3cret") && !said.out.contains("s3cret"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn wit_prints_a_contract_that_parses() {
    let said = run(&["wit"]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve
        .push_source("contract.wit", &said.out)
        .expect("it parses");
    assert_eq!(
        resolve.packages[package].name.to_string(),
        "sluicegate:plugin@0.2.0-draft.1"
    );
    for world in ["gate-plugin", "filter-plugin", "observer-plugin"] {
        resolve
            .select_world(&[package], Some(world))
            .expect("the world is there");
    }
}

#[tokio::test]
async fn inspect_shows_what_a_plugin_says_of_itself() {
    let inspected = async |arguments: &[&str]| -> Value {
        let said = run(&[&["plugin", "inspect"], arguments].concat()).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        serde_json::from_str(&said.out).expect("JSON")
    };
    let gate = inspected(&[guest::GATE]).await;
    for (member, value) in [
        ("name", json!("guest-gate")),
        ("version", json!("1.2.3")),
        ("exports", json!(["gate"])),
        ("transforms", json!(false)),
    ] {
        assert_eq!(gate[member], value, "{member}");
    }
    let filter = inspected(&[guest::FILTER, "--config", "{}"]).await;
    assert_eq!(
        filter["exports"],
        json!(["request", "response", "chunks", "events"])
    );
    let observer = inspected(&["builtin:access-log"]).await;
    assert_eq!(observer["exports"], json!(["observer"]));
    let adapter = inspected(&["builtin:ollama"]).await;
    assert_eq!(adapter["adapter"]["vendor"], "ollama");

    let module = component::file(&component::of_text("(module)"));
    for (arguments, words) in [
        (&[name(module.path())][..], "core WebAssembly module"),
        (
            &[guest::GATE, "--config", "{\"configure\": \"refuse\"}"],
            "must refuse",
        ),
        (&[guest::GATE, "--config", "{\"colour\": 1}"], "colour"),
        (&[guest::GATE, "--config", "{"], "not JSON"),
    ] {
        let said = run(&[&["plugin", "inspect"], arguments].concat()).await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    for missing in ["builtin:nothing", "/nowhere/at-all.wasm"] {
        let said = run(&["plugin", "inspect", missing]).await;
        assert_ne!(said.code, Some(0), "{missing}");
        assert!(
            said.err.contains("nothing") || said.err.contains("/nowhere"),
            "{}",
            said.err
        );
    }
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

#[tokio::test]
async fn serve_serves_logs_and_ends_in_order_at_a_signal() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    for signal in ["TERM", "INT"] {
        let file = written(&Setup::before(&upstream).chat().toml());
        let mut served = Served::start(program(&["serve", "--config", path(&file)]));
        let (client, admin) = served.addresses().await;
        assert_eq!(admin.get("/livez").await.status, 200);
        let response = client
            .with("x-request-id", "from-outside")
            .chat(&question(false))
            .await;
        assert_eq!(response.status, 200);
        let access = served
            .line("the access log", |line| line["plugin"] == "access-log")
            .await;
        assert_eq!(
            (&access["req"], &access["status"]),
            (&json!("from-outside"), &json!(200))
        );
        served.signal(signal).await;
        served
            .line("the last line", |line| line["msg"] == "stopped")
            .await;
        assert_eq!(served.ended().await, Some(0));
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let setup = Setup::before(&upstream)
        .plugin("guest", guest::FILTER, "")
        .plugin("access-log", "builtin:access-log", "")
        .route("/*", r#"["guest"]"#, r#"observers = ["access-log"]"#);
    let file = written(&setup.toml());
    let mut served = Served::start(program(&["serve", "--config", path(&file)]));
    let (client, admin) = served.addresses().await;
    // From here on nobody reads. More lines than the pipe and the queue hold: the lines are long.
    let long = format!("/{}", "x".repeat(30_000));
    let series = "sluicegate_log_lines_dropped_total";
    let mut dropped = 0.0;
    while dropped == 0.0 {
        for _ in 0..20 {
            assert_eq!(client.get(&long).await.status, 200);
        }
        let metrics = admin.get("/metrics").await.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        dropped = line.expect("the counter").trim().parse().expect("a number");
    }
    assert_eq!(admin.get("/livez").await.status, 200);
    served.signal("TERM").await;
    assert_eq!(served.ended_unread().await, Some(0));
}

#[tokio::test]
async fn sighup_and_the_command_reload_read_the_configuration_again() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let setup = Setup::before(&upstream).server("reload = \"0s\"");
    let keyed = setup
        .clone()
        .chat_with(r#"{ name = "a", key = "sk-a" }"#, "");
    let token = |toml: String| toml.replace("[admin]\n", "[admin]\ntoken = \"secret\"\n");
    let open = token(setup.chat().toml());
    let keyed = token(keyed.toml());
    let file = written(&open);
    let mut served = Served::start(program(&["serve", "--config", path(&file)]));
    let (client, admin) = served.addresses().await;
    let status = async || client.chat(&question(false)).await.status;
    let in_force = |line: &Value| line["generation"] != Value::Null;
    assert_eq!(status().await, 200);
    std::fs::write(file.path(), &keyed).expect("written");
    assert_eq!(status().await, 200, "it reads the file on request only");
    served.signal("HUP").await;
    let line = served.line("the reload", in_force).await;
    assert_eq!(
        (&line["level"], &line["generation"]),
        (&json!("info"), &json!(2))
    );
    assert_eq!(status().await, 401);

    // The port was chosen by the system.
    let address = admin.address().to_string();
    let reload = async || {
        let mut command = program(&["reload", "--config", path(&file)]);
        command.env("SLUICEGATE_ADMIN_LISTEN", &address);
        let output = within("the end of the command", command.output()).await;
        let output = output.expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    std::fs::write(file.path(), &open).expect("written");
    let (code, out, err) = reload().await;
    assert_eq!(
        (code, out.trim()),
        (Some(0), "in force: generation 3"),
        "{err}"
    );
    assert_eq!(status().await, 200);
    // What only the gateway finds out: the plugin's file is not there.
    let broken = open.replace("builtin:aggregate", "/nowhere.wasm");
    std::fs::write(file.path(), broken).expect("written");
    let (code, _, err) = reload().await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("plugin.aggregate.source") && err.contains("generation 3"),
        "{err}"
    );
    assert_eq!(status().await, 200);
    // Whatever is wrong with the rest, `[admin]` says whom to ask.
    let (_, admin_section) = open.split_once("[admin]").expect("a section");
    let admin_section = admin_section.split("\n[").next().unwrap_or_default();
    let wrong = format!("[[listener]]\n[admin]{admin_section}\n");
    std::fs::write(file.path(), wrong).expect("written");
    let (code, _, err) = reload().await;
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("listener[0]") && err.contains("generation 3"),
        "{err}"
    );
    // What is wrong with that, the command finds out itself.
    std::fs::write(file.path(), "[admin]\nlisten = 7\n").expect("written");
    let (code, _, err) = reload().await;
    assert!(code == Some(2) && err.contains("--admin"), "{err}");
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
    std::fs::write(file.path(), &open).expect("written");
    let (code, _, err) = reload().await;
    assert_eq!(code, Some(1), "nobody listens there: {err}");
    assert!(err.contains("cannot be asked"), "{err}");
}

#[tokio::test]
async fn a_second_signal_cuts_what_the_first_one_waits_for() {
    let upstream = Upstream::always(
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("one")))
            .hang(),
    )
    .await;
    let setup = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .chat();
    let file = written(&setup.toml());
    let mut served = Served::start(program(&["serve", "-c", path(&file)]));
    let (client, _) = served.addresses().await;
    let mut stream = client.open_chat(&question(true)).await;
    assert_eq!(stream.text().await, "one");
    served.signal("TERM").await;
    served
        .line("the drain", |line| line["msg"] == "draining")
        .await;
    served.signal("TERM").await;
    let access = served
        .line("the access log", |line| line["plugin"] == "access-log")
        .await;
    assert_eq!(access["cancelled"], true);
    assert_eq!(served.ended().await, Some(0));
    assert_eq!(stream.event().await, None);
}

#[tokio::test]
async fn serve_without_a_file_takes_its_addresses_from_the_environment_and_starts_without_ollama() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    // Where the chat page's sessions are put.
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |ollama: String| {
        let mut command = program(&["serve"]);
        command
            .current_dir(&folder)
            .env("SLUICEGATE_LISTEN", "127.0.0.1:0")
            .env("SLUICEGATE_ADMIN_LISTEN", "127.0.0.1:0")
            .env("CLAWDBOT_PORT", "0")
            .env("OLLAMA_HOST", ollama);
        Served::start(command)
    };
    let mut served = serve(upstream.address().to_string());
    let (client, _) = served.addresses().await;
    assert_eq!(client.chat(&question(false)).await.status, 200);
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));

    let (_socket, closed) = sluicegate_tests::upstream::closed_port();
    let mut served = serve(closed.to_string());
    let line = served
        .line("the line about Ollama", |line| line["level"] == "warn")
        .await;
    assert!(
        line["target_address"]
            .as_str()
            .is_some_and(|target| target.contains(&closed.to_string())),
        "{line}"
    );
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
}

#[tokio::test]
async fn serve_with_a_wrong_file_starts_nothing_and_exits_with_2() {
    let file = written("[server]\ndrain-timeout = 1\nnonsense = true\n");
    let said = run(&["serve", "--config", path(&file)]).await;
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("line 2: server.drain-timeout")
            && said.err.contains("line 3: server.nonsense"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn demo_answers_with_a_simulated_ollama_and_says_so() {
    let file = written(&Setup::before_url("http://127.0.0.1:1").chat().toml());
    let mut served = Served::start(program(&["demo", "--config", path(&file)]));
    let (client, _) = served.addresses().await;
    let mut greeting = String::new();
    while !greeting.contains("Ctrl-C") {
        greeting += &served.text("the greeting").await;
    }
    assert!(
        greeting.contains("SIMULATED") && greeting.contains("curl"),
        "{greeting}"
    );
    let models = client.get("/v1/models").await.json();
    let ids: Vec<_> = models["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert!(
        ids.contains(&json!("demo")) && ids.contains(&json!("qwen3:32b")),
        "{ids:?}"
    );
    let body = json!({"model": "qwen3:32b", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]});
    let chat = client.chat(&body).await.streamed_chat();
    assert!(chat.done && !chat.content.is_empty());
    served.signal("INT").await;
    let err = served.complaints().await;
    assert_eq!((served.ended().await, err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn the_admin_interface_shows_the_chats_metrics_with_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", name(&folder.path().join("chat.db")));
    let chat = format!("[chat]\nlisten = \"127.0.0.1:0\"\nstore = {store:?}\n");
    let setup = Setup::before_url("http://127.0.0.1:1").chat();
    let file = written(&(setup.toml() + &chat));
    let mut served = Served::start(program(&["serve", "--config", path(&file)]));
    let (_, admin) = served.addresses().await;
    let chat = ready(&mut served).await;
    // The chat looks for its models, so that the gateway has something to count too.
    let of_both = eventually("the metrics of both", async || {
        let text = admin.get("/metrics").await.text();
        let both = [
            "\nsluicegate_chat_",
            "\nsluicegate_upstream_requests_total{",
        ];
        both.iter().all(|name| text.contains(name)).then_some(text)
    })
    .await;
    assert!(of_both.contains("\n# TYPE sluicegate_chat_runs_total counter\n"));
    assert!(of_both.contains("\nsluicegate_chat_runs_total{finish=\"stop\"} 0\n"));

    let open = |client: &Client| {
        client
            .clone()
            .with("accept", "application/openmetrics-text")
    };
    let of_both = open(&admin).get("/metrics").await;
    let alone = open(&chat).get("/metrics").await;
    let kind = of_both.header("content-type");
    assert_eq!(alone.header("content-type"), kind);
    let of_both = of_both.text();
    assert_eq!(of_both.matches("# EOF\n").count(), 1);
    assert!(of_both.ends_with("# EOF\n"));
    // As OpenMetrics has it: the suffix is on the counter's line and not in its head.
    assert!(of_both.contains("\n# TYPE sluicegate_chat_runs counter\n"));
    let alone = alone.text();
    assert!(alone.starts_with("# HELP sluicegate_chat_") && alone.ends_with("\n# EOF\n"));
    assert!(!alone.contains("sluicegate_upstream_"));
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
}

#[tokio::test]
async fn the_chat_alone_has_its_metrics_on_its_own_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = format!("sqlite:{}", name(&folder.path().join("chat.db")));
    let file = written(&format!(
        "[chat]\nlisten = \"127.0.0.1:0\"\nendpoint = \"http://127.0.0.1:1\"\nstore = {store:?}\n"
    ));
    let mut served = Served::start(program(&["chat", "--config", path(&file)]));
    let chat = ready(&mut served).await;
    let metrics = chat.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("\nsluicegate_chat_proxy_up 0\n"));
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
}

/// The web gateway of a program, once it is ready.
async fn ready(served: &mut Served) -> Client {
    let line = served
        .line("the line that the chat is ready", |line| {
            line["msg"] == "chat: the web gateway is ready"
        })
        .await;
    let address = line["address"].as_str().expect("an address");
    Client::new(address.parse().expect("an address"))
}
