//! A capability that is not granted, and a host that is not listed, are error values in every language.

use std::fs;

use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream, program};

use crate::tools::{Tools, succeeds, text};

/// A gate in C. Like those below, it asks for a value and for a host, and refuses with what came of both.
const C: &str = r#"
#include "sluicegate.h"

static const char *word(bool ok, uint8_t error) {
  if (ok) return "ok";
  return error == SLUICEGATE_PLUGIN_CAPABILITY_ERROR_DENIED ? "denied" : "other";
}

const char *sg_describe(void) { return "{\"name\":\"asks\"}"; }

bool sg_check(sg_stop *stop) {
  plugin_string_t key = {(uint8_t *)"k", 1};
  plugin_option_list_u8_t value;
  sluicegate_plugin_kv_error_t error = 0;
  const char *kv = word(sluicegate_plugin_kv_get(&key, &value, &error), error);
  sluicegate_plugin_http_request_t request = {0};
  request.method = (plugin_string_t){(uint8_t *)"GET", 3};
  request.url = (plugin_string_t){(uint8_t *)"http://127.0.0.1:9/", 19};
  sluicegate_plugin_http_response_t response;
  const char *http = word(sluicegate_plugin_http_send(&request, &response, &error), error);
  sg_buffer code = {0};
  sg_add_cstr(&code, kv);
  sg_add_cstr(&code, "_");
  sg_add_cstr(&code, http);
  sg_add(&code, (sg_text){"", 1});
  return sg_refuse(stop, 418, code.ptr, "as told");
}
"#;

const GO: &str = r#"package main

import (
	"errors"

	"sluicegate"
	"sluicegate/http"
	"sluicegate/kv"
)

func word(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, sluicegate.ErrDenied):
		return "denied"
	}
	return "other"
}

func init() {
	sluicegate.Plugin(sluicegate.Manifest{Name: "asks", Version: "0.1.0", Summary: "Asks"})
	sluicegate.Gate(func() error {
		_, _, fromKv := kv.Get("k")
		_, fromHTTP := http.Send(http.Request{Method: "GET", URL: "http://127.0.0.1:9/"})
		return sluicegate.Refuse(418, word(fromKv)+"_"+word(fromHTTP), "as told")
	})
}

func main() {}
"#;

const RUST: &str = r#"//! A gate.
use sluicegate_plugin::{CapabilityError, Context, Fault, Gate, Manifest, NoConfig, Plugin, Stop, http, kv};

struct Asks;

impl Plugin for Asks {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("asks", "0.1.0", "Asks")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

fn word<T>(result: Result<T, CapabilityError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(CapabilityError::Denied) => "denied",
        Err(_) => "other",
    }
}

impl Gate for Asks {
    fn check(&self, _: &mut (), _: &Context<'_>) -> Result<(), Stop> {
        let (kv, http) = (word(kv::get("k")), word(http::Request::get("http://127.0.0.1:9/").send()));
        Err(Fault::new(418, format!("{kv}_{http}"), "as told").into())
    }
}

sluicegate_plugin::export!(Asks: gate);
"#;

const JAVASCRIPT: &str = r##"
import { fault, http, kv } from "#sluicegate";

export const manifest = { version: "0.1.0", summary: "Asks", limits: { memory: "32MiB", cpu: "1s" } };

function word(call) {
  try {
    call();
    return "ok";
  } catch (error) {
    return error.code;
  }
}

export const gate = {
  check() {
    const words = [word(() => kv.get("k")), word(() => http.send({ url: "http://127.0.0.1:9/" }))];
    throw fault(418, words.join("_"), "as told");
  },
};
"##;

const PYTHON: &str = r#"
from sluicegate import CapabilityError, Fault, http, kv

manifest = {"version": "0.1.0", "summary": "Asks", "limits": {"memory": "64MiB", "cpu": "1s"}}


def word(call):
    try:
        call()
        return "ok"
    except CapabilityError as error:
        return error.code


def gate_check():
    words = [word(lambda: kv.get("k")), word(lambda: http.send("http://127.0.0.1:9/"))]
    raise Fault(418, "_".join(words), "as told")
"#;

/// The word of `--lang`, the file with the author's source, and what is in it.
type Asks = (&'static str, &'static str, &'static str);

/// Builds it, and looks at what it got: without a grant, with one, and with one for another host.
async fn denied_is_a_value(tools: &Tools, asks: Asks) -> anyhow::Result<()> {
    let (language, file, source) = asks;
    let room = tools.room();
    let project = room.path().join("asks");
    let new = ["new", "asks", "--lang", language, "--exports", "gate"];
    let arguments = ["--imports", "kv,http", "--dir", text(&project)];
    succeeds(&tools.plugin(&[&new[..], &arguments].concat()).await?)?;
    fs::write(project.join(file), source)?;
    succeeds(&tools.plugin(&["build", text(&project)]).await?)?;
    let component = project.join("build/asks.wasm");
    let upstream = Upstream::always(Script::empty(200)).await;
    for (grant, code) in [
        ("", "denied_denied"),
        (
            "grant = { kv = true, http = [\"http://idp.example\"] }",
            "ok_denied",
        ),
    ] {
        let gateway = Setup::before(&upstream)
            .plugin("asks", text(&component), grant)
            .route("/x", "[\"asks\"]", "")
            .start()
            .await;
        let response = gateway.client().post("/x", &json!({})).await;
        assert_eq!(
            (response.status, response.error()["code"].as_str()),
            (418, Some(code)),
            "{language}, {grant}: {}",
            response.text()
        );
        gateway.shutdown().await;
    }
    assert!(upstream.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_denied_capability_is_an_error_value_in_javascript() -> anyhow::Result<()> {
    match Tools::node().await? {
        Some(tools) => denied_is_a_value(&tools, ("js", "src/plugin.js", JAVASCRIPT)).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn a_denied_capability_is_an_error_value_in_python() -> anyhow::Result<()> {
    match Tools::python().await? {
        Some(tools) => denied_is_a_value(&tools, ("python", "plugin.py", PYTHON)).await,
        None => Ok(()),
    }
}

#[tokio::test]
async fn a_denied_capability_is_an_error_value_in_rust_c_and_go() -> anyhow::Result<()> {
    for (tool, asks) in [
        ("clang-19", ("c", "filter.c", C)),
        ("go", ("go", "main.go", GO)),
        ("cargo", ("rust", "src/lib.rs", RUST)),
    ] {
        if program::find(tool).is_none() {
            program::skip(&format!("{tool} is not installed"))?;
            continue;
        }
        denied_is_a_value(&Tools::of_the_machine(), asks).await?;
    }
    Ok(())
}
