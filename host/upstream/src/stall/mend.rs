//! What is done about a stalled model: it is unloaded, or its target is marked.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::model::Model;
use crate::ask::{self, Question, Sender};
use crate::target::Target;
use crate::vendor::Vendor;

/// How long the waiting attempts may take to step back. An attempt whose body is gone cannot; it keeps its place, and the
/// unload will not help.
const STEP_BACK: Duration = Duration::from_secs(5);

/// How long the server has to notice that they have left: a waiting request holds the model. Arbitrary; far longer than needed.
const NOTICE: Duration = Duration::from_millis(250);

/// Timeout of the unload, and of the check whether it helped.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an unload may take, which frees much memory.
const EFFECT: Duration = Duration::from_secs(5);

/// The interval of checks whether it is done.
const LOOK: Duration = Duration::from_millis(100);

/// How to look after a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The vendor of the server.
    pub vendor: Vendor,
    /// How long an attempt waits for its first byte after a hang-up before its model counts as stalled.
    pub stall: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// The `authorization` for the server.
    pub key: Option<HeaderValue>,
}

/// Looks after a target until dropped.
pub async fn watch(target: Arc<Target>, settings: Settings) {
    loop {
        let due = target.stalls.due(settings.stall);
        tokio::select! {
            () = target.stalls.suspicion.notified() => continue,
            () = until(due) => {}
        }
        for model in target.stalls.stalled(settings.stall) {
            relieve(&target, &settings, &model).await;
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Unloads the model, or marks the target.
async fn relieve(target: &Arc<Target>, settings: &Settings, model: &Model) {
    let sender = Sender {
        target,
        connect: settings.connect,
        key: settings.key.as_ref(),
    };
    let Some(unload) = settings.vendor.unload(&model.name) else {
        model.give_up(false);
        give_up(target, settings, &model.name);
        return;
    };
    let before = loaded(&sender, settings.vendor).await;
    if before.as_ref().is_some_and(Vec::is_empty) {
        // It is silent because it is being loaded.
        model.forget();
        return;
    }
    let Some(stepped_back) = model.step_back(settings.stall) else {
        return;
    };
    let all_left = timeout(STEP_BACK, model.emptied()).await.is_ok();
    sleep(NOTICE).await;
    let response = timeout(ASK_TIMEOUT, ask::ask(&sender, unload)).await;
    let is_done = matches!(response, Ok(Ok((status, _))) if status.is_success());
    let helped = is_done && all_left && has_effect(&sender, settings.vendor, model, before).await;
    target
        .metrics
        .unload(if helped { "freed" } else { "failed" });
    if helped {
        tracing::warn!(
            target_address = %target.label,
            model = model.name,
            "a model did nothing since a client left, and was unloaded"
        );
    } else {
        give_up(target, settings, &model.name);
    }
    stepped_back.go_on(helped);
}

/// Whether the model disappears from the list of loaded models, under whatever name it is there.
async fn has_effect(
    sender: &Sender<'_>,
    vendor: Vendor,
    model: &Model,
    before: Option<Vec<String>>,
) -> bool {
    let before = before.unwrap_or_default();
    let was_listed = before.contains(&model.key);
    let look = async {
        loop {
            if let Some(now) = loaded(sender, vendor).await
                && !now.contains(&model.key)
                && (was_listed || now.len() < before.len())
            {
                return;
            }
            sleep(LOOK).await;
        }
    };
    timeout(EFFECT, look).await.is_ok()
}

/// The keys of the models that the server has loaded; `None` if unknown.
async fn loaded(sender: &Sender<'_>, vendor: Vendor) -> Option<Vec<String>> {
    let path = vendor.loaded_path()?;
    let question = Question { path, json: None };
    let response = timeout(ASK_TIMEOUT, ask::ask(sender, question)).await;
    let (status, body) = response.ok()?.ok()?;
    let names = vendor.read_loaded(&body).filter(|_| status.is_success())?;
    Some(names.iter().map(|name| vendor.model_key(name)).collect())
}

fn give_up(target: &Target, settings: &Settings, model: &str) {
    let reason = format!(
        "the model {model} has done nothing for {:?} since a client left; {}",
        settings.stall,
        settings.vendor.when_stalled()
    );
    tracing::error!(target_address = %target.label, model, "model server is stalled: {reason}");
    target.stalls.mark(reason);
}
