//! `sluicegate doctor` against a running deployment, and the two commands about the commands.

use sluicegate_sim::{Pace, Vendor};
use sluicegate_tests::upstream::closed_port;
use sluicegate_tests::{Gateway, Script, Setup, Upstream};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::command::{Said, name, run};

/// A simulated Ollama: its URL.
async fn ollama() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { Vendor::Ollama.serve(listener, Pace::FULL_SPEED).await });
    format!("http://{address}")
}

/// The configuration of the running gateway, with the ports that it has got.
fn deployed(setup: &Setup, gateway: &Gateway, more: &str) -> NamedTempFile {
    let toml = setup.toml();
    let admin = gateway.admin().address();
    let (listener, rest) = toml.split_once("[admin]").expect("it has one");
    let listener = listener.replace("127.0.0.1:0", &gateway.address().to_string());
    let rest = rest.replacen("127.0.0.1:0", &admin.to_string(), 1);
    let rest = rest.replace("127.0.0.1:0", &gateway.address().to_string());
    let file = NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(file.path(), format!("{listener}[admin]{rest}{more}")).expect("written");
    file
}

async fn doctor(file: &NamedTempFile) -> Said {
    run(&["doctor", "--config", name(file.path())]).await
}

#[tokio::test]
async fn what_works_is_asked_from_the_model_server_to_the_page() {
    let setup = Setup::before_url(&ollama().await).chat();
    let gateway = setup.start().await;
    let said = doctor(&deployed(&setup, &gateway, "")).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let lines: Vec<_> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("ok    model server `ollama`"),
        "{}",
        said.out
    );
    assert!(
        lines[1].starts_with("ok    gateway's admin interface"),
        "{}",
        said.out
    );
    assert!(lines[2].contains("a whole response of") && lines[2].contains("request id req_"));
    assert!(lines[3].contains("a stream of") && lines[3].starts_with("ok"));
    assert_eq!(lines.last(), Some(&"everything works"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_does_not_work_comes_with_what_to_mend() {
    let (_socket, closed) = closed_port();
    let setup = Setup::before_url(&format!("http://{closed}")).chat();
    let gateway = setup.start().await;
    let (_other, page) = closed_port();
    let chat = format!("\n[chat]\nlisten = \"{page}\"\n");
    let said = doctor(&deployed(&setup, &gateway, &chat)).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let fails = |what: &str| {
        let line = said.out.lines().skip_while(|line| !line.contains(what));
        let both: Vec<_> = line.take(2).collect();
        assert!(
            both.first().is_some_and(|it| it.starts_with("FAIL")),
            "{what}: {}",
            said.out
        );
        assert!(
            both[1].trim_start().starts_with("→ "),
            "{what}: {}",
            said.out
        );
        both[1].to_owned()
    };
    assert!(fails("model server `ollama`").contains("start it"));
    assert!(fails("chat page at").contains(&format!("lsof -i :{}", page.port())));
    fails("gateway at");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_missing_and_a_server_of_another_kind_are_named() {
    let upstream = Upstream::always(Script::empty(404)).await;
    let setup = Setup::before(&upstream).chat_with(r#"{ name = "a", key = "sk-a" }"#, "");
    let gateway = setup.start().await;
    let said = doctor(&deployed(&setup, &gateway, "")).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("correct the upstream's `adapter`"),
        "{}",
        said.out
    );
    assert!(said.out.contains("set SLUICEGATE_API_KEY"), "{}", said.out);
    gateway.shutdown().await;
}

#[tokio::test]
async fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&["completions", shell]).await;
        assert_eq!(said.code, Some(0));
        assert!(
            said.out.contains("doctor") && said.out.contains("rollback"),
            "{shell}"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let said = run(&["man", name(folder.path())]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for page in [
        "sluicegate.1",
        "sluicegate-doctor.1",
        "sluicegate-plugin-push.1",
    ] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    let nowhere = folder.path().join("missing");
    assert_eq!(run(&["man", name(&nowhere)]).await.code, Some(1));
}
