//! Requests to other servers: where they may go, what bounds them, and that nobody else waits for them.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use sluicegate_plugin_host::{Engine, Loader};
use sluicegate_tests::client::Raw;
use sluicegate_tests::{
    Barrier, Gateway, Script, Setup, Upstream, eventually, guest, logs, within,
};

use super::{admin, ask, granted, model, reloadable, setup};

/// An identity provider that lets everybody in, but where its path says something else.
async fn provider(barrier: &Barrier) -> Upstream {
    let barrier = barrier.clone();
    Upstream::start(move |request| match request.path() {
        "/redirect" => Script::redirect(302, "http://127.0.0.1:1/elsewhere"),
        "/silent" => Script::silent(),
        "/slow" => Script::status(200)
            .field("content-type", "text/plain")
            .chunked()
            .sleep(Duration::from_millis(200))
            .chunk("slow"),
        "/wait" => Script::status(200).length(2).wait(&barrier).chunk("ok"),
        "/huge" => Script::status(200).body(vec![b'x'; (1 << 20) + 1]),
        _ => Script::status(200)
            .field("content-type", "text/plain")
            .body("hello"),
    })
    .await
}

fn grant(provider: &Upstream) -> String {
    format!("http = [\"{}\"], kv = true", provider.url())
}

#[tokio::test]
async fn a_gate_asks_an_identity_provider() {
    let provider = provider(&Barrier::new()).await;
    let gateway = granted(&model().await, &grant(&provider)).await;
    let client = gateway.client();
    let url = provider.url();
    let commands = format!("fetch GET {url}/; fetch POST {url}/a?b; fetch GET {url}/redirect");
    let results = ask(&client, &commands).await;
    assert_eq!(results, ["200 5 text/plain", "200 5 text/plain", "302 0 "]);
    let requests = provider.requests();
    let lines: Vec<_> = requests
        .iter()
        .map(|it| format!("{} {}", it.method, it.target))
        .collect();
    assert_eq!(lines, ["GET /", "POST /a?b", "GET /redirect"]);
    let host = provider.address().to_string();
    assert_eq!(requests[1].header("host"), Some(host.as_str()));
    assert_eq!(requests[1].connection, requests[0].connection);
    gateway.shutdown().await;
}

