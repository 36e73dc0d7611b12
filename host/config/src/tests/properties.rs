//! Invariants for any file and any environment: no panic, a fix for each problem, and no secret shown.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::super::{Config, DEFAULT, Problem, Problems, Target, ollama, parse};

/// A secret that no other text contains by chance.
const SECRET: &str = "Xq7-hidden-9Zk";

/// Headings, right or wrong.
const HEADINGS: &[&str] = &[
    "[server]",
    "[server.limits]",
    "[swap]",
    "[log]",
    "[admin]",
    "[[listener]]",
    "[upstream.ollama]",
    "[upstream.other]",
    "[upstream.\"ü b\"]",
    "[plugin.auth]",
    "[plugin.ollama]",
    "[plugin.\"\"]",
    "[[route]]",
    "[[route]] # another",
    "[chat]",
    "[chat.limits]",
    "[nothing.\"of\\nthis\"]",
];

/// Keys with values that some section accepts, or nearly.
const KEYS: &[(&str, &[&str])] = &[
    ("drain-timeout", &["\"30s\"", "\"0s\"", "\"8761h\""]),
    ("heartbeat", &["\"0s\"", "\"1 m\""]),
    ("drain", &["\"10m\"", "\"0s\"", "600"]),
    ("request-body", &["\"1MiB\"", "\"99999999999GiB\""]),
    ("headers", &["100", "0x10", "-1", "9223372036854775807"]),
    ("header-bytes", &["\"8KiB\"", "\"8191B\""]),
    ("level", &["\"info\"", "\"info,a=b=c\"", "\"verbose\""]),
    ("format", &["\"json\"", "\"xml\""]),
    (
        "listen",
        &[
            "\"127.0.0.1:8080\"",
            "\"0.0.0.0:0\"",
            "\"[::]:8080\"",
            "\"localhost:x\"",
        ],
    ),
    (
        "token",
        &["\"t\"", "{ env = \"NOT_SET\" }", "{ file = \"/no/file\" }"],
    ),
    ("open", &["true", "\"yes\""]),
    (
        "tls",
        &[
            "{ cert = \"/no/cert\", key = \"/no/key\" }",
            "{ cert = 5 }",
            "{}",
        ],
    ),
    (
        "targets",
        &[
            "[\"http://127.0.0.1:11434\"]",
            "[\"https://[::1]:0/%\", 5, \"ftp://x\", \"http://a\", \"http://a/\"]",
        ],
    ),
    (
        "health",
        &[
            "{ path = \"/\" }",
            "{ path = \"x\", interval = \"0s\" }",
            "{ interval = 5 }",
        ],
    ),
    (
        "timeout",
        &[
            "{ connect = \"2s\", total = \"0s\" }",
            "{ idle = 0x7fffffffffffffff }",
        ],
    ),
    (
        "source",
        &[
            "\"builtin:auth\"",
            "\"builtin:ollama\"",
            "\"builtin:nobody\"",
            "\"auth\"",
            "\"a.wasm\"",
        ],
    ),
    ("on-fault", &["\"open\"", "\"ajar\""]),
    (
        "limits",
        &[
            "{ memory = \"257MiB\", cpu = \"20 ms\" }",
            "{ output = \"1MiB\", headers = 7 }",
        ],
    ),
    ("grants", &["[]", "[\"http\", 5]"]),
    (
        "grant",
        &[
            "{ kv = true, rate = { subjects = 5 }, metrics = true }",
            "{ http = { origins = [\"https://a\"], networks = [\"10.0.0.0/8\"] } }",
            "{ http = [\"https://a/b\", 5], kv = { keys = 0 } }",
        ],
    ),
    (
        "config",
        &[
            "{ keys = [{ name = \"a\", key = \"k\" }] }",
            "{ keys = [{ name = \"a\", key = { env = \"NOT_SET\" } }] }",
            "{ keys = { key = [[]] } }",
            "{ n = nan, i = 0xffffffffffffffff, d = 1979-05-27, f = 1e999 }",
        ],
    ),
    (
        "path",
        &["\"/v1/*\"", "\"/v1/models\"", "\"v1\"", "\"/*/x\""],
    ),
    ("methods", &["[\"GET\", \"POST\"]", "[\"get\", \"\", 5]"]),
    (
        "pipeline",
        &["[\"auth\", \"ollama\"]", "[\"auth\", \"auth\", \"nobody\"]"],
    ),
    ("observers", &["[\"auth\"]", "\"access-log\""]),
    ("upstream", &["\"ollama\"", "\"other\"", "\"\""]),
    ("store", &["\"sqlite:a.db\"", "\"postgres://x\""]),
    ("endpoint", &["\"http://127.0.0.1:8080\"", "\"127.0.0.1\""]),
    (
        "users",
        &[
            "[{ name = \"ann\", token = \"t\" }]",
            "[{ name = \"ann\" }, { token = 5 }]",
        ],
    ),
    ("origins", &["[\"https://a.example\"]", "[5]"]),
    ("message-chars", &["5", "250001"]),
    ("answer", &["\"4MiB\"", "\"9MiB\""]),
    ("sends-per-minute", &["20", "4294967296"]),
    ("lsiten", &["1"]),
    ("\"a\\tb.c\"", &["1"]),
];

