use super::*;

/// What a detector finds in a text, with `…` in its place.
fn hidden(detector: Detector, text: &str) -> String {
    let (mut out, mut from) = (String::new(), 0);
    loop {
        let range = Range {
            text,
            from,
            to: text.len(),
            last: true,
        };
        match detector.find(range, &Cell::new(0)) {
            Seen::Hit { start, end, open } => {
                assert_eq!(open, None, "the text ends here");
                out.push_str(&text[from..start]);
                out.push('…');
                from = end;
            }
            Seen::Maybe(at) => panic!("{at}: the text ends here"),
            Seen::No => return out + &text[from..],
        }
    }
}

fn assert_hidden(detector: Detector, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(hidden(detector, text), *expected, "{text}");
    }
}

#[test]
fn addresses_of_email() {
    assert_hidden(
        Detector::Email,
        &[
            ("write to alice@example.com, please", "write to …, please"),
            ("a.b+c@x-y.co.uk.", "…."),
            ("请联系zhang.san@example.cn谢谢", "请联系…谢谢"),
            ("<bob@example.org>", "<…>"),
            ("a@b@example.com", "a@…"),
            ("alice@example.com-", "…-"),
            (
                "alice@localhost alice@example.c alice@1.2.3.4",
                "alice@localhost alice@example.c alice@1.2.3.4",
            ),
            ("@example.com", "@example.com"),
            ("a@x.com.b@y.org", "……"),
            ("a@xn--fsq.xn--p1ai.", "…."),
            ("a@b.xn--fiqs8s", "…"),
            ("a@b.XN--P1AI.com-x", "…-x"),
            (r"x\nalice@example.com\n", r"x\n…\n"),
        ],
    );
    let long = format!("{}@example.com", "a".repeat(100));
    assert_eq!(hidden(Detector::Email, &long), "a".repeat(36) + "…");
}

