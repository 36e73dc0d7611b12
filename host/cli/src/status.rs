//! `status`: how a running gateway is.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::admin::{Gateway, complain};
use super::plugin::operate::plugin_table;
use super::print;
use super::table::Table;

/// Shows it. The exit code is 1 if the gateway is not ready, or has something else in force than what is on disk.
pub(super) async fn status(gateway: &Gateway, as_json: bool) -> ExitCode {
    let asked = async {
        let admin = gateway.admin()?;
        Ok::<_, ExitCode>(json!({
            "live": admin.get("/livez").await?,
            "ready": admin.get("/readyz").await?,
            "config": admin.get("/config").await?,
            "upstreams": admin.get("/upstreams").await?["upstreams"],
            "plugins": admin.get("/plugins").await?["plugins"],
        }))
    };
    let all = match asked.await {
        Ok(all) => all,
        Err(code) => return code,
    };
    let config = &all["config"];
    let ready = all["ready"]["ready"] == true;
    let whole = config["refused"].is_null() && config["kept"] == json!([]);
    let text = if as_json {
        format!("{all:#}\n")
    } else {
        format!(
            "sluicegate {}, {}, generation {}\n\n{}\n{}",
            all["live"]["version"].as_str().unwrap_or_default(),
            if ready { "ready" } else { "not ready" },
            config["generation"],
            upstreams(&all["upstreams"]),
            plugin_table(&all["plugins"]),
        )
    };
    print(&text);
    if !as_json && !whole {
        eprintln!("\nwhat is on disk is not in force:\n");
        complain(&config["refused"]["problems"]);
        complain(&config["kept"]);
    }
    if ready && whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn upstreams(upstreams: &Value) -> Table {
    let mut table = Table::new(&["UPSTREAM", "ADAPTER", "TARGET", "STATE", "REASON"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for upstream in upstreams.as_array().into_iter().flatten() {
        for target in upstream["targets"].as_array().into_iter().flatten() {
            table.row([
                text(&upstream["name"]),
                text(&upstream["adapter"]),
                text(&target["target"]),
                text(&target["state"]),
                text(&target["reason"]),
            ]);
        }
    }
    table
}
