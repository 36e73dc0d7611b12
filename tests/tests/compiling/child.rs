//! Compiling in a child process: the same outcome as in this one, within limits, and an error that one can act on for every way
//! in which the child can fail.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_plugin_host::compile::child::{self, Child, Limits};
use sluicegate_plugin_host::compile::{Compiler, InProcess};
use sluicegate_plugin_host::load::Error;
use sluicegate_tests::component::{Handmade, of_text};
use sluicegate_tests::served::{Served, program};
use sluicegate_tests::{Setup, eventually, guest, within};

use crate::common::{MEASURED, configured, load_unguarded, loaded, read};

/// The program, built from its own source by this package.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-tested");

/// The command of the program that compiles.
const COMMAND: &str = "compile-plugin";

fn limited(limits: Limits) -> Arc<dyn Compiler> {
    Arc::new(Child::new(PROGRAM, [COMMAND], limits))
}

fn usual() -> Arc<dyn Compiler> {
    limited(Limits::default())
}

/// A child that is a line of shell.
fn shell(line: &str, limits: Limits) -> Arc<dyn Compiler> {
    Arc::new(Child::new("/bin/sh", ["-c", line], limits))
}

/// How a compiler fails with a plugin that is right.
async fn failure(compiler: &Arc<dyn Compiler>, bytes: &[u8], config: Value) -> child::Error {
    match loaded(compiler, bytes, &configured(config)).await {
        Ok(_) => panic!("it is loaded"),
        Err(Error::Compiler(error)) => error,
        Err(other) => panic!("{other:?}"),
    }
}

/// A gate with a thousand functions, each so intricate that it takes long to compile; small for what a component may be.
fn costly() -> Vec<u8> {
    let mut functions = String::new();
    for n in 0..1_000 {
        let _ = write!(
            functions,
            "(func (export \"f{n}\") (param i32 i32) (result i32)"
        );
        for _ in 0..200 {
            functions.push_str(
                "(block (loop (br_if 1 (i32.eqz (local.get 0))) \
                 (local.set 0 (i32.add (i32.mul (local.get 1) (local.get 0)) (i32.load (local.get 1)))) \
                 (i32.store (local.get 0) (i32.xor (local.get 1) (i32.div_u (local.get 0) (local.get 1)))) (br 0)))",
            );
        }
        functions.push_str("(local.get 0))");
    }
    gate_with(&functions)
}

/// A gate that also has these functions.
fn gate_with(functions: &str) -> Vec<u8> {
    let gate = Handmade::default().world("include gate-plugin;", functions);
    read(gate.file().path())
}

/// A gate with one function for which the compiler needs much memory: each of its loops merges each of its variables.
fn hungry() -> Vec<u8> {
    const VARIABLES: usize = 20_000;
    const LOOPS: usize = 200;
    let mut function = String::from("(func (export \"f\") (param i32) (result i32)");
    function.push_str(&format!("(local {})", "i32 ".repeat(VARIABLES)));
    function.push_str(&"(loop ".repeat(LOOPS));
    for n in 1..=VARIABLES {
        let _ = write!(
            function,
            "(local.set {n} (i32.add (local.get {n}) (local.get 0)))"
        );
    }
    for _ in 0..LOOPS {
        function.push_str("(br_if 0 (local.get 0)))");
    }
    for n in 1..=VARIABLES {
        let _ = write!(
            function,
            "(local.set 0 (i32.xor (local.get 0) (local.get {n})))"
        );
    }
    function.push_str("(local.get 0))");
    gate_with(&function)
}

/// The resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// How many threads this process has, but for those of other tests, which are called after them.
fn threads() -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("there is one");
    let names = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| !name.contains("::")).count()
}

