//! Who is let in, and for how long: cookies, one-time links, tokens, guesses, revocation.

use serde_json::{Value, json};

use super::client::{Ws, closed, frame, open, request};
use super::http::{Http, raw};
use super::{ANN, BOB, World, user};

/// A browser that is logged in: its cookie and the secret beside it.
pub(super) async fn browser(world: &World) -> (String, String) {
    let http = Http::new(world);
    let answer = http
        .post("/api/v1/login", &[], &json!({ "token": ANN }))
        .await;
    assert_eq!(answer.status, 200);
    let cookie = answer.headers["set-cookie"]
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    (
        cookie,
        answer.json["bind"].as_str().expect("a secret").to_owned(),
    )
}

/// The origin of the page.
pub(super) fn page(world: &World) -> String {
    format!("http://{}", world.host())
}

/// What a socket with these fields gets as the answer to hello: the close code, or `None` if it is let in.
async fn greeted(world: &World, fields: &[(&'static str, &str)], params: Value) -> Option<u16> {
    let mut ws = open(&world.host(), fields).await.expect("an upgrade");
    let mut hello = json!({ "min": 1, "max": 1 });
    for (key, value) in params.as_object().expect("an object") {
        hello[key] = value.clone();
    }
    request(&mut ws, "1", "hello", &hello).await;
    let answer = frame(&mut ws).await.expect("a reason comes as a frame");
    if answer["ok"] == true {
        return None;
    }
    assert_eq!(answer["error"]["code"], "UNAUTHENTICATED");
    Some(closed(&mut ws).await)
}

#[tokio::test]
async fn a_cookie_without_the_secret_beside_it_is_no_login() {
    let world = World::new().await;
    let (cookie, bind) = browser(&world).await;
    let origin = page(&world);
    let fields = [("origin", origin.as_str()), ("cookie", cookie.as_str())];
    assert_eq!(greeted(&world, &fields, json!({})).await, Some(4401));
    assert_eq!(
        greeted(&world, &fields, json!({ "bind": "b_wrong" })).await,
        Some(4401)
    );
    assert_eq!(
        greeted(&world, &fields[..1], json!({ "bind": bind })).await,
        Some(4401)
    );
    assert_eq!(
        greeted(&world, &fields, json!({ "bind": bind })).await,
        None
    );
    let http = Http::new(&world);
    let status = async |fields: &[(&str, &str)]| http.get("/api/v1/me", fields).await.status;
    assert_eq!(status(&[("cookie", &cookie)]).await, 401);
    assert_eq!(status(&[("x-sluice-bind", &bind)]).await, 401);
    assert_eq!(
        status(&[("cookie", &cookie), ("x-sluice-bind", &bind)]).await,
        200
    );
    let (other, _) = browser(&world).await;
    assert_eq!(
        status(&[("cookie", &other), ("x-sluice-bind", &bind)]).await,
        401,
        "the two belong together"
    );
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_and_other_sites_and_named_after_the_port() {
    let world = World::new().await;
    let answer = Http::new(&world)
        .post("/api/v1/login", &[], &json!({ "token": ANN }))
        .await;
    let cookie = answer.headers["set-cookie"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        cookie.starts_with(&format!("sluice_{}=", world.chat().address().port())),
        "{cookie}"
    );
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(flag), "{flag} in {cookie}");
    }
    assert!(!cookie.contains("Domain"));
}

#[tokio::test]
async fn behind_tls_the_cookie_is_secure_and_bound_to_its_host() {
    let world =
        World::with(|settings| settings.origins = vec!["https://chat.example".to_owned()]).await;
    let body = json!({ "token": ANN }).to_string();
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: chat.example\r\norigin: https://chat.example\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&world.host(), &request).await;
    assert!(
        answer.contains("set-cookie: __Host-sluice_") && answer.contains("; Secure"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_token_in_a_url_is_worth_nothing() {
    let world = World::new().await;
    let http = Http::new(&world);
    for query in ["token", "access_token", "bearer", "login", "code"] {
        assert_eq!(
            http.get(&format!("/api/v1/me?{query}={ANN}"), &[])
                .await
                .status,
            401
        );
        let path = format!(
            "GET /ws?{query}={ANN} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            world.host()
        );
        assert!(raw(&world.host(), &path).await.starts_with("HTTP/1.1 400"));
    }
    assert!(
        world.chat().login_link().contains("/#login="),
        "the code is in the fragment, which is never sent"
    );
}

#[tokio::test]
async fn a_page_cannot_use_a_stolen_token() {
    let world = World::new().await;
    let origin = page(&world);
    assert_eq!(
        greeted(
            &world,
            &[("origin", origin.as_str())],
            json!({ "token": ANN })
        )
        .await,
        Some(4401)
    );
    assert_eq!(greeted(&world, &[], json!({ "token": ANN })).await, None);
    let bearer = format!("Bearer {ANN}");
    assert_eq!(
        greeted(&world, &[("authorization", bearer.as_str())], json!({})).await,
        None
    );
}

#[tokio::test]
async fn a_login_code_works_once_also_when_it_is_tried_twice_at_once() {
    let world = World::new().await;
    let link = world.chat().login_link();
    let code = link.split_once("#login=").expect("a code").1.to_owned();
    let http = Http::new(&world);
    let body = json!({ "code": code });
    let (a, b) = tokio::join!(
        http.post("/api/v1/login", &[], &body),
        http.post("/api/v1/login", &[], &body)
    );
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    assert_eq!(http.post("/api/v1/login", &[], &body).await.status, 401);
    let winner = if a.status == 200 { a } else { b };
    assert_eq!(winner.json["user"]["name"], "local");
    for body in [json!({}), json!({ "code": code, "token": ANN })] {
        assert_eq!(http.post("/api/v1/login", &[], &body).await.status, 401);
    }
}

#[tokio::test]
async fn guessing_is_slowed_also_from_this_machine_and_logins_go_on() {
    let world = World::with(|settings| settings.limits.login_failures = 3).await;
    let (cookie, bind) = browser(&world).await;
    let http = Http::new(&world);
    for guess in ["guess", "another guess", "a third one"] {
        assert_eq!(
            http.post("/api/v1/login", &[], &json!({ "token": guess }))
                .await
                .status,
            401
        );
    }
    let refused = http
        .post("/api/v1/login", &[], &json!({ "token": ANN }))
        .await;
    assert_eq!(
        (refused.status, &refused.json["error"]["code"]),
        (429, &json!("RATE_LIMITED"))
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.json["error"]["retry_after_ms"].as_u64() > Some(200_000));
    let mut ws = open(&world.host(), &[]).await.expect("an upgrade");
    request(
        &mut ws,
        "1",
        "hello",
        &json!({ "min": 1, "max": 1, "token": "guess" }),
    )
    .await;
    assert_eq!(
        frame(&mut ws).await.expect("a reason")["error"]["code"],
        "RATE_LIMITED"
    );
    assert_eq!(closed(&mut ws).await, 4429);
    let fields = [
        ("cookie", cookie.as_str()),
        ("x-sluice-bind", bind.as_str()),
    ];
    assert_eq!(
        http.get("/api/v1/me", &fields).await.status,
        200,
        "those who are in stay in"
    );
}

#[tokio::test]
async fn an_old_token_that_is_tried_again_and_again_locks_nobody_else_out() {
    let world = World::with(|settings| settings.limits.login_failures = 3).await;
    let http = Http::new(&world);
    let log_in = async |token: &str| {
        let body = json!({ "token": token });
        http.post("/api/v1/login", &[], &body).await.status
    };
    let old = [("authorization", "Bearer an-old-token-of-a-program")];
    for _ in 0..3 {
        assert_eq!(http.get("/api/v1/me", &old).await.status, 401);
    }
    for _ in 0..20 {
        assert_eq!(http.get("/api/v1/me", &old).await.status, 429);
        assert_eq!(log_in("an-old-token-of-a-program").await, 429);
    }
    assert_eq!(log_in(ANN).await, 200);
}

#[tokio::test]
async fn behind_a_proxy_that_is_known_one_address_locks_out_itself_alone() {
    for (proxies, others) in [(vec!["127.0.0.1/32"], 200), (vec![], 429)] {
        let world = World::with(|settings| {
            settings.limits.login_failures = 3;
            settings.trusted_proxies = proxies
                .iter()
                .map(|proxy| proxy.parse().expect("a network"))
                .collect();
        })
        .await;
        let http = Http::new(&world);
        let log_in = async |from: &str, token: &str| {
            let fields = [("x-forwarded-for", from)];
            let body = json!({ "token": token });
            http.post("/api/v1/login", &fields, &body).await.status
        };
        for guess in ["guess", "another guess", "a third one"] {
            // What the client says of itself does not help it.
            assert_eq!(log_in("198.51.100.1, 192.0.2.7", guess).await, 401);
        }
        assert_eq!(log_in("203.0.113.5, 192.0.2.7", ANN).await, 429);
        assert_eq!(log_in("192.0.2.8", ANN).await, others);
    }
}

#[tokio::test]
async fn a_revoked_login_closes_its_sockets_and_no_others() {
    let world = World::new().await;
    let origin = page(&world);
    let (cookie, bind) = browser(&world).await;
    let (cookie2, bind2) = browser(&world).await;
    let enter = async |cookie: &str, bind: &str| -> Ws {
        let mut ws = open(
            &world.host(),
            &[("origin", origin.as_str()), ("cookie", cookie)],
        )
        .await
        .expect("an upgrade");
        request(
            &mut ws,
            "1",
            "hello",
            &json!({ "min": 1, "max": 1, "bind": bind }),
        )
        .await;
        assert_eq!(frame(&mut ws).await.expect("an answer")["ok"], true);
        ws
    };
    let mut first = enter(&cookie, &bind).await;
    let mut second = enter(&cookie2, &bind2).await;
    let http = Http::new(&world);
    let fields = [
        ("cookie", cookie.as_str()),
        ("x-sluice-bind", bind.as_str()),
        ("origin", origin.as_str()),
    ];
    let listed = http.get("/api/v1/tokens", &fields).await;
    let tokens = listed.json["tokens"].as_array().expect("tokens").clone();
    assert_eq!(tokens.len(), 2);
    let other = tokens
        .iter()
        .find(|token| token["current"] == false)
        .expect("the other one");
    let gone = http
        .call(
            "DELETE",
            &format!("/api/v1/tokens/{}", other["id"].as_str().expect("an id")),
            &fields,
            Some(&json!({})),
        )
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(closed(&mut second).await, 4401);
    request(&mut first, "2", "ping", &json!({ "ts": 1 })).await;
    while frame(&mut first).await.expect("still open")["id"] != "2" {}
    let out = http.post("/api/v1/logout", &fields, &json!({})).await;
    assert_eq!(out.status, 204);
    assert!(
        out.headers["set-cookie"]
            .to_str()
            .expect("text")
            .contains("Max-Age=0")
    );
    assert_eq!(closed(&mut first).await, 4401);
    assert_eq!(http.get("/api/v1/me", &fields).await.status, 401);
}

#[tokio::test]
async fn a_token_for_programs_works_until_it_is_revoked() {
    let world = World::new().await;
    let http = Http::new(&world);
    let own = format!("Bearer {ANN}");
    let made = http
        .post(
            "/api/v1/tokens",
            &[("authorization", &own)],
            &json!({ "label": "script" }),
        )
        .await;
    assert_eq!(made.status, 201);
    let bearer = format!("Bearer {}", made.json["secret"].as_str().expect("a secret"));
    assert_eq!(
        http.get("/api/v1/me", &[("authorization", &bearer)])
            .await
            .json["user"]["name"],
        "ann"
    );
    let path = format!(
        "/api/v1/tokens/{}",
        made.json["id"].as_str().expect("an id")
    );
    let bob = format!("Bearer {}", BOB);
    assert_eq!(
        http.call(
            "DELETE",
            &path,
            &[("authorization", &bob)],
            Some(&json!({}))
        )
        .await
        .status,
        404
    );
    assert_eq!(
        http.call(
            "DELETE",
            &path,
            &[("authorization", &own)],
            Some(&json!({}))
        )
        .await
        .status,
        204
    );
    assert_eq!(
        http.get("/api/v1/me", &[("authorization", &bearer)])
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_token_that_the_operator_removed_ends_the_logins_made_with_it() {
    let mut world = World::new().await;
    let (cookie, bind) = browser(&world).await;
    world.stop(std::time::Duration::ZERO).await;
    // The cookie is named after the port, so the port must stay.
    world.settings.users.remove(0);
    world.begin().await;
    let port = world.chat().address().port();
    let value = cookie.split_once('=').expect("a pair").1;
    let cookie = format!("sluice_{port}={value}");
    let fields = [
        ("cookie", cookie.as_str()),
        ("x-sluice-bind", bind.as_str()),
    ];
    assert_eq!(
        Http::new(&world).get("/api/v1/me", &fields).await.status,
        401
    );
}

#[tokio::test]
async fn the_user_of_links_can_have_a_token_and_is_the_same_user() {
    let world = World::with(|settings| {
        settings
            .users
            .push(user("local", "local-0123456789abcdef", true));
    })
    .await;
    let code = world
        .chat()
        .login_link()
        .split_once("#login=")
        .expect("a code")
        .1
        .to_owned();
    let http = Http::new(&world);
    let by_link = http
        .post("/api/v1/login", &[], &json!({ "code": code }))
        .await;
    let by_token = http
        .post(
            "/api/v1/login",
            &[],
            &json!({ "token": "local-0123456789abcdef" }),
        )
        .await;
    assert_eq!(by_link.json["user"]["id"], by_token.json["user"]["id"]);
}
