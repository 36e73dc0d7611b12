//! What `plugin check` found, for people and for programs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Refusal;
use crate::plugin::warning::{self, Warning};
use crate::plugin::words::{size, table, time};
use sluicegate_config::PluginLimits;
use sluicegate_plugin_host::load::{self, CONTRACT, MAX_BYTES};
use sluicegate_plugin_host::rehearse::{self, Rehearsal};
use sluicegate_plugin_host::{Plugin, Toolchain};

/// From this share of a limit on, in percent, a warning says that it is near. Arbitrary.
const NEAR: u128 = 80;

/// What was found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) refused: Option<Refusal>,
    warnings: Vec<Warning>,
    rehearsal: Rehearsal,
    component_bytes: usize,
    /// Whether a configuration was given; else an empty one was tried.
    is_given: bool,
    loaded: Option<Loaded>,
}

/// What is only known of a plugin that can be used.
#[derive(Debug)]
struct Loaded {
    limits: PluginLimits,
    code_bytes: usize,
    is_imaged: bool,
    authenticates: bool,
    took: Duration,
}

impl Report {
    pub(super) fn unread(reason: String) -> Self {
        let mut report = Self::of(Rehearsal::default(), 0, false);
        report.refused = Some(Refusal::unread(reason));
        report
    }

    pub(super) fn of(rehearsal: Rehearsal, component_bytes: usize, is_given: bool) -> Self {
        let mut report = Self {
            refused: None,
            warnings: Vec::new(),
            rehearsal,
            component_bytes,
            is_given,
            loaded: None,
        };
        report.warn_if_near(
            "the component's size",
            component_bytes as u128,
            MAX_BYTES as u128,
            "leave out what is not needed, and strip debug information",
        );
        for at in 0..report.rehearsal.calls.len() {
            let call = &report.rehearsal.calls[at];
            let (what, cpu) = (format!("the CPU time of `{}`", call.name), call.cpu);
            let mend = "do less there: a busy machine is slower, and the budget is the same";
            report.warn_if_near(&what, cpu.as_micros(), rehearse::CPU.as_micros(), mend);
        }
        report
    }

    /// The plugin can be used.
    pub(super) fn loaded(&mut self, plugin: &Plugin, toolchain: Toolchain, took: Duration) {
        self.warnings
            .extend(warning::of_language(toolchain, plugin));
        let limits = plugin.limits().clone();
        let manifest = plugin.manifest();
        if manifest.authenticates && !plugin.authenticates() {
            self.warn(
                "the manifest says `\"authenticates\": true`, but a request without credentials was not refused".into(),
                "refuse it with 401 or 403, else a listener off this machine does not count it as a key",
            );
        }
        if !plugin.is_imaged() {
            self.warn(
                "no memory image can be captured, so `configure` runs in every instance".into(),
                "avoid instructions and imports that cannot be captured, such as threads and `data.drop`",
            );
            let configure = self
                .rehearsal
                .calls
                .iter()
                .find(|call| call.name == "configure");
            if let Some(cpu) = configure.map(|call| call.cpu) {
                let mend = "do less in `configure`, or suggest a higher limit in the manifest";
                let what = "the CPU time of `configure`, which is part of each first call,";
                self.warn_if_near(what, cpu.as_micros(), limits.cpu.as_micros(), mend);
            }
        }
        if let Some(memory) = self.rehearsal.memory {
            self.warn_if_near(
                "the memory after `configure`",
                memory as u128,
                u128::from(limits.memory),
                "use less, or suggest a higher limit in the manifest: requests need room too",
            );
        }
        self.loaded = Some(Loaded {
            limits,
            code_bytes: plugin.code_bytes(),
            is_imaged: plugin.is_imaged(),
            authenticates: plugin.authenticates(),
            took,
        });
    }

    /// It needs a configuration, and none was given.
    pub(super) fn incomplete(&mut self, error: &load::Error) {
        self.warn(
            format!("the rest was not checked, since an empty configuration does not do: {error}"),
            "give a configuration with --config",
        );
    }

    fn warn(&mut self, reason: String, mend: &'static str) {
        self.warnings.push(Warning { reason, mend });
    }

