//! Every mistake is found, and reported with its key.

use super::{keys, only, problems, with};

#[test]
fn a_wrong_url_of_the_state_is_not_repeated() {
    for url in [
        "redis:secret",
        "http://u:secret@h/",
        "redis://",
        "redis://u:secret@h /",
    ] {
        let problems = problems(&format!("[state]\nurl = {url:?}"));
        assert_eq!(problems.len(), 1, "{url}");
        assert_eq!(problems[0].key, "state.url");
        assert!(!format!("{problems:?}").contains("secret"), "{problems:?}");
    }
}

#[test]
fn wrong_servers_and_listeners_name_their_key() {
    for (more, key) in [
        ("[server]\ndrain-timeout = 30", "server.drain-timeout"),
        ("[server]\ndrain-timeout = \"0s\"", "server.drain-timeout"),
        ("[server]\nheartbeat = true", "server.heartbeat"),
        ("[swap]\nrollback = 60", "swap.rollback"),
        ("[swap]\nroll-back = \"1m\"", "swap.roll-back"),
        ("[swap]\ndrain = \"0s\"", "swap.drain"),
        ("[swap]\ndrain = 600", "swap.drain"),
        ("[swap]\nwait = \"10m\"", "swap.wait"),
        ("[swap.drain]\n", "swap.drain"),
        ("[server]\nlimits = 5", "server.limits"),
        ("[server.limits]\nevent = 100", "server.limits.event"),
        ("[server.limits]\nevent = \"0B\"", "server.limits.event"),
        ("[server.limits]\nevent = \"8M\"", "server.limits.event"),
        ("[server.limits]\nheaders = 0", "server.limits.headers"),
        ("[server.limits]\nheaders = -1", "server.limits.headers"),
        ("[server.limits]\nheaders = \"9\"", "server.limits.headers"),
        (
            "[server.limits]\nheader-bytes = \"8191B\"",
            "server.limits.header-bytes",
        ),
        (
            "[server]\ntrusted-proxies = \"10.0.0.0/8\"",
            "server.trusted-proxies",
        ),
        (
            "[server]\ntrusted-proxies = [\"10.0.0.1\", \"10.0.0.0/33\"]",
            "server.trusted-proxies[1]",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:1\"\nproxy-protocol = \"v2\"",
            "listener[1].proxy-protocol",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:1\"\nproxy-protocol = true",
            "listener[1].proxy-protocol",
        ),
        ("[log]\nformat = \"xml\"", "log.format"),
        ("[log]\nlevel = \"verbose\"", "log.level"),
        ("[log]\nlevel = \"info,a=b=c\"", "log.level"),
        ("[admin]", "admin"),
        ("[admin]\nlisten = \"9180\"", "admin.listen"),
        ("[admin]\nlisten = \"0.0.0.0:9180\"", "admin.listen"),
        (
            "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"\"",
            "admin.token",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = { x = 1 }",
            "admin.token",
        ),
        ("[[listener]]", "listener[1]"),
        ("[[listener]]\nlisten = 8081", "listener[1].listen"),
        (
            "[[listener]]\nlisten = \"127.0.0.1:8080\"",
            "listener[1].listen",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:1\"\nopen = 1",
            "listener[1].open",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:1\"\ntls = { cert = \"/dev/null\" }",
            "listener[1].tls",
        ),
        (
            "[[listener]]\nlisten = \"127.0.0.1:1\"\ntls = { cert = \"/no\", key = \"/dev/null\" }",
            "listener[1].tls.cert",
        ),
        ("[admin]\nlisten = \"127.0.0.1:8080\"", "admin.listen"),
        ("[chat]\nlisten = \"127.0.0.1:8080\"", "chat.listen"),
        ("[chat]\nendpoint = \"127.0.0.1\"", "chat.endpoint"),
        ("[chat]\nstore = \"redis:x\"", "chat.store"),
        ("[chat]\nstore = \"sqlite:\"", "chat.store"),
        ("[chat]\norphan-timeout = 15", "chat.orphan-timeout"),
        (
            "[chat]\ntrusted-proxies = [\"10.0.0.0/33\"]",
            "chat.trusted-proxies[0]",
        ),
        (
            "[chat]\ntrusted-proxies = [\"10.0.0.1\", \"proxy\"]",
            "chat.trusted-proxies[1]",
        ),
        ("[chat]\nlimits = 5", "chat.limits"),
        ("[chat.limits]\nqueue = 0", "chat.limits.queue"),
        ("[chat.limits]\nmessages = 5", "chat.limits.messages"),
        (
            "[chat.limits]\nsends-per-minute = 4294967296",
            "chat.limits.sends-per-minute",
        ),
        (
            "[chat.limits]\nmessage-chars = 250001",
            "chat.limits.message-chars",
        ),
        ("[chat.limits]\nanswer = 4096", "chat.limits.answer"),
        ("[chat.limits]\nanswer = \"9MiB\"", "chat.limits.answer"),
    ] {
        assert_eq!(keys(more), [key], "{more}");
    }
}