/// Values of all types.
const VALUES: &[&str] = &[
    "5",
    "true",
    "1.5",
    "\"\"",
    "\"x\"",
    "[]",
    "[[\"x\"]]",
    "{}",
    "{ a = 1 }",
    "1979-05-27T07:32:00Z",
    "'\u{e4}'",
];

/// A key and a value.
fn entry() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(KEYS).prop_flat_map(|(key, values)| {
        let value =
            prop_oneof![4 => prop::sample::select(values), 1 => prop::sample::select(VALUES)];
        (Just(key), value)
    })
}

/// A heading with entries below it, each with a different key.
fn section(heading: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(entry(), 0..8).prop_map(move |entries| {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let lines = entries
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        format!("{heading}\n{}", lines.collect::<String>())
    })
}

/// Files that are TOML, for the most part, and look like a configuration.
fn any_file() -> impl Strategy<Value = String> {
    let sections = prop::sample::subsequence(HEADINGS, 0..HEADINGS.len())
        .prop_flat_map(|headings| headings.into_iter().map(section).collect::<Vec<_>>());
    let junk = prop_oneof![
        6 => Just(String::new()),
        1 => "\\PC{0,20}",
        1 => "[a-z.\\[\\]{}\"'=,0-9 #-]{0,30}",
    ];
    (sections, junk).prop_map(|(sections, junk)| format!("{}{junk}", sections.concat()))
}

/// The default file with one place changed, and some of its lines removed, doubled or replaced.
fn changed_default() -> impl Strategy<Value = String> {
    let count = DEFAULT.lines().count();
    let junk = (
        0..DEFAULT.len(),
        0_usize..40,
        "[\\[\\]{}=\",.:*/ a-z0-9\n\u{e4}-]{0,20}",
    );
    let changes = prop::collection::vec((0..count, 0_u8..6, entry()), 0..6);
    (changes, prop::option::weighted(0.2, junk)).prop_map(|(changes, junk)| {
        let mut lines: Vec<String> = DEFAULT.lines().map(str::to_owned).collect();
        for (at, how, (key, value)) in changes {
            let at = at.min(lines.len() - 1);
            let own = lines[at]
                .split_once('=')
                .map(|(own, _)| own.trim_start_matches(['#', ' ']).to_owned());
            match (how, own) {
                (0, _) => lines[at].clear(),
                (1, _) => lines.insert(at, lines[at].clone()),
                (2, _) => lines[at] = format!("{key} = {value}"),
                // The key of that line, perhaps from a comment, with the value of another key.
                (_, Some(own)) => lines[at] = format!("{own} = {value}"),
                (_, None) => {}
            }
        }
        let text = lines.join("\n");
        let Some((at, length, junk)) = junk else {
            return text;
        };
        let at = text.floor_char_boundary(at);
        let end = text.floor_char_boundary(at + length);
        [&text[..at], &junk, &text[end..]].concat()
    })
}

/// Values for a place that holds a secret: right ones, and mistakes.
fn secret() -> impl Strategy<Value = String> {
    let forms: &[&str] = &[
        "\"S\"",
        "{ env = \"SET\" }",
        "{ env = \"SET\", file = \"x\" }",
        "{ value = \"S\" }",
        "[\"S\"]",
        "[[\"S\"]]",
        "{ env = [\"S\"] }",
        "'S'",
        "\"\"\"S\"\"\"",
        "\"S",
        "S",
        "\"\\S\"",
    ];
    prop::sample::select(forms).prop_map(|form| {
        form.replace('S', SECRET)
            .replace(&format!("{SECRET}ET"), "SET")
    })
}

/// A user name and a password for an address, as somebody may paste them; the password must not be shown.
fn credentials() -> impl Strategy<Value = String> {
    ("[a-z]{0,3}[:/?#@!\\[\\]]{0,2}", "[:/?#@!\\[\\]]?")
        .prop_map(|(user, before)| format!("{user}:{before}{SECRET}"))
}

fn shown(result: &Result<Config, Problems>) -> String {
    match result {
        Ok(config) => format!("{config:?} {:?}", config.warnings),
        Err(problems) => format!("{problems} {problems:?}"),
    }
}

