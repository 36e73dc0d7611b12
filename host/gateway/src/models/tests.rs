//! Which name decides, and for whom.

use sluicegate_config::{Position, ServedBy, Share};

use super::*;

pub(super) fn served(upstream: &str) -> ServedBy {
    ServedBy {
        upstream: upstream.to_owned(),
        name: None,
    }
}

/// A section whose model one upstream serves.
pub(super) fn model(name: &str, upstream: &str, tenants: &[&str]) -> Model {
    Model {
        name: NamePattern::new(name),
        tenants: tenants.iter().map(|it| NamePattern::new(it)).collect(),
        shares: vec![Share {
            served_by: served(upstream),
            weight: 1,
        }],
        fallback: Vec::new(),
        position: Position::default(),
    }
}

/// For everybody, each name on the upstream of the same name.
fn models(names: &[&str]) -> Models {
    let models: Vec<_> = names.iter().map(|name| model(name, name, &[])).collect();
    Models::new(&models, |_| Vendor::Other)
}

fn found(models: &Models, name: &str, tenant: Option<&str>) -> Option<String> {
    let split = models.find(name, tenant)?;
    Some(split.draw(|| 0)[0].upstream.to_string())
}

#[test]
fn exact_names_win_over_patterns_and_long_patterns_over_short_ones() {
    let models = models(&["*", "qwen3*", "qwen3:32b", "qwen3*b"]);
    let found = |name: &str| found(&models, name, None);
    assert_eq!(found("qwen3:32b").as_deref(), Some("qwen3:32b"));
    assert_eq!(found("qwen3:8b").as_deref(), Some("qwen3*b"));
    assert_eq!(found("qwen3").as_deref(), Some("qwen3*"));
    assert_eq!(found("llama").as_deref(), Some("*"));
}

#[test]
fn the_nearest_names_are_those_that_are_most_alike() {
    let models = models(&["qwen3:32b", "llama3", "mistral", "gemma3*", "phi4"]);
    assert!(models.find("qwen3:32", None).is_none());
    let nearest = models.nearest("qwen3:32", None);
    assert_eq!((nearest.len(), nearest[0].as_str()), (3, "qwen3:32b"));
}

#[test]
fn a_tenants_own_section_comes_first_and_a_shorter_pattern_lets_no_other_through() {
    let models = Models::new(
        &[
            model("*", "all", &[]),
            model("gpt", "all-gpt", &[]),
            model("gpt", "gpt-of-a", &["a"]),
            model("secret", "secret-of-a", &["a", "vip-*"]),
            model("secret", "secret-of-b", &["b"]),
            model("team-*", "team", &["a"]),
        ],
        |_| Vendor::Other,
    );
    for (name, tenant, upstream) in [
        ("gpt", None, Some("all-gpt")),
        ("gpt", Some("a"), Some("gpt-of-a")),
        ("gpt", Some("b"), Some("all-gpt")),
        ("secret", Some("a"), Some("secret-of-a")),
        ("secret", Some("vip-7"), Some("secret-of-a")),
        ("secret", Some("b"), Some("secret-of-b")),
        ("secret", Some("c"), None),
        ("secret", Some("A"), None),
        ("secret", Some(""), None),
        ("secret", None, None),
        ("team-x", Some("a"), Some("team")),
        ("team-x", Some("b"), None),
        ("team", Some("b"), Some("all")),
    ] {
        let found = found(&models, name, tenant);
        assert_eq!(found.as_deref(), upstream, "{name} {tenant:?}");
        let kept = models.is_kept(name, "elsewhere", tenant);
        assert_eq!(kept, upstream.is_none(), "{name} {tenant:?}");
    }
    // Nor does an error name what is not for them.
    assert_eq!(models.nearest("secret", Some("c")), ["gpt", "*"]);
    assert_eq!(models.nearest("secret", Some("b"))[0], "secret");
    assert!(models.have_tenants());
    assert!(!self::models(&["*"]).have_tenants());
}

#[test]
fn another_spelling_of_a_name_is_no_way_around_it() {
    let models = |vendor: Vendor| {
        let sections = [
            model("*", "main", &[]),
            model("secret", "main", &["a"]),
            model("Team-*", "main", &["a"]),
            model("*-instruct", "main", &["a"]),
            model("secret:7b", "main", &[]),
            model("open*", "other", &[]),
        ];
        Models::new(&sections, move |_| vendor)
    };
    let ollama = models(Vendor::Ollama);
    let b = Some("b");
    for name in [
        "secret:latest",
        "SECRET",
        "Secret:LATEST",
        "library/secret",
        "registry.ollama.ai/library/secret",
        "https://registry.ollama.ai/library/Secret:latest",
        "library/team-x",
        "team-x",
        "TEAM-X:7b",
        "x-Instruct",
        "x-instruct:latest",
    ] {
        assert_eq!(found(&ollama, name, b), None, "{name}");
        assert!(found(&ollama, name, Some("a")).is_some(), "{name}");
        assert!(ollama.is_kept(name, "main", b), "{name}");
        assert!(!ollama.is_kept(name, "main", Some("a")), "{name}");
    }
    for name in ["secrets", "secret:7b", "secret:8b", "x/secret", "instruct"] {
        assert_eq!(found(&ollama, name, b).as_deref(), Some("main"), "{name}");
    }
    assert_eq!(found(&ollama, "open-secret", b).as_deref(), Some("other"));
    // Other servers tell these names apart.
    let other = models(Vendor::Other);
    assert_eq!(found(&other, "SECRET", b).as_deref(), Some("main"));
}
