use super::*;

fn seen(regex: &str, text: &str, last: bool) -> Seen {
    let pattern = Pattern::new(regex, false).expect("a regular expression");
    let range = Range {
        text,
        from: 0,
        to: text.len(),
        last,
    };
    pattern.find(range, &Cell::new(0))
}

fn hit(start: usize, end: usize) -> Seen {
    Seen::Hit {
        start,
        end,
        open: None,
    }
}

#[test]
fn matches_are_found_where_they_begin_first() {
    for (regex, text, expected) in [
        (r"EMP-\d{6}", "an EMP-123456.", hit(3, 13)),
        (r"EMP-\d{6}", "an EMP-12345.", Seen::No),
        (r"\bab\b", "cab ab", hit(4, 6)),
        (r"\b\d+\b", "号12吗", hit(3, 5)),
        (r"[\d\-]+x", "12-3x", hit(0, 5)),
        (r"[^\d]{2}", "1秘密", hit(1, 7)),
        (r"\W秘\w", "a 秘b", hit(1, 6)),
        ("秘密|秘", "秘密", hit(0, 6)),
        ("^a$", "a", hit(0, 1)),
        ("(?i)straße", "STRAßE", hit(0, 7)),
    ] {
        assert_eq!(seen(regex, text, true), expected, "{regex}");
    }
}

#[test]
fn what_may_become_a_match_is_told() {
    for (regex, text, expected) in [
        (r"EMP-\d{6}", "an EM", Seen::Maybe(3)),
        (r"EMP-\d{6}", "an EMP-123456", Seen::Maybe(3)),
        (r"EMP-\d{6}", "an EMX", Seen::No),
        ("秘密", "一秘", Seen::Maybe(3)),
        ("a+b", "aaac aa", Seen::Maybe(5)),
    ] {
        assert_eq!(seen(regex, text, false), expected, "{regex}");
    }
}

#[test]
fn what_is_longer_than_the_limit_is_hidden_to_its_end() {
    let pattern = Pattern::new("<秘[^>]*>", false).expect("a regular expression");
    let text = format!("a<秘{}", "密".repeat(LIMIT));
    let range = |text, last| Range {
        text,
        from: 0,
        to: 9999,
        last,
    };
    let short = &text[..text.len() - 6];
    assert_eq!(
        pattern.find(range(short, false), &Cell::new(0)),
        Seen::Maybe(1)
    );
    let Seen::Hit {
        start: 1,
        end,
        open: Some(open),
    } = pattern.find(range(&text, false), &Cell::new(0))
    else {
        panic!("an open match");
    };
    assert_eq!(text[1..end].chars().count(), LIMIT);
    let Follow::On(open) = pattern.follow(open, "密密") else {
        panic!("still open");
    };
    assert_eq!(pattern.follow(open, "密> b"), Follow::Ended(4));
}

#[test]
fn what_cannot_be_used_is_refused_with_a_reason() {
    for (regex, reason) in [
        ("(", "cannot be read"),
        (r"\p{Greek}", "cannot be read"),
        ("a*", "empty"),
        ("(?s).{1,200}.{1,200}x.{200}", "too large"),
    ] {
        let error = Pattern::new(regex, false).expect_err(regex);
        assert!(error.contains(reason), "{regex}: {error}");
    }
}
