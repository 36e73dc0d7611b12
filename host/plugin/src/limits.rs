//! The limits of a plugin: those of the configuration, or those that the plugin suggests, or the defaults.

use std::time::Duration;

use sluicegate_contract::SuggestedLimits;

use sluicegate_config::{MAX_MEMORY, PluginLimits, SetLimits, units};

/// The longest CPU time that a plugin may suggest for a call. Arbitrary; an operator can allow more.
const MAX_CPU: Duration = Duration::from_secs(10);

/// The manifest suggests a limit that cannot be read or is too large.
#[derive(Debug, thiserror::Error)]
#[error("the manifest's `limits.{member}` is {text:?}: it must be {must}")]
pub struct Error {
    /// The member of `limits`.
    pub member: &'static str,
    /// Its value.
    pub text: String,
    /// What it must be.
    pub must: &'static str,
}

/// The limits while the plugin is loaded, before it has suggested any.
pub(super) fn while_loading(set: &SetLimits) -> PluginLimits {
    let default = PluginLimits::default();
    PluginLimits {
        memory: set.memory.unwrap_or(MAX_MEMORY),
        cpu: set.cpu.unwrap_or(default.cpu),
        output: set.output.unwrap_or(default.output),
    }
}

/// The limits in force.
///
/// # Errors
/// [`Error`] for a suggestion that cannot be read or is too large, even if the configuration sets the limit itself: the author
/// should know.
pub(super) fn resolve(set: &SetLimits, suggested: &SuggestedLimits) -> Result<PluginLimits, Error> {
    let default = PluginLimits::default();
    let memory = suggestion(suggested.memory.as_deref(), units::size, MAX_MEMORY);
    let memory = memory.map_err(|text| Error {
        member: "memory",
        text,
        must: "a size of at most 256MiB, such as \"64MiB\"",
    })?;
    let cpu = suggestion(suggested.cpu.as_deref(), units::duration, MAX_CPU);
    let cpu = cpu.map_err(|text| Error {
        member: "cpu",
        text,
        must: "a time of at most 10s, such as \"100ms\"",
    })?;
    Ok(PluginLimits {
        memory: set.memory.or(memory).unwrap_or(default.memory),
        cpu: set.cpu.or(cpu).unwrap_or(default.cpu),
        output: set.output.unwrap_or(default.output),
    })
}

/// A suggestion as a value, or its text if it cannot be read or is above `most`.
fn suggestion<T: PartialOrd + Copy>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    most: T,
) -> Result<Option<T>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    match parse(text).filter(|value| *value <= most) {
        Some(value) => Ok(Some(value)),
        None => Err(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(memory: &str, cpu: &str) -> SuggestedLimits {
        SuggestedLimits {
            memory: Some(memory.into()),
            cpu: Some(cpu.into()),
        }
    }

    #[test]
    fn the_configuration_wins_over_the_plugin_and_the_plugin_over_the_default() {
        let default = PluginLimits::default();
        let none = resolve(&SetLimits::default(), &SuggestedLimits::default());
        assert_eq!(none.ok(), Some(default.clone()));
        let own = resolve(&SetLimits::default(), &suggested("192MiB", "500ms")).ok();
        let own = own.expect("right");
        assert_eq!(
            (own.memory, own.cpu),
            (192 << 20, Duration::from_millis(500))
        );
        assert_eq!(own.output, default.output);
        let set = SetLimits {
            memory: Some(1 << 20),
            ..SetLimits::default()
        };
        let both = resolve(&set, &suggested("192MiB", "500ms")).expect("right");
        assert_eq!(
            (both.memory, both.cpu),
            (1 << 20, Duration::from_millis(500))
        );
    }

    #[test]
    fn a_suggestion_that_cannot_be_used_is_named() {
        for (memory, cpu, member) in [
            ("1GiB", "1ms", "memory"),
            ("lots", "1ms", "memory"),
            ("1MiB", "11s", "cpu"),
            ("1MiB", "5", "cpu"),
        ] {
            let error = resolve(&SetLimits::default(), &suggested(memory, cpu));
            let Err(Error { member: found, .. }) = error else {
                panic!("{memory} {cpu}");
            };
            assert_eq!(found, member);
        }
    }
}