    fn warn_if_near(&mut self, what: &str, found: u128, most: u128, mend: &'static str) {
        let percent = found * 100 / most.max(1);
        if percent >= NEAR && found <= most {
            self.warn(format!("{what} is at {percent} % of its limit"), mend);
        }
    }

    fn verdict(&self) -> &'static str {
        match (&self.refused, &self.loaded) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "good",
            (None, None) => "incomplete",
        }
    }

    /// Prints what is wrong, for people.
    pub(super) fn print_problems(&self, file: &Path) {
        for warning in &self.warnings {
            warning.print();
        }
        if let Some(refusal) = &self.refused {
            refusal.print(file);
        }
    }

    /// For programs.
    pub(super) fn json(&self, file: &Path) -> Value {
        let Rehearsal {
            imports,
            exports,
            versions,
            calls,
            manifest,
            memory,
        } = &self.rehearsal;
        let import = |import: &rehearse::Import| {
            let mut shown = json!({"name": import.name, "given": import.given});
            if let Some(capability) = import.capability {
                shown["grant"] = json!(capability.name());
            }
            shown
        };
        let call = |call: &rehearse::Call| {
            let cpu = call.cpu.as_millis();
            json!({"name": call.name, "wall-us": call.wall.as_micros(), "cpu-ms": cpu})
        };
        let manifest = manifest.as_ref().map(|manifest| {
            json!({
                "name": manifest.name,
                "version": manifest.version,
                "summary": manifest.summary,
                "front": manifest.front,
                "adapter": manifest.adapter.as_ref().map(|adapter| &adapter.vendor),
                "response-if": manifest.response_if,
                "transforms": manifest.transforms,
                "authenticates": manifest.authenticates,
                "requires": manifest.requires,
                "config-schema": manifest.config,
                "limits": {"memory": manifest.limits.memory, "cpu": manifest.limits.cpu},
            })
        });
        let loaded = self.loaded.as_ref();
        json!({
            "file": file.to_string_lossy(),
            "verdict": self.verdict(),
            "refused": self.refused.as_ref().map(Refusal::json),
            "warnings": self.warnings.iter().map(Warning::json).collect::<Vec<_>>(),
            "contract": CONTRACT,
            "contract-of-component": versions,
            "imports": imports.iter().map(import).collect::<Vec<_>>(),
            "exports": exports,
            "manifest": manifest,
            "configuration": if self.is_given { "given" } else { "empty" },
            "calls": calls.iter().map(call).collect::<Vec<_>>(),
            "cpu-budget-ms": rehearse::CPU.as_millis(),
            "component-bytes": self.component_bytes,
            "code-bytes": loaded.map(|loaded| loaded.code_bytes),
            "memory-bytes": memory,
            "limits": loaded.map(|loaded| json!({
                "memory-bytes": loaded.limits.memory,
                "cpu-ms": loaded.limits.cpu.as_millis(),
                "output-bytes": loaded.limits.output,
            })),
            "image": loaded.map(|loaded| if loaded.is_imaged { "captured" } else { "none" }),
            "trial": loaded.map(|_| "passed"),
            "authenticates": loaded.map(|loaded| loaded.authenticates),
            "load-ms": loaded.map(|loaded| loaded.took.as_millis()),
        })
    }

    /// For people.
    pub(super) fn text(&self, file: &Path) -> String {
        let name = self
            .rehearsal
            .manifest
            .as_ref()
            .map_or_else(String::new, |manifest| {
                format!(" ({} {})", manifest.name, manifest.version)
            });
        let rows = [
            self.rows_of_component(),
            self.rows_of_manifest(),
            self.rows_of_cost(),
        ];
        format!(
            "{}{name}: {}\n{}",
            file.display(),
            self.verdict(),
            table(&rows.concat())
        )
    }

    fn rows_of_component(&self) -> Vec<(&'static str, String)> {
        let Rehearsal {
            imports,
            exports,
            versions,
            ..
        } = &self.rehearsal;
        let mut component = size(self.component_bytes as u64);
        if let Some(loaded) = &self.loaded {
            component.push_str(&format!(", compiled {}", size(loaded.code_bytes as u64)));
        }
        let mut rows = vec![("component", component)];
        if !versions.is_empty() {
            let versions = versions.join(", ");
            rows.push((
                "contract",
                format!("{versions}; this gateway speaks {CONTRACT}"),
            ));
        }
        let import = |import: &rehearse::Import| {
            let given = match (import.given, import.capability) {
                (false, _) => "NOT GIVEN".to_owned(),
                (true, None) => "given".to_owned(),
                (true, Some(capability)) => format!("given if `grant` has {capability}"),
            };
            format!("{}  {given}", import.name)
        };
        if !versions.is_empty() {
            rows.push(("imports", lines(imports.iter().map(import))));
            rows.push(("exports", exports.join(", ")));
        }
        rows
    }

    fn rows_of_manifest(&self) -> Vec<(&'static str, String)> {
        let Some(manifest) = &self.rehearsal.manifest else {
            return Vec::new();
        };
        let mut says = Vec::new();
        if !manifest.summary.is_empty() {
            says.push(manifest.summary.clone());
        }
        if let Some(dialect) = &manifest.front {
            says.push(format!("front for {dialect}"));
        }
        if let Some(adapter) = &manifest.adapter {
            says.push(format!("adapter for {}", adapter.vendor));
        }
        says.push(
            if manifest.transforms {
                "may change bodies"
            } else {
                "changes no body"
            }
            .into(),
        );
        if !manifest.requires.is_empty() {
            says.push(format!("must be granted {}", manifest.requires.join(", ")));
        }
        for (note, value) in &manifest.response_if {
            says.push(format!(
                "sees responses only where the note {note} is {value}"
            ));
        }
        let mut rows = vec![("manifest", lines(says.into_iter()))];
        let schema = if manifest.config.is_some() {
            "a schema"
        } else {
            "no schema: it takes none"
        };
        let fits = match (&self.loaded, self.is_given) {
            (Some(_), true) => "the given one fits",
            (Some(_), false) => "an empty one fits",
            (None, _) => "not accepted",
        };
        rows.push(("configuration", format!("{schema}; {fits}")));
        rows
    }

    fn rows_of_cost(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let suggested = self
            .rehearsal
            .manifest
            .as_ref()
            .map(|manifest| &manifest.limits);
        if let Some(Loaded { limits, .. }) = &self.loaded {
            let PluginLimits {
                memory,
                cpu,
                output,
            } = limits;
            let mut text = format!(
                "memory {}, CPU {} a call, output {}",
                size(*memory),
                time(*cpu),
                size(*output)
            );
            let set = [
                (
                    "memory",
                    suggested.and_then(|limits| limits.memory.as_ref()),
                ),
                ("CPU", suggested.and_then(|limits| limits.cpu.as_ref())),
            ];
            for (what, value) in set {
                if let Some(value) = value {
                    text.push_str(&format!("\nthe manifest suggests {value} of {what}"));
                }
            }
            rows.push(("limits", text));
        }
        let last = self.rehearsal.calls.last().map_or("", |call| call.name);
        if let Some(memory) = self.rehearsal.memory {
            rows.push((
                "memory",
                format!("{} after `{}`", size(memory as u64), last),
            ));
        }
        for call in &self.rehearsal.calls {
            let cpu = match call.cpu {
                Duration::ZERO => "less than 2 ms".to_owned(),
                cpu => time(cpu),
            };
            let budget = time(rehearse::CPU);
            rows.push((
                call.name,
                format!("{}; CPU {cpu} of {budget}", time(call.wall)),
            ));
        }
        if let Some(loaded) = &self.loaded {
            let image = if loaded.is_imaged {
                "captured: every exchange starts from it"
            } else {
                "none: `configure` runs in every instance"
            };
            rows.push(("image", image.to_owned()));
            rows.push(("trial", format!("passed; loaded in {}", time(loaded.took))));
        }
        rows
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        "none".into()
    } else {
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_when_a_limit_is_near() {
        let mut report = Report::of(Rehearsal::default(), 0, false);
        report.warn_if_near("x", 79, 100, "mend");
        // What is beyond it is refused, or is no limit.
        report.warn_if_near("x", 101, 100, "mend");
        assert!(report.warnings.is_empty());
        report.warn_if_near("x", 80, 100, "mend");
        assert_eq!(report.warnings[0].reason, "x is at 80 % of its limit");
        let large = Report::of(Rehearsal::default(), MAX_BYTES, false);
        assert!(
            large.warnings[0]
                .reason
                .contains("the component's size is at 100 %")
        );
    }
}