#[tokio::test]
async fn a_plugin_from_a_child_is_the_same_as_one_from_here() {
    for path in [guest::GATE, guest::FILTER, guest::OBSERVER, guest::LIBRARY] {
        let bytes = read(path);
        let plain = configured(json!({}));
        let theirs = loaded(&usual(), &bytes, &plain).await.expect("right");
        let here: Arc<dyn Compiler> = Arc::new(InProcess);
        let ours = loaded(&here, &bytes, &plain).await.expect("right");
        assert_eq!(theirs.manifest().name, ours.manifest().name);
        assert_eq!(theirs.exports(), ours.exports());
        assert_eq!(theirs.hash(), ours.hash());
        assert_eq!(theirs.code_bytes(), ours.code_bytes());
        assert!(theirs.is_imaged() && ours.is_imaged());
    }
    let imageless = read(Handmade::default().imageless().file().path());
    let plugin = loaded(&usual(), &imageless, &configured(json!({}))).await;
    assert!(!plugin.expect("right").is_imaged());
}

#[tokio::test]
async fn what_is_wrong_with_a_plugin_is_told_as_from_here() {
    let handmade = |handmade: Handmade| read(handmade.file().path());
    let bad = Handmade::default();
    let greedy = "include gate-plugin; import door: interface { open: func(); }";
    let import = r#"(import "door" "open" (func))"#;
    let schema = r#"{"name":"x","config":{"required":["a"]}}"#;
    let cases = [
        (b"#!/bin/sh".to_vec(), json!({})),
        (of_text("(module)"), json!({})),
        (b"\0asm\x0d\0\x01\0rubbish".to_vec(), json!({})),
        (vec![0; 33 << 20], json!({})),
        (of_text("(component)"), json!({})),
        (handmade(bad.clone().version("1.0.0")), json!({})),
        (handmade(bad.clone().world(greedy, import)), json!({})),
        (handmade(bad.clone().manifest("no json")), json!({})),
        (handmade(bad.clone().manifest(schema)), json!({"b": 1})),
        (handmade(bad.clone()), json!({"b": 1})),
        (read(guest::GATE), json!({"configure": "refuse"})),
        (read(guest::GATE), json!({"configure": "trap"})),
        (read(guest::GATE), json!({"configure": "memory"})),
        (read(guest::FILTER), json!({"configure": "stillborn"})),
    ];
    let here: Arc<dyn Compiler> = Arc::new(InProcess);
    let child = usual();
    for (bytes, config) in cases {
        let plugin = configured(config);
        let ours = loaded(&here, &bytes, &plugin).await.expect_err("wrong");
        let theirs = loaded(&child, &bytes, &plugin).await.expect_err("wrong");
        assert_eq!(
            std::mem::discriminant(&ours),
            std::mem::discriminant(&theirs),
            "{ours} / {theirs}"
        );
        assert_eq!(ours.to_string(), theirs.to_string());
    }
}

#[tokio::test]
async fn an_endless_loop_is_ended_by_the_cpu_limit() {
    let cpu = Duration::from_secs(1);
    let child = limited(Limits {
        cpu,
        ..Limits::default()
    });
    let error = failure(&child, &read(guest::GATE), json!({"configure": "loop"})).await;
    assert!(
        matches!(error, child::Error::Cpu { cpu: limit } if limit == cpu),
        "{error}"
    );
    assert!(error.to_string().contains("smaller"), "{error}");
}

#[tokio::test]
async fn what_costs_too_much_to_compile_costs_the_gateway_nothing() {
    let (costly, hungry) = (costly(), hungry());
    let _alone = MEASURED.write().await;
    let plain = configured(json!({}));
    let fails =
        async |limits, bytes: &[u8]| match load_unguarded(&limited(limits), bytes, &plain).await {
            Err(Error::Compiler(error)) => error,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it is loaded"),
        };
    // Everything has been there once.
    let gate = read(guest::GATE);
    drop(
        load_unguarded(&usual(), &gate, &plain)
            .await
            .expect("right"),
    );
    let (memory, before) = (resident(), threads());

    let cpu = Duration::from_secs(1);
    let limits = Limits {
        cpu,
        ..Limits::default()
    };
    let error = fails(limits, &costly).await;
    assert!(
        matches!(error, child::Error::Cpu { cpu: limit } if limit == cpu),
        "{error}"
    );
    // The program's allocator reserves one GiB of it at its start.
    let data = 1280 << 20;
    let limits = Limits {
        data,
        ..Limits::default()
    };
    let error = fails(limits, &hungry).await;
    assert!(
        matches!(error, child::Error::Data { data: limit } if limit == data),
        "{error}"
    );
    assert!(error.to_string().contains("smaller"), "{error}");

    let memory = resident().saturating_sub(memory);
    assert!(memory < 32 << 10, "{memory} KiB more");
    assert!(threads() <= before, "{before} threads, then {}", threads());
}

