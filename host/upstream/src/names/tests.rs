//! What lookups do to the targets of a name.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{Standing, Upstream, Vendor};

/// An upstream with one name, and one target beside it.
fn upstream(metrics: &Metrics, previous: Option<&Upstream>, lines: &str) -> Upstream {
    let text = format!(
        r#"
[[listener]]
listen = "127.0.0.1:0"
[upstream.main]
adapter = "openai"
targets = ["http://127.0.0.1:1", "dns+http://vllm.ns.svc:8000/base"]
{lines}
[[route]]
path = "/*"
pipeline = []
upstream = "main"
"#
    );
    let config = config::parse(&text, Path::new("."), &|_| None).expect("legal");
    let main = &config.upstreams["main"];
    Upstream::new(main, Vendor::Other, previous, metrics).expect("legal")
}

fn addresses(last: impl IntoIterator<Item = u8>) -> io::Result<Vec<IpAddr>> {
    Ok(last.into_iter().map(|it| [10, 0, 0, it].into()).collect())
}

fn labels(name: &Name) -> Vec<String> {
    let targets = name.targets();
    targets.iter().map(|it| it.label.to_string()).collect()
}

#[tokio::test]
async fn each_address_is_a_target_under_the_names_authority() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "");
    let name = upstream.names()[0].clone();
    assert_eq!((name.host(), name.was_looked_up()), ("vllm.ns.svc", false));
    assert_eq!(&*name.label, "dns+http://vllm.ns.svc:8000/base");
    assert_eq!(upstream.targets().len(), 1);
    let found = ["10.0.0.2", "::ffff:10.0.0.1", "10.0.0.2", "fd00::1"];
    let found = found.map(|it| it.parse().expect("an address")).to_vec();
    name.update(Ok(found), &metrics);
    assert_eq!(
        labels(&name),
        [
            "http://10.0.0.1:8000/base",
            "http://10.0.0.2:8000/base",
            "http://[fd00::1]:8000/base"
        ]
    );
    assert!(name.was_looked_up());
    assert_eq!(upstream.targets().len(), 4);
    for target in name.targets().iter() {
        assert_eq!(target.authority, "vllm.ns.svc:8000");
        assert_eq!(target.base, "/base");
        assert_eq!(target.host_and_port(), ("vllm.ns.svc".into(), 8000));
        assert_eq!(target.standing(None), Standing::Fit);
    }
}

#[tokio::test]
async fn those_that_stay_are_the_same_and_those_that_are_gone_end_with_their_series() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "");
    let name = &upstream.names()[0];
    name.update(addresses([1, 2]), &metrics);
    let before = name.targets();
    let visit = upstream.visit(&before[0]).expect("a place");
    name.update(addresses([2, 3]), &metrics);
    let now = name.targets();
    assert!(Arc::ptr_eq(&before[1], &now[0]), "one stays");
    let gone = before[0].clone();
    assert!(!now.iter().any(|it| Arc::ptr_eq(it, &gone)));
    let tried = [
        upstream.targets()[0].clone(),
        now[0].clone(),
        now[1].clone(),
    ];
    let choice = upstream.begin_exchange(None);
    let next = upstream.pick(Standing::Fit, &choice, &tried);
    assert!(next.is_none(), "it gets no further attempts");
    drop((before, next, gone));
    let has_series = || metrics.encode().contains("http://10.0.0.1:8000/base");
    assert!(has_series(), "an exchange still has it");
    drop(visit);
    assert!(!has_series());
    assert!(metrics.encode().contains("http://10.0.0.3:8000/base"));
}