#[tokio::test]
async fn waiting_costs_none_of_the_cpu_budget() {
    let provider = provider(&Barrier::new()).await;
    let gateway = setup(&model().await, "")
        .plugin(
            "patient",
            guest::CAPABLE,
            &format!(
                "grant = {{ {} }}\nlimits = {{ cpu = \"20ms\" }}",
                grant(&provider)
            ),
        )
        .route("/patient", r#"["patient"]"#, "")
        .start()
        .await;
    let url = provider.url();
    let slow = format!("fetch GET {url}/slow; fetch GET {url}/slow");
    let response = gateway.client().with("x-do", &slow).get("/patient").await;
    assert_eq!(
        response.text(),
        r#"["200 4 text/plain","200 4 text/plain"]"#
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_not_listed_is_denied_and_not_asked() {
    let (provider, other) = (provider(&Barrier::new()).await, model().await);
    let port = provider.address().port();
    // The name is listed, and its address is not.
    let grant = format!("http = [\"http://localhost:{port}\"]");
    let gateway = granted(&model().await, &grant).await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let commands = format!(
        "fetch GET http://localhost:{port}/; fetch GET {}/; fetch GET {}/; fetch GET https://localhost:{port}/",
        provider.url(),
        other.url()
    );
    assert_eq!(ask(&client, &commands).await, ["denied"; 4]);
    assert_eq!((provider.connections(), other.connections()), (0, 0));
    let line = logs::line("why", |line| {
        line["req"] == id.as_str()
            && line["error"]
                .as_str()
                .is_some_and(|it| it.contains("has no public address"))
    })
    .await;
    assert_eq!(line["plugin"], "guest");
    gateway.shutdown().await;
    let grant = format!(
        "http = {{ origins = [\"http://localhost:{port}\"], networks = [\"127.0.0.1\", \"::1\"] }}"
    );
    let gateway = granted(&model().await, &grant).await;
    let commands = format!("fetch GET http://localhost:{port}/");
    let results = ask(&gateway.client(), &commands).await;
    assert_eq!(results, ["200 5 text/plain"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let provider = provider(&Barrier::new()).await;
    let gateway = granted(&model().await, &grant(&provider)).await;
    let url = provider.url();
    let commands = format!(
        "fetch GET {url}/silent 50; fetch GET {url}/huge; fetch GET nowhere; fetch CONNECT {url}/; fetch GET {url}/"
    );
    let results = ask(&gateway.client(), &commands).await;
    let expected = [
        "unavailable",
        "over-limit",
        "invalid",
        "invalid",
        "200 5 text/plain",
    ];
    assert_eq!(results, expected);
    within("it is hung up on", provider.requests()[0].disconnected()).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_hundred_calls_of_a_plugin_may_wait_of_one_client_fewer() {
    let barrier = Barrier::new();
    let provider = provider(&barrier).await;
    let grant = grant(&provider);
    let gateway = setup(&model().await, &grant)
        .plugin("other", guest::CAPABLE, &format!("grant = {{ {grant} }}"))
        .route("/other", r#"["other"]"#, "")
        .start()
        .await;
    let client = gateway.client();
    let wait = format!("fetch GET {}/wait", provider.url());
    let first = join_all((0..89).map(|_| ask(&client, &wait)));
    let others = async {
        waiting(&provider, 89).await;
        let results = ask(&client, &format!("{wait}; set k v; get k")).await;
        assert_eq!(results, ["unavailable", "set", "v"]);
        let client = client.clone().at(2);
        let second = join_all((0..11).map(|_| ask(&client, &wait)));
        let refused = async {
            waiting(&provider, 100).await;
            for last in [1, 2, 3] {
                let client = client.clone().at(last);
                assert_eq!(ask(&client, &wait).await, ["unavailable"]);
            }
            let quick = format!("fetch GET {}/", provider.url());
            let other = client.clone().with("x-do", &quick).get("/other").await;
            assert_eq!(other.text(), r#"["200 5 text/plain"]"#);
            assert_eq!(provider.requests().len(), 101);
            barrier.open();
        };
        tokio::join!(second, refused).0
    };
    let (first, second) = tokio::join!(first, others);
    let mut results = first.iter().chain(&second);
    assert!(results.all(|it| it[0].starts_with("200 2")));
    assert_eq!(ask(&client, &wait).await, ["200 2 "]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn gates_that_wait_leave_half_of_the_entrance_to_others() {
    let barrier = Barrier::new();
    let provider = provider(&barrier).await;
    let lines = format!("grant = {{ {} }}", grant(&provider));
    let model = model().await;
    let gateway = setup(&model, &grant(&provider))
        .plugin("second", guest::CAPABLE, &lines)
        .route("/second", r#"["second"]"#, "")
        .plugin("third", guest::CAPABLE, &lines)
        .route("/third", r#"["third"]"#, "")
        .plugin("auth", "builtin:auth", "")
        .route("/plain", r#"["auth"]"#, "")
        .start()
        .await;
    let url = format!("fetch GET {}/wait", provider.url());
    let client = |last| gateway.client().at(last).with("x-do", &url);
    let [first, second, third, fourth] = [1, 2, 3, 4].map(client);
    let begun = async {
        let first = join_all((0..89).map(|_| first.get("/x")));
        let second = join_all((0..25).map(|_| second.get("/second")));
        let third = async {
            // The last places are for clients that have few.
            waiting(&provider, 114).await;
            assert_eq!(client(2).get("/second").await.text(), r#"["unavailable"]"#);
            join_all((0..14).map(|_| third.get("/third"))).await
        };
        tokio::join!(first, second, third)
    };
    let others = async {
        waiting(&provider, 128).await;
        assert_eq!(fourth.get("/third").await.text(), r#"["unavailable"]"#);
        assert_eq!(gateway.client().get("/plain").await.status, 200);
        barrier.open();
    };
    let ((first, second, third), ()) = tokio::join!(begun, others);
    let mut results = first.iter().chain(&second).chain(&third);
    assert!(results.all(|it| it.text() == r#"["200 2 "]"#));
    assert_eq!(fourth.get("/third").await.text(), r#"["200 2 "]"#);
    gateway.shutdown().await;
}

/// Until the provider has been asked so often.
pub(super) async fn waiting(provider: &Upstream, count: usize) {
    eventually("they wait", async || {
        (provider.requests().len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_free_stack_only_those_fail_that_need_one() {
    const STACKS: usize = 8;
    let barrier = Barrier::new();
    let provider = provider(&barrier).await;
    let model = model().await;
    let setup = setup(&model, &grant(&provider))
        .plugin("auth", "builtin:auth", "")
        .route("/plain", r#"["auth"]"#, "");
    let count = u32::try_from(STACKS).expect("a few");
    let engine = Engine::with_sandboxes(count).expect("an engine");
    let gateway = Gateway::start_on(&setup.toml(), &Loader::new(engine))
        .await
        .expect("it starts");
    let client = gateway.client();
    let wait = format!("fetch GET {}/wait", provider.url());
    let waiting = async { join_all((0..STACKS).map(|_| ask(&client, &wait))).await };
    let others = async {
        eventually("all stacks are in use", async || {
            (provider.requests().len() == STACKS).then_some(())
        })
        .await;
        let refused = client.clone().with("x-do", "get k").get("/x").await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(client.get("/plain").await.status, 200);
        barrier.open();
    };
    let (results, ()) = tokio::join!(waiting, others);
    assert!(results.iter().all(|it| it[0].starts_with("200 2")));
    assert_eq!(ask(&client, "get k").await, ["none"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait_and_the_guest_goes_on() {
    let provider = provider(&Barrier::new()).await;
    let gateway = granted(&model().await, &grant(&provider)).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let url = provider.url();
    raw.send(format!(
        "GET /x HTTP/1.1\r\nhost: x\r\nx-do: fetch GET {url}/silent; set after left\r\n\r\n"
    ))
    .await;
    let request = within("it is asked", provider.next_request()).await;
    drop(raw);
    within("it is hung up on", request.disconnected()).await;
    eventually("the guest went on", async || {
        (ask(&gateway.client(), "get after").await == ["left"]).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_drain_ends_the_wait() {
    let provider = provider(&Barrier::new()).await;
    let gateway = setup(&model().await, &grant(&provider))
        .server("drain-timeout = \"100ms\"")
        .start()
        .await;
    let client = gateway.client();
    let commands = format!("fetch GET {}/silent", provider.url());
    let asked = ask(&client, &commands);
    let stopped = async {
        let request = within("it is asked", provider.next_request()).await;
        within("it stops", gateway.shutdown()).await;
        within("it is hung up on", request.disconnected()).await;
    };
    let (results, ()) = tokio::join!(asked, stopped);
    assert_eq!(results, ["unavailable"]);
}

#[tokio::test]
async fn a_call_that_waits_is_not_disturbed_by_a_reload() {
    let barrier = Barrier::new();
    let provider = provider(&barrier).await;
    let model = model().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sluicegate.toml");
    let write = |limit: &str| {
        let lines = format!(
            "grant = {{ {} }}\nlimits = {{ cpu = \"{limit}\" }}",
            grant(&provider)
        );
        let setup = Setup::before(&model).guest(guest::CAPABLE, &lines);
        fs::write(&file, reloadable(&setup)).expect("written");
    };
    write("100ms");
    let gateway = Gateway::start_from(&file).await.expect("it starts");
    let client = gateway.client();
    let commands = format!("fetch GET {}/wait; set k v; get k", provider.url());
    let asked = ask(&client, &commands);
    let reloaded = async {
        within("it is asked", provider.next_request()).await;
        write("200ms");
        let admin = admin(&gateway);
        let reloaded = admin.post("/reload", &serde_json::Value::Null).await;
        assert_eq!(reloaded.status, 200);
        barrier.open();
    };
    let (results, ()) = tokio::join!(asked, reloaded);
    assert_eq!(results, ["200 2 ", "set", "v"]);
    assert_eq!(ask(&client, "get k").await, ["v"]);
    gateway.shutdown().await;
}
