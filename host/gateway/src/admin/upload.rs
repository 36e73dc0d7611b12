//! Taking a component over HTTP: checked as when it is loaded, then put into the plugin folder, then in force.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::response::Refusal;
use super::{Admin, Body, config, error, plugins, respond};
use crate::supply::off_the_workers;
use crate::versions::Rejection;
use sluicegate_config::{Problems, is_legal_name};
use sluicegate_plugin_host::load::MAX_BYTES;
use sluicegate_plugin_host::{Plugin, version};

/// How long a component may take to arrive. Arbitrary: 32 MiB at 5 Mbit/s take 54 s.
const ARRIVAL: Duration = Duration::from_secs(60);

/// Takes a component as the plugin of this name. With `?dry-run=1` it is only checked.
pub(super) async fn take(
    admin: &Arc<Admin>,
    name: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let Ok(upload) = admin.uploads.clone().try_acquire_owned() else {
        return error(
            StatusCode::TOO_MANY_REQUESTS,
            "another upload is going on; try again when it has ended",
        );
    };
    let dry = match is_dry(request.uri().query()) {
        Ok(dry) => dry,
        Err(text) => return error(StatusCode::BAD_REQUEST, text),
    };
    let file = match place(admin, name).await {
        Ok(file) => file,
        Err(refused) => return refused.respond(),
    };
    let bytes = match read(request.into_body()).await {
        Ok(bytes) => bytes,
        Err(refused) => return refused.respond(),
    };
    let plugin = match check(admin, name, &bytes).await {
        Ok(plugin) => plugin,
        Err(refused) => return refused.respond(),
    };
    let version = plugin.version().to_owned();
    let mut shown = json!({
        "name": name,
        "plugin": plugin.manifest().name,
        "version": plugin.manifest().version,
        "version_id": version,
        "component": plugin.component(),
        "exports": plugin.exports().names().collect::<Vec<_>>(),
        "code_bytes": plugin.code_bytes(),
        "written": false,
    });
    drop(plugin);
    if dry {
        return respond(StatusCode::OK, &shown);
    }
    let written = off_the_workers(move || {
        // Whoever asks may leave before it is written; another upload must wait until then.
        let _upload = upload;
        write(&file, &bytes)
    });
    if let Err(problem) = written.await {
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("it cannot be written into the plugin folder: {problem}"),
        );
    }
    shown["written"] = true.into();
    // What is wrong with other plugins is not this one's fault.
    let result = admin.control.reload().await;
    shown["config"] = config(admin);
    let now = plugins::find(admin, name).await.unwrap_or_default();
    shown["state"] = now["state"].clone();
    let in_force = now["version_id"] == version.as_str() || now["state"] == "discovered";
    if in_force && result.is_ok() {
        return respond(StatusCode::OK, &shown);
    }
    shown["error"] = "it is in the plugin folder, but not in force".into();
    respond(StatusCode::UNPROCESSABLE_ENTITY, &shown)
}

/// Whether nothing is to be changed. What is misspelled must not change anything either.
fn is_dry(query: Option<&str>) -> Result<bool, &'static str> {
    match query {
        None | Some("" | "dry-run=0") => Ok(false),
        Some("dry-run=1") => Ok(true),
        Some(_) => Err("the only parameter is `dry-run=1`"),
    }
}

/// The file that the component will be.
async fn place(admin: &Admin, name: &str) -> Result<PathBuf, Refusal> {
    if !is_legal_name(name) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "a plugin's name has lower-case letters, digits and -, at most 64 of them",
        ));
    }
    let Some(folder) = admin.control.plugin_folder().await else {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "there is no plugin folder: set `dir` under [plugins]",
        ));
    };
    if !admin.control.can_reload() {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "the gateway runs without a configuration file: start it with `--config FILE`",
        ));
    }
    let file = folder.join(format!("{name}.wasm"));
    if admin.control.has_other_source(name, &file).await {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("[plugin.{name}] has another source than {}", file.display()),
        ));
    }
    Ok(file)
}

/// The whole body, which is limited and must not take for ever.
async fn read(body: Incoming) -> Result<Arc<[u8]>, Refusal> {
    #[expect(clippy::disallowed_methods, reason = "it is limited")]
    let read = timeout(ARRIVAL, Limited::new(body, MAX_BYTES).collect()).await;
    match read {
        Ok(Ok(body)) => {
            let bytes: Bytes = body.to_bytes();
            Ok(Arc::from(&*bytes))
        }
        Ok(Err(problem)) if problem.is::<http_body_util::LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a component has at most {MAX_BYTES} bytes"),
        )),
        Ok(Err(problem)) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the component did not arrive: {problem}"),
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the component did not arrive within {ARRIVAL:?}"),
        )),
    }
}

/// Loads it as the gateway will.
async fn check(admin: &Admin, name: &str, bytes: &Arc<[u8]>) -> Result<Arc<Plugin>, Refusal> {
    let configured = match admin.control.configured(name).await {
        Ok(configured) => configured,
        Err(Problems(problems)) => {
            let problems = crate::reload::problems(&problems);
            let text = "the file beside it is not a configuration";
            return Err(Refusal {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                value: json!({"error": text, "problems": problems}),
            });
        }
    };
    let supply = admin.control.supply();
    if let Some(rejection) = supply
        .versions
        .rejection(name, &version(&configured, bytes))
    {
        return Err(rejected(&rejection));
    }
    let services = supply.services.of(name, supply.metrics.plugin(name));
    let loaded = supply.loader.load(&configured, bytes.clone(), services);
    let plugin = loaded
        .await
        .map_err(|error| rejected(&Rejection::of(&error, bytes)))?;
    match admin.control.fits(&plugin).await {
        Ok(()) => Ok(plugin),
        Err(Problems(problems)) => Err(Refusal {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            value: json!({
                "error": "it does not fit where the configuration uses it",
                "problems": crate::reload::problems(&problems),
                "written": false,
            }),
        }),
    }
}

fn rejected(rejection: &Rejection) -> Refusal {
    Refusal {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        value: json!({
            "error": "the component is rejected",
            "rejected": rejection.json(),
            "written": false,
        }),
    }
}

/// Beside the file, and renamed over it: whoever reads it finds one or the other as a whole. One upload at a time comes here, so that
/// what is unfinished there was given up when a gateway was killed.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let unfinished = file.with_extension("wasm.tmp");
    let _ = std::fs::remove_file(&unfinished);
    let written = File::create_new(&unfinished)
        .and_then(|mut new| new.write_all(bytes).and_then(|()| new.sync_data()))
        .and_then(|()| std::fs::rename(&unfinished, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}
