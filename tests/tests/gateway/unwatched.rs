//! A system that gives no notifications of files: they are looked at instead.

use std::cell::Cell;
use std::fs;
use std::process::Command;

use serde_json::json;
use sluicegate_tests::served::{self, Served};
use sluicegate_tests::{Client, Script, Setup, Upstream, eventually};

use crate::command::PROGRAM;

/// Runs a program in a user namespace that has none of something that inotify needs.
const WITHOUT: &str = r#"echo 0 > "/proc/sys/user/$0" && exec "$@""#;

/// Whether this user may have such a namespace: some distributions allow it to root alone.
fn may_have_namespaces() -> bool {
    let tried = Command::new("unshare").args(["-Ur", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

#[expect(clippy::print_stdout, reason = "whoever runs the test is to know it")]
#[tokio::test]
async fn without_inotify_a_change_is_found_all_the_same() {
    if !may_have_namespaces() {
        println!("not tested: this user may have no user namespaces");
        return;
    }
    for what in ["max_inotify_instances", "max_inotify_watches"] {
        let one = Upstream::always(Script::json(200, &json!({"from": "one"}))).await;
        let two = Upstream::always(Script::json(200, &json!({"from": "two"}))).await;
        let text = |upstream: &Upstream| {
            let setup = Setup::before(upstream).server("reload = \"1h\"");
            setup
                .plugin("open", "builtin:auth", "")
                .route("/x", r#"["open"]"#, "")
                .toml()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sluicegate.toml");
        fs::write(&file, text(&one)).expect("written");
        let file_name = file.to_str().expect("UTF-8");
        let arguments = [
            "-Ur", "sh", "-c", WITHOUT, what, PROGRAM, "serve", "-c", file_name,
        ];
        let mut served = Served::start(served::program("unshare", &arguments));
        // One comes before the other.
        let (polled, address) = (Cell::new(false), Cell::new(None));
        served
            .line("the warning, and that it serves", |line| {
                let text = line["msg"].as_str().unwrap_or_default();
                if line["level"] == "warn" && text.contains("polled") {
                    polled.set(true);
                }
                if text == "serving" {
                    let listen = line["listen"].as_str();
                    address.set(listen.and_then(|listen| listen.parse().ok()));
                }
                polled.get() && address.get().is_some()
            })
            .await;
        let client = Client::new(address.get().expect("an address"));
        let from = async || client.get("/x").await.json()["from"].clone();
        assert_eq!(from().await, "one");
        fs::write(&file, text(&two)).expect("written");
        eventually("the other model server", async || {
            (from().await == "two").then_some(())
        })
        .await;
        served.signal("TERM").await;
        assert_eq!(served.ended().await, Some(0));
    }
}