#[tokio::test]
async fn a_child_that_does_not_end_is_killed() {
    let wall = Duration::from_millis(300);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("id");
    let line = format!("echo $$ > {}; exec sleep 1000", file.display());
    let child = shell(
        &line,
        Limits {
            wall,
            ..Limits::default()
        },
    );
    let error = within("the error", failure(&child, &read(guest::GATE), json!({}))).await;
    assert!(matches!(error, child::Error::Wall { .. }), "{error}");
    let id = fs::read_to_string(file).expect("it ran");
    assert!(!fs::exists(format!("/proc/{}", id.trim())).expect("a folder of processes"));
}

#[tokio::test]
async fn a_child_that_fails_is_told_of_with_its_last_words() {
    let gate = read(guest::GATE);
    let limits = Limits::default();
    let error = failure(&shell("kill -KILL $$", limits), &gate, json!({})).await;
    assert!(
        matches!(error, child::Error::Killed { signal: 9, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("out of memory"), "{error}");

    let line = "yes chatter | head -c 100000 >&2; echo it broke >&2; exit 3";
    let error = failure(&shell(line, limits), &gate, json!({})).await;
    let child::Error::Failed { status, said } = error else {
        panic!("{error}");
    };
    assert_eq!(status.code(), Some(3));
    assert!(said.ends_with("it broke") && said.len() <= 2048, "{said}");

    for nonsense in [
        "true",
        "echo nonsense",
        "head -c 5000 /dev/zero",
        "head -c 5000 /dev/urandom",
    ] {
        let error = failure(&shell(nonsense, limits), &gate, json!({})).await;
        assert!(
            matches!(error, child::Error::Nonsense(_)),
            "{nonsense}: {error}"
        );
        assert!(error.to_string().contains("Restart"), "{error}");
    }

    let nowhere: Arc<dyn Compiler> = Arc::new(Child::new("/nowhere", [""; 0], limits));
    let error = failure(&nowhere, &gate, json!({})).await;
    assert!(matches!(error, child::Error::Start(_)), "{error}");
}

#[tokio::test]
async fn a_child_has_no_environment_and_no_descriptors_but_its_pipes() {
    // The shell's, since `ls` opens one of its own.
    let line = "exec >&2; cat /proc/$$/environ; pwd; ls -m /proc/$$/fd; exit 3";
    let limits = Limits::default();
    let error = failure(&shell(line, limits), &read(guest::GATE), json!({})).await;
    let child::Error::Failed { said, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(said, "/\n0, 1, 2");
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_no_child() {
    let setup = Setup::before_url("http://127.0.0.1:9")
        .plugin("guest", guest::GATE, "config = { configure = \"loop\" }")
        .route("/*", r#"["guest"]"#, "");
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    fs::write(file.path(), setup.toml()).expect("room for a file");
    let name = file.path().to_str().expect("a path in UTF-8");
    let served = Served::start(program(PROGRAM, &["serve", "--config", name]));
    let gateway = served.id();
    let child = eventually("the child", async || child_of(gateway)).await;
    served.signal("KILL").await;
    // Long before the loop's own limit would end it.
    eventually("the end of the child", async || {
        (!runs(child)).then_some(())
    })
    .await;
}

/// The process that compiles for this one.
fn child_of(gateway: u32) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{gateway}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let children = fs::read_to_string(thread.path().join("children")).ok()?;
        let id: u32 = children.split_whitespace().next()?.parse().ok()?;
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        line.contains(COMMAND).then_some(id)
    })
}

/// Whether a process is there and has not ended.
fn runs(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}