#[test]
fn keys_of_apis() {
    assert_hidden(
        Detector::Key,
        &[
            ("sk-proj-abcDEF123_456-7890abcdef", "…"),
            ("key=ghp_0123456789abcdefghij0123456789abcdef;", "key=…;"),
            ("AKIAIOSFODNN7EXAMPLE is one", "… is one"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXg", "…"),
            (
                "task-list-of-many-words-and-more",
                "task-list-of-many-words-and-more",
            ),
            ("sk-short", "sk-short"),
            (r"x\nAKIAIOSFODNN7EXAMPLE\n", r"x\n…\n"),
            (
                "a -----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,0A\n\nMIIE+/a=\r\nAA==\n-----END RSA PRIVATE KEY----- b",
                "a … b",
            ),
            (
                r#"{"k":"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}"#,
                r#"{"k":"…\n"}"#,
            ),
            (
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: G v1.4 (M)\n\nlQ\n=x\n-----END PGP PRIVATE KEY BLOCK------",
                "…-",
            ),
            ("------BEGIN PRIVATE KEY-----\nMIIE", "-…"),
            ("`-----BEGIN PRIVATE KEY-----` is how", "`…` is how"),
            (
                "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
                "-----BEGIN PUBLIC KEY-----\nMIIE\n-----END PUBLIC KEY-----",
            ),
            ("| ----- | -----BEGIN |", "| ----- | -----BEGIN |"),
            (
                "desk_sk-0123456789abcdefghij",
                "desk_sk-0123456789abcdefghij",
            ),
        ],
    );
}

#[test]
fn chinese_resident_identity_numbers() {
    assert_hidden(
        Detector::CnId,
        &[
            ("身份证11010519491231002X。", "身份证…。"),
            ("身份证11010519491231002x", "身份证…"),
            ("440524188001010014, 440524 18800101 0014", "…, …"),
            // A wrong check character, an impossible date, too many digits.
            ("110105194912310021", "110105194912310021"),
            ("11010519491331002X", "11010519491331002X"),
            ("4405241880010100140", "4405241880010100140"),
            ("1440524188001010014", "1440524188001010014"),
        ],
    );
}

#[test]
fn payment_cards() {
    assert_hidden(
        Detector::Card,
        &[
            ("4111111111111111", "…"),
            ("card 4111 1111 1111 1111.", "card …."),
            ("5500-0055-5555-5559 12/27", "… 12/27"),
            ("378282246310005", "…"),
            (
                "6222021234567890128",
                hidden_if_valid("6222021234567890128"),
            ),
            ("4111111111111112", "4111111111111112"),
            ("41111111111111111111111", "41111111111111111111111"),
            ("1700000000000", "1700000000000"),
            ("4111 1111 1111 1111 2024", "… 2024"),
        ],
    );
}

/// Luhn's sum, written another way.
fn hidden_if_valid(number: &'static str) -> &'static str {
    let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    if sum.is_multiple_of(10) {
        "…"
    } else {
        number
    }
}

#[test]
fn phone_numbers() {
    assert_hidden(
        Detector::Phone,
        &[
            ("打13812345678找我", "打…找我"),
            ("138 1234 5678, 138-1234-5678", "…, …"),
            (
                "+86 138 1234 5678 / 8613812345678 / 0086-13812345678",
                "… / … / …",
            ),
            ("+1 (555) 123-4567.", "…."),
            ("+49.30.123456", "…"),
            ("+4930123456. 2 apples", "…. 2 apples"),
            ("12812345678", "12812345678"),
            ("138123456789", "138123456789"),
            ("213812345678", "213812345678"),
            ("1 + 123 = 124", "1 + 123 = 124"),
            ("+12345678901234567", "+12345678901234567"),
            ("1700000000", "1700000000"),
        ],
    );
}

#[test]
fn ip_addresses() {
    assert_hidden(
        Detector::Ip,
        &[
            ("at 10.0.0.7:8080, 192.168.1.1.", "at …:8080, …."),
            ("addr:10.0.0.7 and [fe80::1]", "addr:… and […]"),
            ("2001:db8::ff00:42:8329", "…"),
            (
                "1.2.3.4.5 at 12:30, 300.1.1.1",
                "1.2.3.4.5 at 12:30, 300.1.1.1",
            ),
            ("std::ab be ::", "std::ab be ::"),
        ],
    );
}

#[test]
fn what_is_incomplete_is_told_within_its_limit() {
    for (detector, text, start) in [
        (Detector::Email, "hi alice", Some(3)),
        (Detector::Email, "hi alice@exam", Some(3)),
        (Detector::Email, "hi ", None),
        (Detector::Email, "你好", None),
        (Detector::Key, "a sk-012", Some(2)),
        (Detector::Key, "a s", Some(2)),
        (Detector::Key, "a b", None),
        (Detector::CnId, "11010519491231002", Some(0)),
        (Detector::CnId, "11010519491331", None),
        (Detector::Card, "x 4111 ", Some(2)),
        (Detector::Phone, "x +", Some(2)),
        (Detector::Phone, "x 138", Some(2)),
        (Detector::Phone, "x 12", None),
        (Detector::Ip, "10.0", Some(0)),
    ] {
        let seen = detector.find(
            Range {
                text,
                from: 0,
                to: text.len(),
                last: false,
            },
            &Cell::new(0),
        );
        assert_eq!(seen, start.map_or(Seen::No, Seen::Maybe), "{text}");
    }
    // However many characters of this kind: no more are held back than the limit.
    for detector in [
        Detector::Email,
        Detector::Key,
        Detector::CnId,
        Detector::Card,
        Detector::Phone,
        Detector::Ip,
    ] {
        for char in [
            "a", "1", "4", "+", "@", ".", "-", " ", ":", "0", "sk-", "4 ", "a@a.", "+1 (", "e",
        ] {
            let text = char.repeat(400);
            let seen = detector.find(
                Range {
                    text: &text,
                    from: 0,
                    to: text.len(),
                    last: false,
                },
                &Cell::new(0),
            );
            if let Seen::Maybe(start) = seen {
                let held = text.len() - start;
                assert!(held <= detector.limit(), "{detector:?} {char}: {held}");
            }
        }
    }
}

#[test]
fn an_open_key_goes_on() {
    let text = "x sk-0123456789abcdef0";
    let seen = Detector::Key.find(
        Range {
            text,
            from: 0,
            to: text.len(),
            last: false,
        },
        &Cell::new(0),
    );
    let open = Some(0);
    assert_eq!(
        seen,
        Seen::Hit {
            start: 2,
            end: text.len(),
            open
        }
    );
    assert_eq!(Detector::Key.follow(0, "abc"), Follow::On(0));
    assert_eq!(Detector::Key.follow(0, "ab. c"), Follow::Ended(2));
    assert_eq!(Detector::Key.follow(1, "ab. c"), Follow::Ended(3));
}
