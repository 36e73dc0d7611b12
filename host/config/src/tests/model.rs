//! The sections `[[model]]`.

use super::{ADAPTED, SMALL, good, problems};
use crate::Model;

/// The models of a configuration with the upstreams `ollama`, without an adapter, and `second`, with one.
fn models(sections: &str) -> Vec<Model> {
    good(&format!("{SMALL}{ADAPTED}{sections}")).models
}

/// Key and mend of all problems.
fn wrong(sections: &str) -> Vec<(String, String)> {
    let problems = problems(&format!("{ADAPTED}{sections}"));
    problems.into_iter().map(|it| (it.key, it.mend)).collect()
}

#[test]
fn tenants_and_weights_are_read() {
    let models = models(
        "[[model]]\nname = \"a\"\ntenants = [\"team-a\", \"vip-*\"]\nupstream = \"second\"\nas = \"b\"\n\
         [[model]]\nname = \"a\"\nsplit = [{ upstream = \"second\", as = \"c\", weight = 9 },\n\
         { upstream = \"second\", as = \"d\", weight = 0 }, { upstream = \"second\", weight = 100000 }]\n\
         fallback = [{ upstream = \"ollama\" }]\n\
         [[model]]\nname = \"a\"\ntenants = [\"team-b\"]\nupstream = \"ollama\"\n",
    );
    let tenants: Vec<_> = models[0].tenants.iter().map(|it| it.as_str()).collect();
    assert_eq!(tenants, ["team-a", "vip-*"]);
    assert_eq!((models[0].shares.len(), models[0].shares[0].weight), (1, 1));
    let shares: Vec<_> = models[1]
        .shares
        .iter()
        .map(|share| (share.served_by.name.as_deref(), share.weight))
        .collect();
    assert_eq!(shares, [(Some("c"), 9), (Some("d"), 0), (None, 100_000)]);
    // Who is out of service is not asked.
    let asked: Vec<_> = models[1]
        .served_by()
        .map(|it| (it.upstream.as_str(), it.name.as_deref()))
        .collect();
    assert_eq!(
        asked,
        [("second", Some("c")), ("second", None), ("ollama", None)]
    );
    assert!(models[1].tenants.is_empty());
    assert_eq!(models[2].position.key, "model[2]");
}

/// Each configuration has this problem alone: its key, and what the mend says among other things.
fn assert_wrong(cases: &[(String, &str, &str)]) {
    for (sections, key, mend) in cases {
        let found = wrong(sections);
        assert_eq!(found.len(), 1, "{sections} {found:?}");
        assert_eq!(found[0].0, *key, "{sections}");
        assert!(found[0].1.contains(mend), "{sections} {found:?}");
    }
}

fn model(lines: &str) -> String {
    format!("[[model]]\nname = \"a\"\n{lines}\n")
}

#[test]
fn wrong_tenants_name_their_key_and_the_mend() {
    let one = |lines: &str| model(&format!("upstream = \"second\"\n{lines}"));
    assert_wrong(&[
        (one("tenants = []"), "model[0].tenants", "remove `tenants`"),
        (one("tenants = \"a\""), "model[0].tenants", "brackets"),
        (
            one("tenants = [\"\"]"),
            "model[0].tenants[0]",
            "name of a tenant",
        ),
        (
            one("tenants = [\"a\", \"a\"]"),
            "model[0].tenants[1]",
            "remove it",
        ),
        (
            one("tenants = [\"a*\", \"ab\"]"),
            "model[0].tenants[1]",
            "remove it",
        ),
        (one("") + &one(""), "model[1]", "`tenants`"),
        (
            one("tenants = [\"a\"]") + &one("tenants = [\"b\", \"a\"]"),
            "model[1]",
            "remove the tenant",
        ),
        (
            one("tenants = [\"a*\"]") + &one("tenants = [\"ab\"]"),
            "model[1]",
            "goes behind",
        ),
    ]);
}

#[test]
fn wrong_weights_name_their_key_and_the_mend() {
    let split = |entries: &str| model(&format!("split = [{entries}]"));
    let both = "{ upstream = \"second\", weight = 1 }, { upstream = \"ollama\", weight = 1 }";
    assert_wrong(&[
        (split(""), "model[0].split", "name the upstreams"),
        (
            model("split = { upstream = \"second\" }"),
            "model[0].split",
            "[[model.split]]",
        ),
        (
            split("{ upstream = \"second\" }"),
            "model[0].split[0]",
            "weight = 1",
        ),
        (split("{ weight = 1 }"), "model[0].split[0]", "add upstream"),
        (
            split("{ upstream = \"secnd\", weight = 1 }"),
            "model[0].split[0].upstream",
            "`second`",
        ),
        (
            split("{ upstream = \"second\", weight = 100001 }"),
            "model[0].split[0].weight",
            "up to 100000",
        ),
        (
            split("{ upstream = \"second\", weight = -1 }"),
            "model[0].split[0].weight",
            "or 0",
        ),
        (
            split("{ upstream = \"second\", weight = \"9\" }"),
            "model[0].split[0].weight",
            "without quotes",
        ),
        (
            split("{ upstream = \"second\", weight = 0 }, { upstream = \"ollama\", weight = 0 }"),
            "model[0].split",
            "above 0",
        ),
        (
            split("{ upstream = \"second\", weight = 1 }, { upstream = \"second\", weight = 2 }"),
            "model[0].split[1]",
            "add their weights up",
        ),
        (
            split("{ upstream = \"second\", weight = 1, wieght = 2 }"),
            "model[0].split[0].wieght",
            "`weight`",
        ),
        (
            model(&format!("upstream = \"second\"\nsplit = [{both}]")),
            "model[0].upstream",
            "into an entry of `split`",
        ),
        (
            model(&format!("as = \"b\"\nsplit = [{both}]")),
            "model[0].as",
            "into an entry of `split`",
        ),
        (
            model(&format!(
                "split = [{both}]\nfallback = [{{ upstream = \"second\" }}, {{ upstream = \"second\" }}]"
            )),
            "model[0]",
            "from `fallback`",
        ),
    ]);
}

#[test]
fn a_fallback_may_be_one_of_those_that_are_drawn() {
    let models = models(
        "[[model]]\nname = \"a\"\nsplit = [{ upstream = \"second\", weight = 1 }, { upstream = \"ollama\", weight = 1 }]\n\
         fallback = [{ upstream = \"second\" }]\n",
    );
    assert_eq!(models[0].fallback.len(), 1);
}
