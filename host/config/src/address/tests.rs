//! The promises of addresses.

use super::{Target, collide, parse_listen};
use crate::ollama;

fn target(text: &str) -> (bool, String, u16, String, String) {
    let t = Target::parse(text).expect("a good address");
    (t.tls, t.host, t.port, t.authority, t.base)
}

fn parts(
    tls: bool,
    host: &str,
    port: u16,
    authority: &str,
    base: &str,
) -> (bool, String, u16, String, String) {
    (tls, host.into(), port, authority.into(), base.into())
}

#[test]
fn target_is_a_url_with_host_port_and_base() {
    assert_eq!(
        target("http://127.0.0.1:11434"),
        parts(false, "127.0.0.1", 11434, "127.0.0.1:11434", "")
    );
    assert_eq!(
        target("https://API.example.com/v1/"),
        parts(true, "api.example.com", 443, "api.example.com", "/v1")
    );
    assert_eq!(
        target("http://[::1]:8000/"),
        parts(false, "::1", 8000, "[::1]:8000", "")
    );
    assert_eq!(target("http://[::1]"), parts(false, "::1", 80, "[::1]", ""));
    assert_eq!(
        target("https://model_server:80"),
        parts(true, "model_server", 80, "model_server:80", "")
    );
}

#[test]
fn target_displays_as_the_url_that_it_came_from() {
    for url in [
        "http://127.0.0.1:11434",
        "https://[::1]/v1",
        "https://a.b:8443",
    ] {
        assert_eq!(Target::parse(url).expect("good").to_string(), url);
    }
}

#[test]
fn target_that_is_no_plain_url_is_refused() {
    for bad in [
        "",
        "127.0.0.1:11434",
        "ftp://a",
        "http://",
        "http://:80",
        "http://a:0",
        "http://a:99999",
        "http://a:+1",
        "http://a:",
        "http://a b",
        "http://ä",
        "http://u:p@a",
        "http://a?b",
        "http://a/b#c",
        "http://a/b c",
        "http://a/b<c",
        "http://a/b@c",
        "http://[::1",
        "http://[a]",
        "http://[::1]x",
        "http://::1",
    ] {
        assert!(Target::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn password_with_separators_is_not_taken_for_a_port_or_a_path() {
    for password in [
        "hunter2",
        "hunter2/x",
        "hun/hunter2",
        "/hunter2",
        "8/hunter2",
        "a:hunter2",
        "[hunter2",
    ] {
        for user in ["user", "", "/"] {
            let address = format!("http://{user}:{password}@a");
            let refused = Target::parse(&address).expect_err(&address);
            assert!(!refused.contains("hun"), "{refused}");
            let refused = ollama::parse(&address).expect_err(&address);
            assert!(!refused.contains("hun"), "{refused}");
        }
    }
}

#[test]
fn ollama_host_is_read_as_ollama_reads_it() {
    for (text, url) in [
        ("", "http://127.0.0.1:11434"),
        ("gpu", "http://gpu:11434"),
        ("gpu:1234", "http://gpu:1234"),
        (":1234", "http://127.0.0.1:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1"),
        ("[::]:1234", "http://[::1]:1234"),
        ("::1", "http://[::1]:11434"),
        ("[fe00::1]", "http://[fe00::1]:11434"),
        ("http://gpu", "http://gpu"),
        ("https://gpu/", "https://gpu"),
        ("https://gpu:8443/ollama/", "https://gpu:8443/ollama"),
        (" \"gpu\" ", "http://gpu:11434"),
    ] {
        let target = ollama::parse(text).expect(text);
        assert_eq!(target.to_string(), url, "{text:?}");
    }
    for bad in [
        "gpu:x",
        "ssh://gpu",
        "a b",
        "gpu:0",
        "[::1",
        "gpu/a b",
        "gpu/ä",
        "gpu/a?b",
        "gpu/a#b",
    ] {
        assert!(ollama::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn listening_needs_an_address_and_a_port() {
    let read = |text| parse_listen(text).map(|address| address.to_string());
    assert_eq!(read("127.0.0.1:80").as_deref(), Some("127.0.0.1:80"));
    assert_eq!(read("localhost:80").as_deref(), Some("127.0.0.1:80"));
    assert_eq!(read("[::]:0").as_deref(), Some("[::]:0"));
    for bad in ["", "8080", ":8080", "127.0.0.1", "host:80", "localhost:x"] {
        assert_eq!(read(bad), None, "{bad:?}");
    }
}

#[test]
fn addresses_collide_on_one_port_if_equal_or_if_one_is_all() {
    let pair = |a: &str, b: &str| collide(a.parse().expect("a"), b.parse().expect("b"));
    assert!(pair("127.0.0.1:80", "127.0.0.1:80"));
    assert!(pair("127.0.0.1:80", "0.0.0.0:80"));
    assert!(pair("[::]:80", "[::1]:80"));
    assert!(!pair("127.0.0.1:80", "127.0.0.1:81"));
    assert!(!pair("127.0.0.1:80", "127.0.0.2:80"));
    assert!(!pair("0.0.0.0:80", "[::]:80"));
    assert!(!pair("127.0.0.1:0", "127.0.0.1:0"));
}
