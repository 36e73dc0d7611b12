//! The environment wins over the file.

use serde_json::json;

use super::super::LogFormat;
use super::{ADAPTED, SMALL, guarded, read_with, with};

#[test]
fn the_url_of_the_state_can_be_a_secret_and_does_not_print() {
    let text = format!("{SMALL}[state]\nurl = {{ env = \"REDIS_URL\" }}\n");
    let url = "rediss://u:secret@redis.example:6380/1";
    let config = read_with(&text, &[("REDIS_URL", url)]).expect("right");
    let shared = config.folders.shared.as_ref().expect("a URL");
    assert_eq!(shared.expose(), url);
    assert!(!format!("{config:?}").contains("secret@"));
}

#[test]
fn environment_wins_over_the_file() {
    let text = format!(
        "{}[admin]\nlisten = \"127.0.0.1:2\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n\
         [chat]\nlisten = \"127.0.0.1:3\"\nendpoint = \"http://127.0.0.1:1\"\n",
        guarded("127.0.0.1:1", "") + ADAPTED
    );
    let config = read_with(
        &text,
        &[
            ("OLLAMA_HOST", "gpu:1234"),
            ("SLUICEGATE_LISTEN", "0.0.0.0:11"),
            ("SLUICEGATE_ADMIN_LISTEN", "127.0.0.1:12"),
            ("SLUICEGATE_LOG", "debug"),
            ("SLUICEGATE_LOG_FORMAT", "text"),
            ("SLUICEGATE_API_KEY", "sk-env"),
            ("CLAWDBOT_PORT", "13"),
            ("CLAWDBOT_MODEL_ENDPOINT", "http://proxy:8080/"),
        ],
    );
    let config = config.expect("right");
    assert_eq!(config.upstreams["second"].targets[0].authority, "gpu:1234");
    let other = &config.upstreams["ollama"].targets[0];
    assert_eq!(other.authority, "127.0.0.1:11434");
    assert_eq!(config.listeners[0].listen.to_string(), "0.0.0.0:11");
    assert_eq!(config.admin.expect("on").listen.port(), 12);
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.log.format, LogFormat::Text);
    let auth = &config.plugins["auth"];
    assert!(auth.secrets.contains("/keys/0/key"));
    let keys = json!([{ "name": "default", "key": "sk-env" }]);
    assert_eq!(auth.config["keys"], keys);
    let chat = config.chat.expect("on");
    assert_eq!(chat.listen.to_string(), "127.0.0.1:13");
    assert_eq!(chat.endpoint.as_deref(), Some("http://proxy:8080"));
    assert_eq!(config.warnings, []);
}

#[test]
fn environment_makes_a_listener_and_the_admin_api() {
    let text = with("[[listener]]\nlisten = \"127.0.0.1:8080\"", "");
    let variables = [
        ("SLUICEGATE_LISTEN", "127.0.0.1:1"),
        ("SLUICEGATE_ADMIN_LISTEN", "localhost:2"),
    ];
    let config = read_with(&text, &variables).expect("right");
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.admin.expect("on").listen.port(), 2);
    let config = read_with(SMALL, &[("CLAWDBOT_PORT", "13")]).expect("right");
    assert_eq!(config.chat, None, "a variable alone does not switch it on");
}

#[test]
fn ollama_host_is_for_one_upstream_only() {
    let two = format!("{SMALL}{ADAPTED}{}", ADAPTED.replace("second", "third"));
    let all = read_with(&two, &[("OLLAMA_HOST", "gpu")])
        .expect_err("two")
        .0;
    assert_eq!((all.len(), all[0].key.as_str()), (1, "OLLAMA_HOST"));
    assert!(all[0].message.contains("more than one"), "{}", all[0]);
}

#[test]
fn wrong_variable_is_a_problem_with_its_name() {
    let text = format!("{SMALL}{ADAPTED}[chat]\n");
    for (name, value) in [
        ("OLLAMA_HOST", "ssh://gpu"),
        ("SLUICEGATE_LISTEN", "8080"),
        ("SLUICEGATE_ADMIN_LISTEN", "0.0.0.0:1"),
        ("SLUICEGATE_LOG", "loud"),
        ("SLUICEGATE_LOG_FORMAT", "xml"),
        ("SLUICEGATE_API_KEY", "sk-nobody-takes-it"),
        ("CLAWDBOT_PORT", "http"),
        ("CLAWDBOT_MODEL_ENDPOINT", "proxy"),
    ] {
        let all = read_with(&text, &[(name, value)]).expect_err(name).0;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].key.as_str(), all[0].line), (name, None));
        assert!(!all[0].to_string().contains("sk-"));
    }
}

#[test]
fn the_cache_is_where_the_file_or_else_the_environment_says() {
    let all = [
        ("CACHE_DIRECTORY", "/var/cache/gate:/var/cache/more"),
        ("XDG_CACHE_HOME", "/home/ann/cached"),
        ("HOME", "/home/ann"),
    ];
    let folder = |text: &str, variables: &[(&str, &str)]| {
        let config = read_with(&format!("{SMALL}{text}"), variables).expect("right");
        config.folders.cache.map(|path| path.display().to_string())
    };
    let cases = [
        (&all[..], Some("/var/cache/gate/plugins")),
        (&all[1..], Some("/home/ann/cached/sluicegate")),
        (&all[2..], Some("/home/ann/.cache/sluicegate")),
        (&[], None),
        (&[("XDG_CACHE_HOME", "relative")], None),
        (&[("HOME", "relative")], None),
    ];
    for (variables, expected) in cases {
        assert_eq!(folder("", variables).as_deref(), expected, "{variables:?}");
        let off = folder("[plugins]\ncache = \"\"\n", variables);
        assert_eq!(off, None, "{variables:?}");
        let named = folder("[plugins]\ncache = \"/compiled\"\n", variables);
        assert_eq!(named.as_deref(), Some("/compiled"), "{variables:?}");
    }
    let wrong = read_with(
        &format!("{SMALL}[plugins]\ncache = true\ncaches = 1\n"),
        &[],
    );
    let keys: Vec<_> = wrong
        .expect_err("wrong")
        .0
        .into_iter()
        .map(|it| it.key)
        .collect();
    assert_eq!(keys, ["plugins.cache", "plugins.caches"]);
}
