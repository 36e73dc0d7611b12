//! Plugins in JavaScript, TypeScript and Python: from `plugin new` to a component that passes its cases, the examples under
//! `examples/filters`, what authors are told when something is missing, and the kits' own tests.
//!
//! npm's and PyPI's packages are installed into the target folder once. A machine without Node or Python skips its half, loudly;
//! in CI (`CI=true`) that is a failure.

mod denied;
mod tools;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream, logs, program, served};
use tokio::process::Command;

use crate::tools::{ALL, PROGRAM, RUN, Tools, copy, fails, root, succeeds, text};

#[tokio::test]
async fn a_new_project_in_javascript_passes_its_cases() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    let exports = [ALL, "gate", "events"];
    tools.new_project_passes("js", &exports).await
}

#[tokio::test]
async fn a_new_project_in_typescript_passes_its_cases() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    let exports = [ALL, "request", "response,chunks"];
    tools.new_project_passes("ts", &exports).await
}

#[tokio::test]
async fn a_new_project_in_python_passes_its_cases() -> anyhow::Result<()> {
    let Some(tools) = Tools::python().await? else {
        return Ok(());
    };
    tools.new_project_passes("python", &[ALL]).await
}

#[tokio::test]
async fn the_examples_in_javascript_and_typescript_pass_their_cases() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    for (folder, name) in [
        ("javascript-prompt-template", "prompt-template"),
        ("typescript-link-guard", "link-guard"),
    ] {
        tools.example(folder, name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_example_in_python_passes_its_cases() -> anyhow::Result<()> {
    let Some(tools) = Tools::python().await? else {
        return Ok(());
    };
    tools
        .example("python-injection-score", "injection-score")
        .await
}

#[tokio::test]
async fn a_filter_works_in_a_gateway_and_its_exceptions_are_in_the_log() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    logs::capture();
    let room = tools.room();
    let guard = room.path().join("guard");
    copy(
        &root().join("examples/filters/typescript-link-guard"),
        &guard,
    )?;
    succeeds(&tools.plugin(&["build", text(&guard)]).await?)?;
    let broken = room.path().join("broken");
    let new = [
        "new",
        "broken",
        "--lang",
        "js",
        "--exports",
        "gate",
        "--dir",
    ];
    succeeds(&tools.plugin(&[&new[..], &[text(&broken)]].concat()).await?)?;
    fs::write(
        broken.join("src/plugin.js"),
        // Only for one request: what fails in the gateway's trial is not put into force.
        "import { exchange } from \"#sluicegate\";\n\
         export const gate = { check() { console.log(\"now\"); if (exchange.get(\"x-break\")) return undefined.length; } };",
    )?;
    succeeds(&tools.plugin(&["build", text(&broken)]).await?)?;

    let delta = |text: &str| {
        let chunk = json!({"id": "1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let stream = Script::sse_head()
        .chunk(delta("see https://ev"))
        .chunk(delta("il.com/?q=secret) and"))
        .chunk("data: [DONE]\n\n");
    let upstream = Upstream::always(stream).await;
    let gateway = Setup::before(&upstream)
        .plugin(
            "guard",
            text(&guard.join("build/link-guard.wasm")),
            "config = { hosts = [\"example.com\"] }",
        )
        .plugin("broken", text(&broken.join("build/broken.wasm")), "")
        .route("/guarded", "[\"guard\"]", "")
        .route("/broken", "[\"broken\"]", "")
        .start()
        .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);

    let failed = gateway
        .client()
        .with("x-request-id", &id)
        .with("x-break", "1")
        .post("/broken", &json!({}))
        .await;
    assert_eq!(
        (failed.status, failed.error()["code"].as_str()),
        (502, Some("plugin_fault"))
    );
    assert!(upstream.requests().is_empty());
    let line = logs::line("the exception", |line| {
        let message = line["msg"].as_str().unwrap_or_default();
        line["req"] == id.as_str() && message.starts_with("uncaught in gate.check: TypeError")
    });
    let line = line.await;
    assert!(
        line["msg"]
            .as_str()
            .is_some_and(|it| it.contains("broken.js:")),
        "{line}"
    );
    assert_eq!(line["plugin"], "broken");
    assert!(!logs::lines(|line| line["msg"] == "now" && line["req"] == id.as_str()).is_empty());

    let body = json!({"stream": true});
    let chat = client.post("/guarded", &body).await.streamed_chat();
    assert_eq!(
        (chat.content.as_str(), chat.done),
        ("see #link-removed) and", true)
    );
    assert_eq!(upstream.next_request().await.json(), body);
    gateway.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn an_author_is_told_what_does_not_fit() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    let room = tools.room();
    let project = room.path().join("mine");
    let new = ["new", "mine", "--lang", "ts", "--exports", "gate", "--dir"];
    succeeds(
        &tools
            .plugin(&[&new[..], &[text(&project)]].concat())
            .await?,
    )?;
    let source = project.join("src/plugin.ts");
    let right = fs::read_to_string(&source)?;
    for (wrong, words) in [
        ("export const gat = { check() {} };", "'gate'"),
        (
            "export const gate = { check(): number { return nothing; } };",
            "nothing",
        ),
    ] {
        fs::write(&source, wrong)?;
        let build = tools.plugin(&["build", text(&project)]).await?;
        // tsc complains on standard output, which the program passes on with its own complaint.
        let complaint = fails(&build)?;
        assert!(complaint.contains(words), "{words}: {complaint}");
    }
    fs::write(&source, right)?;
    let plugin = project.join("plugin.toml");
    let listed = fs::read_to_string(&plugin)?;
    fs::write(&plugin, format!("{listed}engine = \"v8\"\n"))?;
    let complaint = fails(&tools.plugin(&["build", text(&project)]).await?)?;
    assert!(complaint.contains("no engine `v8`"), "{complaint}");

    // The same without types: the module itself says so, while the component is made.
    let project = room.path().join("other");
    let new = ["new", "other", "--lang", "js", "--exports", "gate", "--dir"];
    succeeds(
        &tools
            .plugin(&[&new[..], &[text(&project)]].concat())
            .await?,
    )?;
    fs::write(
        project.join("src/plugin.js"),
        "export const events = { batch() {} };",
    )?;
    let complaint = fails(&tools.plugin(&["build", text(&project)]).await?)?;
    let words =
        "plugin.toml lists the export `gate`: write `export const gate = { check() { … } }`";
    assert!(complaint.contains(words), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn a_missing_tool_comes_with_the_command_that_installs_it() -> anyhow::Result<()> {
    let room = tempfile::tempdir()?;
    for (language, words) in [
        ("js", "apt-get install nodejs npm"),
        ("python", "apt-get install python3 python3-venv"),
    ] {
        let project = room.path().join(language);
        let new = [
            "plugin",
            "new",
            "mine",
            "--lang",
            language,
            "--exports",
            "gate",
            "--dir",
        ];
        let new = served::program(PROGRAM, &[&new[..], &[text(&project)]].concat())
            .output()
            .await?;
        succeeds(&new)?;
        let build = served::program(PROGRAM, &["plugin", "build", text(&project)])
            .env("PATH", room.path())
            .output()
            .await?;
        let complaint = fails(&build)?;
        assert!(complaint.contains(words), "{complaint}");
    }
    Ok(())
}

#[tokio::test]
async fn the_kits_and_the_rules_of_the_examples_pass_their_own_tests() -> anyhow::Result<()> {
    let Some(tools) = Tools::node().await? else {
        return Ok(());
    };
    let node = program::find("node").context("node")?;
    let room = tools.room();
    let guard = room.path().join("guard");
    copy(
        &root().join("examples/filters/typescript-link-guard"),
        &guard,
    )?;
    let mut bundler = Command::new(tools.bin.join("esbuild"));
    bundler
        .args(["src/links.ts", "--format=esm", "--outfile=build/links.js"])
        .arg("--log-level=warning")
        .current_dir(&guard);
    program::finish(bundler, RUN).await?;
    for folder in [
        root().join("plugins/kits/javascript"),
        root().join("examples/filters/javascript-prompt-template"),
        guard,
    ] {
        let mut command = Command::new(&node);
        // Each file by its name: what a folder means differs between versions of Node.
        let tests = fs::read_dir(folder.join("tests"))?;
        let files: Vec<PathBuf> = tests
            .map(|it| Ok(it?.path()))
            .collect::<anyhow::Result<_>>()?;
        command.arg("--test").args(files).current_dir(folder);
        let said = program::finish(command, RUN).await?;
        // A folder without tests would pass, too.
        ensure!(!said.contains("# tests 0"), "{said}");
    }
    let Some(python) = program::find("python3") else {
        return program::skip("Python is not installed, so its kit cannot be tested");
    };
    for folder in [
        "plugins/kits/python",
        "examples/filters/python-injection-score",
    ] {
        let mut command = Command::new(&python);
        command
            .args(["-B", "-m", "unittest", "discover", "-s", "tests"])
            .current_dir(root().join(folder));
        program::finish(command, RUN).await?;
    }
    Ok(())
}
