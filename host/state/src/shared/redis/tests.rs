//! Against a real server, which each test starts for itself on a socket in its own folder.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use sluicegate_contract::capability::rate::window::Window;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::shared::Entry;

/// A server of a test, which ends with it.
struct Server {
    folder: TempDir,
    child: Child,
}

fn spawn(folder: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--unixsocket", "redis.sock"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server runs: install Debian's package `redis-server`")
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let child = spawn(folder.path());
        Self { folder, child }
    }

    fn stop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
    }

    fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("redis.sock").display())
    }

    /// A gateway's state there, and what keeps it connected.
    async fn gateway(&self, lease: Duration) -> (Redis, JoinSet<()>) {
        let settings = Settings {
            lease,
            timeout: Duration::from_secs(5),
            retry: Duration::from_millis(5),
        };
        let redis = Redis::new(&self.url(), settings).expect("a URL");
        let mut running = JoinSet::new();
        let own = redis.clone();
        running.spawn(async move { own.run().await });
        reachable(&redis, true).await;
        (redis, running)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LONG: Duration = Duration::from_secs(60);

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), looking).await;
    found.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn reachable(redis: &Redis, is: bool) {
    eventually("it is reachable, or not", async || {
        redis.is_reachable() == is
    })
    .await;
}

fn limit(name: &str, amount: u64, capacity: u64, per_ms: u64) -> Limit {
    Limit {
        name: name.into(),
        subject: "s".into(),
        amount,
        capacity,
        period: match per_ms {
            0 => Period::Held,
            ms => Period::Rolling(ms),
        },
    }
}

const DAY: u64 = 24 * 60 * 60 * 1000;

async fn reserve(space: &Arc<dyn Space>, of: &[Limit]) -> Verdict {
    space.reserve(1, of).await.expect("it is reachable")
}

async fn left(space: &Arc<dyn Space>, of: &Limit) -> i64 {
    let look = Limit {
        amount: 0,
        ..of.clone()
    };
    let verdict = space.take(1, &[look]).await.expect("it is reachable");
    verdict.standings[0].remaining
}

#[tokio::test]
async fn two_gateways_share_a_limit_and_settle_what_they_used() {
    let server = Server::start();
    let (one, _one) = server.gateway(LONG).await;
    let (two, _two) = server.gateway(LONG).await;
    let (one, two) = (one.space("p"), two.space("p"));
    let of = limit("t", 60, 100, DAY);
    let granted = reserve(&one, std::slice::from_ref(&of)).await;
    assert!(granted.granted);
    assert_eq!(granted.standings[0].remaining, 40);
    let refused = reserve(&two, std::slice::from_ref(&of)).await;
    assert!(!refused.granted);
    let standing = refused.standings[0];
    assert_eq!(standing.remaining, 40);
    let wait = standing.retry_ms.expect("some time");
    assert!(wait <= DAY / 5 && wait > DAY / 5 - 60_000, "{wait}");
    one.settle(&of, 10).await.expect("settled");
    assert_eq!(left(&two, &of).await, 90);
    assert!(reserve(&two, std::slice::from_ref(&of)).await.granted);
    two.settle(&of, 150).await.expect("settled");
    assert_eq!(left(&one, &of).await, -60);
    assert_eq!(
        left(&server.gateway(LONG).await.0.space("other"), &of).await,
        100
    );
}

#[tokio::test]
async fn units_come_back_by_the_time_of_the_server() {
    let server = Server::start();
    let (redis, _running) = server.gateway(LONG).await;
    let space = redis.space("p");
    let of = limit("r", 10, 10, 200);
    assert!(
        space
            .take(1, std::slice::from_ref(&of))
            .await
            .expect("reachable")
            .granted
    );
    assert!(
        !space
            .take(1, std::slice::from_ref(&of))
            .await
            .expect("reachable")
            .granted
    );
    eventually("all are back", async || {
        space
            .take(1, std::slice::from_ref(&of))
            .await
            .expect("reachable")
            .granted
    })
    .await;
}

#[tokio::test]
async fn all_limits_are_taken_or_none() {
    let server = Server::start();
    let (redis, _running) = server.gateway(LONG).await;
    let space = redis.space("p");
    let of = [
        limit("a", 5, 10, DAY),
        limit("b", 5, 5, DAY),
        limit("c", 1, 1, 0),
    ];
    assert!(space.reserve(1, &of[..2]).await.expect("reachable").granted);
    let refused = reserve(&space, &of).await;
    let granted: Vec<_> = refused.standings.iter().map(|it| it.granted).collect();
    assert_eq!((refused.granted, granted), (false, vec![true, false, true]));
    assert_eq!(refused.standings[0].remaining, 5, "it was given back");
    assert_eq!(left(&space, &of[0]).await, 5);
    assert_eq!(left(&space, &of[2]).await, 1);
    // For good, none of which is held.
    let refused = space.take(1, &of[..2]).await.expect("reachable");
    assert!(!refused.granted);
    assert_eq!(left(&space, &of[0]).await, 5);
    space.give_back(of[..2].to_vec());
    eventually("given back", async || left(&space, &of[0]).await == 10).await;
    assert!(space.take(1, &of[..2]).await.expect("reachable").granted);
    assert_eq!(left(&space, &of[0]).await, 5);
    assert!(redis.0.ledger().all().is_empty());
}