#[tokio::test]
async fn a_lookup_that_fails_or_finds_nothing_changes_nothing() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "");
    let name = &upstream.names()[0];
    let no_such_name = || io::Error::other("no such name");
    name.update(Err(no_such_name()), &metrics);
    assert_eq!(name.problem().as_deref(), Some("no such name"));
    assert!(name.was_looked_up() && name.targets().is_empty());
    name.update(addresses([1, 2]), &metrics);
    assert_eq!(name.problem(), None);
    let before = name.targets();
    for (found, problem) in [
        (Err(no_such_name()), "no such name"),
        (addresses([]), "it has no address"),
    ] {
        name.update(found, &metrics);
        assert_eq!(name.problem().as_deref(), Some(problem));
        let now = name.targets();
        assert!(
            before
                .iter()
                .zip(now.iter())
                .all(|(a, b)| Arc::ptr_eq(a, b))
        );
        assert_eq!(now.len(), 2);
    }
    let text = metrics.encode();
    let labels = r#"upstream="main",name="dns+http://vllm.ns.svc:8000/base""#;
    for line in [
        format!("sluicegate_upstream_addresses{{{labels}}} 2"),
        format!("sluicegate_upstream_lookups_total{{{labels},result=\"ok\"}} 1"),
        format!("sluicegate_upstream_lookups_total{{{labels},result=\"failed\"}} 3"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn of_too_many_addresses_those_in_use_stay() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "");
    let name = &upstream.names()[0];
    let many = |range: std::ops::Range<u16>| {
        let address = |number: u16| {
            let [high, low] = number.to_be_bytes();
            IpAddr::from([10, 0, high, low])
        };
        Ok(range.map(address).collect())
    };
    name.update(many(100..356), &metrics);
    assert_eq!((name.targets().len(), name.problem()), (MOST, None));
    let before = name.targets();
    name.update(many(0..356), &metrics);
    assert_eq!(
        name.problem().as_deref(),
        Some("it has 356 addresses, of which only 256 are used")
    );
    let now = name.targets();
    assert_eq!(now.len(), MOST);
    assert!(
        before
            .iter()
            .all(|it| now.iter().any(|now| Arc::ptr_eq(it, now)))
    );
    name.update(many(90..300), &metrics);
    assert_eq!((name.targets().len(), name.problem()), (210, None));
}

#[tokio::test(start_paused = true)]
async fn one_that_joins_begins_with_less_than_its_share() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "slow-start = \"10s\"");
    let name = &upstream.names()[0];
    name.update(addresses([1]), &metrics);
    let shares = || {
        let mut shares = [0; 3];
        for _ in 0..900 {
            let choice = upstream.begin_exchange(None);
            let picked = upstream.pick(Standing::Fit, &choice, &[]).expect("one");
            let targets = upstream.targets();
            let at = targets.iter().position(|it| Arc::ptr_eq(it, &picked));
            shares[at.expect("one of them")] += 1;
        }
        shares
    };
    assert_eq!(shares(), [450, 450, 0], "the first ones do not");
    name.update(addresses([1, 2]), &metrics);
    let [_, _, new] = shares();
    assert!((1..100).contains(&new), "a tenth of its share: {new}");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(shares()[2] >= 250);
}

#[tokio::test]
async fn another_configuration_keeps_the_name_with_all_that_is_known() {
    let metrics = Metrics::new();
    let before = upstream(&metrics, None, "");
    before.names()[0].update(addresses([1]), &metrics);
    let after = upstream(&metrics, Some(&before), "timeout = { idle = \"5s\" }");
    assert!(Arc::ptr_eq(&before.names()[0], &after.names()[0]));
    assert!(Arc::ptr_eq(&before.targets()[1], &after.targets()[1]));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_that_is_gone_is_told_at_once() {
    let metrics = Metrics::new();
    let upstream = upstream(&metrics, None, "max-in-flight = 1");
    let name = &upstream.names()[0];
    name.update(addresses([1]), &metrics);
    let target = name.targets()[0].clone();
    let visit = upstream.visit(&target).expect("a place");
    let limit = upstream.in_flight.expect("configured");
    let began = Instant::now();
    let leaves = async {
        tokio::task::yield_now().await;
        assert_eq!(target.waiting(), 1);
        name.update(addresses([2]), &metrics);
    };
    let waits = upstream.wait_for_visit(&target, "tenant", &limit);
    let (waited, ()) = tokio::join!(waits, leaves);
    assert_eq!(waited.err(), Some(crate::Refused::Gone));
    assert_eq!((target.waiting(), began.elapsed().as_secs()), (0, 0));
    drop(visit);
}