#[test]
fn all_that_is_wrong_with_the_chat_is_told_at_once() {
    let more = "[chat]\norphan-timeout = \"15\"\n[chat.limits]\nruns = \"2\"\nqueue = -1\nanswer = \"9MiB\"\n";
    let expected = [
        "chat.orphan-timeout",
        "chat.limits.runs",
        "chat.limits.queue",
        "chat.limits.answer",
    ];
    assert_eq!(keys(more), expected);
}

#[test]
fn wrong_upstreams_and_plugins_name_their_key() {
    for (more, key) in [
        ("[upstream.a]", "upstream.a"),
        ("[upstream.a]\ntargets = []", "upstream.a.targets"),
        ("[upstream.a]\ntargets = \"http://a\"", "upstream.a.targets"),
        ("[upstream.a]\ntargets = [5]", "upstream.a.targets[0]"),
        (
            "[upstream.a]\ntargets = [\"http://a\", \"http://A:80/\"]",
            "upstream.a.targets[1]",
        ),
        (
            "[upstream.a]\ntargets = [\"dns+http://10.0.0.1\"]",
            "upstream.a.targets[0]",
        ),
        (
            "[upstream.a]\ntargets = [\"dns+https://[::1]:8000\"]",
            "upstream.a.targets[0]",
        ),
        (
            "[upstream.a]\ntargets = [\"dns+a:8000\"]",
            "upstream.a.targets[0]",
        ),
        (
            "[upstream.a]\ntargets = [\"dns+http://a\", \"dns+http://A:80/\"]",
            "upstream.a.targets[1]",
        ),
        ("[chat]\nendpoint = \"dns+http://a\"", "chat.endpoint"),
        ("[upstream.A]\ntargets = [\"http://a\"]", "upstream.A"),
        (
            "[upstream.\"a b\"]\ntargets = [\"http://a\"]",
            "upstream.\"a b\"",
        ),
        ("[upstream]\na = 5", "upstream.a"),
        (
            "[upstream.a]\ntargets = [\"http://a\"]\nhealth = {}",
            "upstream.a.health",
        ),
        (
            "[upstream.a]\ntargets = [\"http://a\"]\nhealth = { path = \"x\" }",
            "upstream.a.health.path",
        ),
        (
            "[upstream.a]\ntargets = [\"http://a\"]\ntimeout = { idle = \"1d\" }",
            "upstream.a.timeout.idle",
        ),
        ("[plugin.b]", "plugin.b"),
        ("[plugin]\nb = \"builtin:auth\"", "plugin.b"),
        ("[plugin.b]\nsource = \"auth\"", "plugin.b.source"),
        ("[plugin.b]\nsource = \"\"", "plugin.b.source"),
        (
            "[plugin.b]\nsource = \"https://a/b.wasm\"",
            "plugin.b.source",
        ),
        ("[plugin.b]\nsource = \"builtin:zzzzzz\"", "plugin.b.source"),
        (
            "[plugin.b]\nsource = \"b.wasm\"\non-fault = \"ajar\"",
            "plugin.b.on-fault",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\nlimits = { cpu = \"0ms\" }",
            "plugin.b.limits.cpu",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\nlimits = { memory = \"1GiB\" }",
            "plugin.b.limits.memory",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\ngrants = [\"kv\"]",
            "plugin.b.grants[0]",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\nconfig = 5",
            "plugin.b.config",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\nconfig = { a = [nan] }",
            "plugin.b.config.a[0]",
        ),
        (
            "[plugin.b]\nsource = \"b.wasm\"\nconfig = { a = 99999999999999999999 }",
            "plugin.b.config.a",
        ),
        ("[other]", "other"),
        ("\"\" = 5", "route[0].\"\""),
    ] {
        assert_eq!(keys(more), [key], "{more}");
    }
}

#[test]
fn wrong_words_about_failures_and_load_name_their_key() {
    for (line, key) in [
        ("attempts = { budget = 20 }", "attempts.budget"),
        ("attempts = { budget = \"20\" }", "attempts.budget"),
        ("breaker = { failures = 0 }", "breaker.failures"),
        ("breaker = { rate = \"0%\" }", "breaker.rate"),
        ("breaker = { rate = \"101%\" }", "breaker.rate"),
        ("breaker = { open = 10 }", "breaker.open"),
        ("breaker = { for = \"1s\" }", "breaker.for"),
        ("slow-start = 10", "slow-start"),
        ("max-in-flight = 0", "max-in-flight"),
        ("queue = { size = 5 }", "queue"),
        ("max-in-flight = 1\nqueue = { size = -1 }", "queue.size"),
        (
            "max-in-flight = 1\nqueue = { timeout = \"0s\" }",
            "queue.timeout",
        ),
        ("affinity = \"address\"", "affinity"),
        ("affinity = 5", "affinity"),
        ("affinity = {}", "affinity"),
        (
            "affinity = { header = \"a\", prompt = \"1KiB\" }",
            "affinity",
        ),
        ("affinity = { header = \"a b\" }", "affinity.header"),
        ("affinity = { prompt = \"65KiB\" }", "affinity.prompt"),
        (
            "affinity = { cookie = \"a\", header = \"a\" }",
            "affinity.cookie",
        ),
    ] {
        let more = format!("[upstream.a]\ntargets = [\"http://a\"]\n{line}");
        assert_eq!(keys(&more), [format!("upstream.a.{key}")], "{line}");
    }
}

#[test]
fn wrong_policies_for_clients_that_leave_name_their_key() {
    for (policy, key) in [
        ("\"keep\"", "on-disconnect"),
        ("5", "on-disconnect"),
        ("{}", "on-disconnect"),
        (
            "{ drain-for-usage = true }",
            "on-disconnect.drain-for-usage",
        ),
        (
            "{ drain-for-usage = { timeout = \"0s\" } }",
            "on-disconnect.drain-for-usage.timeout",
        ),
        (
            "{ drain-for-usage = { max = 0 } }",
            "on-disconnect.drain-for-usage.max",
        ),
        (
            "{ drain-for-usage = { most = 1 } }",
            "on-disconnect.drain-for-usage.most",
        ),
        (
            "{ cancel = {}, drain-for-usage = {} }",
            "on-disconnect.cancel",
        ),
    ] {
        let more = format!("on-disconnect = {policy}");
        assert_eq!(keys(&more), [format!("route[0].{key}")], "{policy}");
    }
}

#[test]
fn wrong_grants_name_their_key() {
    for (grant, key) in [
        ("true", ""),
        ("{ files = true }", ".files"),
        ("{ kv = 5 }", ".kv"),
        ("{ kv = { keys = 0 } }", ".kv.keys"),
        ("{ kv = { size = 5 } }", ".kv.size"),
        ("{ rate = { subjects = \"x\" } }", ".rate.subjects"),
        ("{ metrics = { names = 5 } }", ".metrics"),
        ("{ http = true }", ".http"),
        ("{ http = [] }", ".http"),
        (
            "{ http = [\"https://a.example\", \"idp.example\"] }",
            ".http[1]",
        ),
        ("{ http = [\"https://a.example/token\"] }", ".http[0]"),
        ("{ http = { networks = [] } }", ".http"),
        (
            "{ http = { origins = [\"http://a.example\"], networks = [\"ten\"] } }",
            ".http.networks[0]",
        ),
    ] {
        let more = format!("[plugin.b]\nsource = \"b.wasm\"\ngrant = {grant}");
        assert_eq!(keys(&more), [format!("plugin.b.grant{key}")], "{more}");
    }
}

#[test]
fn wrong_routes_name_their_key() {
    for (line, other, key) in [
        ("path = \"/v1/*\"", "", "route[0]"),
        ("path = \"/v1/*\"", "path = \"v1\"", "route[0].path"),
        ("path = \"/v1/*\"", "path = \"/v1*\"", "route[0].path"),
        ("path = \"/v1/*\"", "path = \"/*/models\"", "route[0].path"),
        ("path = \"/v1/*\"", "path = \"/v1?x\"", "route[0].path"),
        ("path = \"/v1/*\"", "path = \"/ä\"", "route[0].path"),
        (
            "pipeline = [\"ollama\"]",
            "pipeline = []",
            "route[0].pipeline",
        ),
        ("pipeline = [\"ollama\"]", "", "route[0]"),
        (
            "pipeline = [\"ollama\"]",
            "pipeline = \"ollama\"",
            "route[0].pipeline",
        ),
        (
            "pipeline = [\"ollama\"]",
            "pipeline = [\"ollama\", \"ollama\"]",
            "route[0].pipeline[1]",
        ),
        (
            "pipeline = [\"ollama\"]",
            "pipeline = [\"ollama\"]\nobservers = [\"x\"]",
            "route[0].observers[0]",
        ),
        (
            "upstream = \"ollama\"",
            "upstream = \"olama\"",
            "route[0].upstream",
        ),
        ("upstream = \"ollama\"", "", "route[0]"),
        (
            "upstream = \"ollama\"",
            "upstream = \"ollama\"\nmethods = [\"post\"]",
            "route[0].methods[0]",
        ),
        (
            "upstream = \"ollama\"",
            "upstream = \"ollama\"\nmethods = [\"GET\", \"P T\"]",
            "route[0].methods[1]",
        ),
        (
            "upstream = \"ollama\"",
            "upstream = \"ollama\"\nmethods = [\"GET\", \"GET\"]",
            "route[0].methods[1]",
        ),
        (
            "upstream = \"ollama\"",
            "upstream = \"ollama\"\nmethods = []",
            "route[0].methods",
        ),
        ("[[route]]", "[route]", "route"),
        ("[[listener]]", "[listener]", "listener"),
    ] {
        assert_eq!(only(&with(line, other)).key, key, "{other}");
    }
}

#[test]
fn suggestion_comes_with_a_slip_and_the_known_names_without() {
    let mend = |more: &str| problems(more).remove(0).mend;
    assert_eq!(mend("[sever]"), "did you mean `server`?");
    assert_eq!(mend("[[listeners]]"), "did you mean `listener`?");
    assert_eq!(mend("[log]\nlevel = \"wran\""), "did you mean `warn`?");
    assert_eq!(
        mend("[log]\nxyz = 1"),
        "remove it; known keys: format, level"
    );
    let route = with("pipeline = [\"ollama\"]", "pipeline = [\"olama\"]");
    assert!(only(&route).mend.contains("`ollama`"));
    let method = with("[[route]]", "[[route]]\nmethods = [\"post\"]");
    assert_eq!(only(&method).mend, "write \"POST\"");
}

#[test]
fn wrong_models_name_their_key() {
    for (more, key) in [
        ("[[model]]\nupstream = \"ollama\"", "model[0]"),
        (
            "[[model]]\nname = \"\"\nupstream = \"ollama\"",
            "model[0].name",
        ),
        ("[[model]]\nname = \"a\"", "model[0]"),
        (
            "[[model]]\nname = \"a\"\nupstream = \"olama\"",
            "model[0].upstream",
        ),
        (
            "[[model]]\nname = \"a\"\nupstream = \"ollama\"\nas = \"b*\"",
            "model[0].as",
        ),
        (
            "[[model]]\nname = \"a\"\nupstream = \"ollama\"\nfallback = [{ as = \"b\" }]",
            "model[0].fallback[0]",
        ),
        (
            "[[model]]\nname = \"a\"\nupstream = \"ollama\"\nfallback = [{ upstream = \"ollama\" }]",
            "model[0]",
        ),
        (
            "[[model]]\nname = \"a\"\nupstream = \"ollama\"\n[[model]]\nname = \"a\"\nupstream = \"ollama\"",
            "model[1]",
        ),
        ("[model]\nname = \"a\"", "model"),
        (
            "[[model]]\nname = \"a\"\nupstream = \"ollama\"\nalias = \"b\"",
            "model[0].alias",
        ),
    ] {
        assert_eq!(keys(more), [key], "{more}");
    }
}
