//! The operator's configuration, and the rules that it makes.

use serde::Deserialize;
use sluicegate_plugin::window::{Words, folded, replaced};

use crate::detect::Detector;
use crate::pattern::Pattern;
use crate::rules::{Kind, Pass, Rule, Side};
use crate::tally::Tally;
use crate::vault::LABEL;

/// The configuration; the schema says what its members mean.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    detect: Option<Vec<Detector>>,
    words: Vec<String>,
    rules: Vec<RuleConfig>,
    directions: Option<Vec<Direction>>,
    replacement: Option<String>,
    restore: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RuleConfig {
    name: Option<String>,
    detect: Option<Detector>,
    words: Option<Vec<String>>,
    regex: Option<String>,
    ignore_case: Option<bool>,
    whole_words: bool,
    directions: Option<Vec<Direction>>,
    replacement: Option<String>,
    restore: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    Request,
    Response,
}

impl Config {
    /// The rules, in the order in which they count.
    pub(crate) fn rules(mut self) -> Result<Vec<Rule>, String> {
        let own = std::mem::take(&mut self.rules);
        let words = std::mem::take(&mut self.words);
        let detectors = match self.detect.take() {
            Some(detectors) => detectors,
            None => Detector::USUAL.to_vec(),
        };
        let has_own = |detector| own.iter().any(|rule| rule.detect == Some(detector));
        let detectors: Vec<_> = detectors.into_iter().filter(|it| !has_own(*it)).collect();
        let mut rules = Vec::new();
        for (number, rule) in own.into_iter().enumerate() {
            let read = self.rule(rule, number + 1);
            rules.push(read.map_err(|error| format!("rule {}: {error}", number + 1))?);
        }
        if !words.is_empty() {
            let words = RuleConfig {
                name: Some("words".into()),
                words: Some(words),
                ..RuleConfig::default()
            };
            rules.push(self.rule(words, 0)?);
        }
        for detector in detectors {
            let detector = RuleConfig {
                detect: Some(detector),
                ..RuleConfig::default()
            };
            rules.push(self.rule(detector, 0)?);
        }
        check(&rules)?;
        Ok(rules)
    }

    fn rule(&self, rule: RuleConfig, number: usize) -> Result<Rule, String> {
        let is_text = |word: &String| !word.is_empty();
        let (usual, kind) = match (rule.detect, rule.words, rule.regex) {
            (Some(detector), None, None) => {
                if rule.ignore_case.is_some() || rule.whole_words {
                    return Err("`ignore-case` and `whole-words` are for words".into());
                }
                (detector.name().to_owned(), Kind::Detector(detector))
            }
            (None, Some(words), None) => {
                let words: Vec<_> = words.iter().map(|word| folded(word)).collect();
                if words.is_empty() || !words.iter().all(is_text) {
                    return Err("`words` needs words that are not empty".into());
                }
                let words = match rule.ignore_case {
                    Some(false) => Words::new(words, "")?,
                    Some(true) | None => Words::ignoring_case(words, "")?,
                };
                let words = if rule.whole_words {
                    words.whole()
                } else {
                    words
                };
                (format!("words-{number}"), Kind::Words(words))
            }
            (None, None, Some(regex)) => {
                if rule.whole_words {
                    return Err(
                        "`whole-words` is for words: write `\\b` in a regular expression".into(),
                    );
                }
                let pattern = Pattern::new(&regex, rule.ignore_case == Some(true))?;
                (format!("regex-{number}"), Kind::Pattern(Box::new(pattern)))
            }
            _ => return Err("a rule has one of `detect`, `words` and `regex`".into()),
        };
        let name = rule.name.unwrap_or(usual);
        let is_legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > LABEL || !name.bytes().all(is_legal) {
            return Err(format!(
                "the name {name:?} has to be of up to {LABEL} lower-case letters, digits and `-`"
            ));
        }
        let label = name.to_ascii_uppercase().replace('-', "_");
        let replacement = rule.replacement.or_else(|| self.replacement.clone());
        let replacement = replacement.unwrap_or_else(|| format!("[{label}]"));
        if replacement.is_empty() {
            return Err(
                "`replacement` must not be empty: what is left could become what is hidden".into(),
            );
        }
        let directions = rule.directions.or_else(|| self.directions.clone());
        let is_for = |direction| directions.as_ref().is_none_or(|it| it.contains(&direction));
        Ok(Rule {
            name,
            kind,
            in_request: is_for(Direction::Request),
            in_response: is_for(Direction::Response),
            replacement,
            label,
            restores: rule.restore.unwrap_or(self.restore),
        })
    }
}

/// What holds for all rules together.
fn check(rules: &[Rule]) -> Result<(), String> {
    if rules.is_empty() {
        return Err("nothing would be hidden: add a rule, or leave out `detect`".into());
    }
    for (at, rule) in rules.iter().enumerate() {
        let name = &rule.name;
        if rules[..at].iter().any(|other| other.label == rule.label) {
            return Err(format!("two rules have the name `{name}`"));
        }
        if !rule.in_request && !rule.in_response {
            return Err(format!("the rule `{name}` has no direction"));
        }
        let mut instead = vec![rule.replacement.clone()];
        if rule.restores {
            instead.push(format!("[{}_1]", rule.label));
        }
        for text in instead {
            if let Some(other) = found_in(rules, &text) {
                return Err(format!(
                    "what stands in place of the rule `{name}`, `{text}`, is itself hidden by the rule `{other}`: \
                     change its `replacement` or its `name`"
                ));
            }
        }
    }
    Ok(())
}

/// The rule that hides something in this text.
fn found_in(rules: &[Rule], text: &str) -> Option<String> {
    let hides = |rule: &&Rule| {
        let side = if rule.in_request {
            Side::Request
        } else {
            Side::Response
        };
        let tally = &mut Tally::default();
        let pass = Pass::new(std::slice::from_ref(*rule), side, tally);
        replaced(pass, text).is_some()
    };
    rules.iter().find(hides).map(|rule| rule.name.clone())
}