#[tokio::test]
async fn a_killed_gateway_holds_nothing_after_its_lease_and_a_live_one_does() {
    let server = Server::start();
    let lease = Duration::from_millis(300);
    let (dead, dead_running) = server.gateway(lease).await;
    let (live, _live) = server.gateway(lease).await;
    let (slots, tokens) = (limit("c", 2, 5, 0), limit("t", 40, 100, DAY));
    for redis in [&dead, &live] {
        let both = [slots.clone(), tokens.clone()];
        assert!(reserve(&redis.space("p"), &both).await.granted);
    }
    drop(dead_running);
    let (third, _third) = server.gateway(lease).await;
    let space = third.space("p");
    assert!(!reserve(&space, &[limit("c", 2, 5, 0)]).await.granted);
    eventually("the dead one holds nothing", async || {
        let looked = space
            .take(
                1,
                &[Limit {
                    amount: 0,
                    ..slots.clone()
                }],
            )
            .await;
        looked.expect("reachable").standings[0].remaining == 3
    })
    .await;
    assert_eq!(left(&space, &tokens).await, 60);
    // The live one has renewed its lease several times by now.
    sleep(lease * 3).await;
    assert_eq!(left(&space, &slots).await, 3);
    assert_eq!(left(&space, &tokens).await, 60);
    live.space("p").settle(&tokens, 5).await.expect("settled");
    live.space("p").give_back(vec![slots.clone()]);
    eventually("all is free", async || left(&space, &slots).await == 5).await;
    assert_eq!(left(&space, &tokens).await, 95);
}