/// Checks that a problem says where it is, what is wrong and what to do.
fn check(problem: &Problem, text: &str) -> Result<(), TestCaseError> {
    prop_assert!(
        !problem.message.is_empty() && !problem.mend.is_empty(),
        "{problem:?}"
    );
    let lines = text.split('\n').count();
    prop_assert!(
        problem.line.is_none_or(|line| (1..=lines).contains(&line)),
        "{problem:?}"
    );
    // A problem of the whole file has no key: its syntax, or that it configures nothing.
    let whole = problem.message.starts_with("not TOML")
        || problem.message == "nothing listens"
        || problem.message.starts_with("there is no route");
    prop_assert!(whole || !problem.key.is_empty(), "{problem:?}");
    let display = problem.to_string();
    prop_assert!(display.contains(&problem.message) && display.contains(&problem.mend));
    Ok(())
}

fn check_all(text: &str, variable: Option<&str>) -> Result<(), TestCaseError> {
    let result = parse(text, Path::new(""), &|_| variable.map(str::to_owned));
    let (problems, warnings) = match &result {
        Ok(config) => (&[][..], &config.warnings[..]),
        Err(Problems(problems)) => {
            prop_assert!(!problems.is_empty());
            (&problems[..], &[][..])
        }
    };
    for problem in problems.iter().chain(warnings) {
        check(problem, text)?;
    }
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| (problem.line.is_none(), problem.line))
        .collect();
    prop_assert!(lines.is_sorted(), "not in the order of the file: {lines:?}");
    let _ = shown(&result);
    Ok(())
}

proptest! {
    #[test]
    fn any_lines_are_a_configuration_or_problems(text in any_file(), variable in prop::option::of("[\\[\\]:/.a-z0-9 ]{0,20}")) {
        check_all(&text, variable.as_deref())?;
    }

    #[test]
    fn a_changed_default_is_a_configuration_or_problems(
        text in changed_default(),
        variable in prop::option::of("[\\[\\]:/.a-z0-9 ]{0,20}"),
    ) {
        check_all(&text, variable.as_deref())?;
    }

    #[test]
    fn a_secret_is_never_shown(
        admin in secret(),
        key in secret(),
        chat in secret(),
        user in secret(),
        more in prop::option::of(entry()),
    ) {
        let text = DEFAULT
            .replace("\n[[listener]]", &format!("\ntoken = {admin}\n[[listener]]"))
            .replace("keys = []", &format!("keys = [{{ name = \"a\", key = {key} }}]"))
            .replace("\nstore = ", &format!("\nkey = {chat}\nusers = [{{ name = \"ann\", token = {user} }}]\nstore = "));
        let more = more.map(|(key, value)| format!("{key} = {value}"));
        let text = format!("{}\n{text}", more.unwrap_or_default());
        prop_assert!(text.contains("token = ") && text.contains("key = "));
        let env = |name: &str| matches!(name, "SET" | "SLUICEGATE_API_KEY").then(|| SECRET.to_owned());
        let shown = shown(&parse(&text, Path::new(""), &env));
        prop_assert!(!shown.contains(SECRET), "{shown}");
    }

    #[test]
    fn a_password_in_an_address_is_never_shown(credentials in credentials(), scheme in prop::sample::select(vec!["http", "https", ""])) {
        let address = format!("{scheme}://{credentials}@host:1/x");
        let text = DEFAULT
            .replace("\"http://127.0.0.1:11434\"", &format!("{address:?}"))
            .replace("\nstore = ", &format!("\nendpoint = {address:?}\nstore = "));
        prop_assert!(text.contains(SECRET));
        let result = parse(&text, Path::new(""), &|_| None);
        prop_assert!(!shown(&result).contains(SECRET), "{}", shown(&result));
        let env = |name: &str| (name == "OLLAMA_HOST").then(|| address.clone());
        let result = parse(DEFAULT, Path::new(""), &env);
        prop_assert!(!shown(&result).contains(SECRET), "{}", shown(&result));
    }

    /// An address is checked once, and not again for each request.
    #[test]
    fn an_address_that_is_taken_can_be_asked(
        scheme in prop::sample::select(vec!["http://", "https://", ""]),
        rest in "[a-z0-9.:\\[\\]/?#%<>\"^`{|}~!$&'()*+,;= \u{e4}-]{0,20}",
    ) {
        let address = format!("{scheme}{rest}");
        for target in [Target::parse(&address), ollama::parse(&address)].into_iter().flatten() {
            let uri = format!("{}/v1/models?x=1", target.base);
            prop_assert_eq!(uri.parse::<hyper::Uri>()?.to_string(), uri);
            hyper::header::HeaderValue::from_str(&target.authority)?;
            prop_assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
    }
}