#[tokio::test]
async fn while_it_is_gone_calls_fail_at_once_and_what_is_settled_is_booked_later() {
    let mut server = Server::start();
    let (redis, _running) = server.gateway(LONG).await;
    let space = redis.space("p");
    let (held, tokens) = (limit("c", 2, 5, 0), limit("t", 40, 100, DAY));
    assert!(
        reserve(&space, &[held.clone(), tokens.clone()])
            .await
            .granted
    );
    assert!(reserve(&space, std::slice::from_ref(&tokens)).await.granted);
    server.stop();
    let began = tokio::time::Instant::now();
    eventually("it is noticed", async || {
        space.take(1, &[limit("r", 1, 1, DAY)]).await == Err(Error::Unavailable)
    })
    .await;
    reachable(&redis, false).await;
    assert_eq!(space.get("k".into()).await, Err(Error::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(3));
    space.settle(&tokens, 7).await.expect("it is in the ledger");
    server.start_again();
    reachable(&redis, true).await;
    // The server has lost its data: what is still reserved, and what was settled meanwhile, is said again.
    assert_eq!(left(&space, &held).await, 3);
    eventually("it is booked", async || {
        left(&space, &tokens).await == 100 - 40 - 7
    })
    .await;
    space.settle(&tokens, 3).await.expect("settled");
    assert_eq!(left(&space, &tokens).await, 100 - 7 - 3);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_given_back() {
    let server = Server::start();
    let (redis, _running) = server.gateway(LONG).await;
    let space = redis.space("p");
    let of = [limit("c", 1, 100, 0), limit("d", 1, 100, DAY)];
    for _ in 0..50 {
        let mut asked = space.reserve(1, &of);
        // It is sent, and dropped before or after the reply.
        let _ = tokio::time::timeout(Duration::from_micros(50), &mut asked).await;
    }
    let kept = redis.0.ledger().all();
    // Those that were in time are kept by this test, which loses them.
    let reserved: u64 = kept.iter().map(|(_, it)| it.reserved).max().unwrap_or(0);
    eventually("the rest is free", async || {
        let now = redis.0.ledger().all();
        now.iter().all(|(_, it)| it.due == 0)
    })
    .await;
    let held = left(&space, &of[0]).await;
    let of_ledger = redis
        .0
        .ledger()
        .all()
        .iter()
        .map(|(_, it)| it.reserved)
        .max();
    assert_eq!(
        100 - held,
        i64::try_from(of_ledger.unwrap_or(0)).expect("few"),
        "{reserved}"
    );
}

#[tokio::test]
async fn two_hundred_askers_of_two_gateways_get_no_more_than_there_is() {
    let server = Server::start();
    let (one, _one) = server.gateway(LONG).await;
    let (two, _two) = server.gateway(LONG).await;
    let spaces = [one.space("p"), two.space("p")];
    let of = [
        limit("r", 1, 50, DAY),
        limit("c", 1, 20, 0),
        limit("t", 10, 1000, DAY),
    ];
    let ask = |n: usize| {
        let space = &spaces[n % 2];
        let of = &of;
        async move { space.reserve(1, of).await.expect("reachable").granted }
    };
    let granted = futures_util::future::join_all((0..200).map(ask)).await;
    assert!(granted.iter().filter(|it| **it).count() <= 20);
    let mut last = granted.iter().filter(|it| **it).count();
    // Those that met another one that was given back try again, one by one.
    for n in 0..20 {
        last += usize::from(ask(n).await);
    }
    assert_eq!(last, 20);
    assert_eq!(left(&spaces[0], &of[0]).await, 30);
    assert_eq!(left(&spaces[0], &of[2]).await, 800);
}

fn entry(key: &str, value: &str, ttl_ms: Option<u64>, only_new: bool) -> Entry {
    Entry {
        key: key.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl_ms,
        only_new,
    }
}

#[tokio::test]
async fn values_are_those_of_the_contract() {
    let server = Server::start();
    let (redis, _running) = server.gateway(LONG).await;
    let space = redis.space("p");
    let quota = Quota {
        keys: 2,
        bytes: 1024,
    };
    let set = async |key: &str, value: &str, ttl, only_new| {
        space.set(quota, entry(key, value, ttl, only_new)).await
    };
    let get = async |key: &str| space.get(key.into()).await.expect("reachable");
    assert_eq!(get("k").await, None);
    assert_eq!(set("k", "v", None, false).await, Ok(true));
    assert_eq!(set("k", "w", None, true).await, Ok(false));
    assert_eq!(get("k").await.as_deref(), Some(&b"v"[..]));
    assert_eq!(
        space.add(quota, "k".into(), 1, None).await,
        Err(Error::Invalid)
    );
    assert_eq!(space.add(quota, "n".into(), 2, None).await, Ok(2));
    assert_eq!(space.add(quota, "n".into(), -5, Some(1)).await, Ok(-3));
    assert_eq!(
        space.add(quota, "n".into(), i64::MIN, None).await,
        Err(Error::Invalid)
    );
    assert_eq!(set("more", "v", None, false).await, Err(Error::OverLimit));
    assert_eq!(
        space.add(quota, "m".into(), 1, None).await,
        Err(Error::OverLimit)
    );
    assert_eq!(get("m").await, None);
    assert_eq!(space.delete("n".into()).await, Ok(()));
    assert_eq!(set("t", "v", Some(50), false).await, Ok(true));
    let long = "x".repeat(1000);
    assert_eq!(set("k", &long, None, false).await, Err(Error::OverLimit));
    eventually("its time is over", async || get("t").await.is_none()).await;
    assert_eq!(set("more", "v", None, true).await, Ok(true));
    assert_eq!(set("", "v", None, true).await, Err(Error::Invalid));
    assert_eq!(set("k", "v", Some(0), true).await, Err(Error::Invalid));
    assert_eq!(redis.space("q").get("k".into()).await, Ok(None));
}

#[test]
fn a_url_with_a_password_is_not_shown() {
    let redis = Redis::new("redis://u:secret@127.0.0.1:1/2", Settings::default());
    let redis = redis.expect("a URL");
    assert_eq!(redis.address(), "127.0.0.1:1");
    assert!(!format!("{redis:?} {:?}", redis.space("p")).contains("secret"));
    let bad = Redis::new("redis://u:secret@[", Settings::default());
    assert!(!bad.expect_err("no URL").to_string().contains("secret"));
}

fn of_a_month(amount: u64, label: &str) -> Limit {
    let window = Window {
        label: label.into(),
        left_ms: DAY,
    };
    Limit {
        period: Period::Calendar(window),
        ..limit("money", amount, 100, 0)
    }
}

#[tokio::test]
async fn gateways_share_a_budget_which_begins_anew_with_its_month() {
    let server = Server::start();
    let (one, _one) = server.gateway(LONG).await;
    let (two, _two) = server.gateway(LONG).await;
    let of = of_a_month(60, "2026-11");
    let (first, second) = (one.space("p"), two.space("p"));
    assert!(reserve(&first, std::slice::from_ref(&of)).await.granted);
    let refused = reserve(&second, std::slice::from_ref(&of)).await;
    assert!(!refused.granted);
    let standing = refused.standings[0];
    assert_eq!(
        (standing.remaining, standing.retry_ms, standing.reset_ms),
        (40, Some(DAY), Some(DAY))
    );
    let listed = async || {
        let listed = two.budgets().await.expect("it is reachable");
        assert_eq!(listed.len(), 1, "{listed:?}");
        let (plugin, budget) = listed.into_iter().next().expect("one");
        assert_eq!(
            (&*plugin, &*budget.name, &*budget.subject),
            ("p", "money", "s")
        );
        assert_eq!((&*budget.window, budget.capacity), ("2026-11", 100));
        assert!((1..=DAY + 1000).contains(&budget.left_ms));
        (budget.spent, budget.reserved)
    };
    assert_eq!(listed().await, (0, 60));
    first.settle(&of, 75).await.expect("settled");
    assert_eq!(listed().await, (75, 0));
    assert_eq!(left(&second, &of).await, 25);
    assert_eq!(left(&second, &of_a_month(0, "2026-12")).await, 100);
    // What comes back evenly and what is held are no budgets.
    reserve(&first, &[limit("r", 1, 5, DAY), limit("h", 1, 5, 0)]).await;
    assert_eq!(listed().await, (75, 0));
}
