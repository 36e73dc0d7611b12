use super::*;

/// All ways to cut a text into up to three chunks.
fn cuts(text: &str) -> Vec<Vec<&str>> {
    let places: Vec<usize> = (0..=text.len())
        .filter(|&at| text.is_char_boundary(at))
        .collect();
    let mut cuts = Vec::new();
    for &first in &places {
        for &second in places.iter().filter(|&&second| second >= first) {
            cuts.push(vec![&text[..first], &text[first..second], &text[second..]]);
        }
    }
    cuts.push(text.split_inclusive(|_| true).collect());
    cuts
}

fn fed(matcher: impl Matcher + Copy, chunks: &[&str]) -> String {
    let (mut window, mut out) = (Window::default(), String::new());
    for chunk in chunks {
        window.feed(matcher, chunk, &mut out);
        assert!(window.held().chars().count() <= matcher.limit());
    }
    window.pause(matcher, &mut out);
    assert_eq!(window.held(), "");
    out
}

#[test]
fn every_cut_of_a_text_gives_the_same() {
    let words = ["tiger", "tig", "panda", "秘密", "a panda bear", "Straße"];
    let exact = Words::new(words, "x").expect("words");
    let loose = Words::ignoring_case(words, "x").expect("words");
    let whole = Words::ignoring_case(words, "x").expect("words").whole();
    let text = "A tiger, tig; tige 秘 秘密 STRAßE a panda bea a panda bear pandas";
    for (words, expected) in [
        (&exact, "A x, x; xe 秘 x STRAßE a x bea x xs"),
        (&loose, "A x, x; xe 秘 x x a x bea x xs"),
        (&whole, "A x, x; tige 秘 x x a x bea x pandas"),
    ] {
        assert_eq!(replaced(words, text).as_deref(), Some(expected));
        for cut in cuts(text) {
            assert_eq!(fed(words, &cut), expected, "{cut:?}");
        }
    }
}

#[test]
fn only_what_could_be_a_match_is_held_back() {
    let words = Words::new(["秘密", "top"], "x").expect("words");
    let (mut window, mut out) = (Window::default(), String::new());
    for (chunk, sent, held) in [
        ("这是秘", "这是", "秘"),
        ("密, to", "x, ", "to"),
        ("day", "today", ""),
        ("st", "s", "t"),
        ("to", "t", "to"),
        ("", "", "to"),
    ] {
        out.clear();
        window.feed(&words, chunk, &mut out);
        assert_eq!((out.as_str(), window.held()), (sent, held));
    }
    out.clear();
    window.pause(&words, &mut out);
    assert_eq!((out.as_str(), window.held()), ("to", ""));
}

#[test]
fn a_match_that_began_before_a_pause_does_not_get_through() {
    let words = Words::new(["password"], "***").expect("words");
    let (mut window, mut out) = (Window::default(), String::new());
    window.feed(&words, "my pass", &mut out);
    window.pause(&words, &mut out);
    assert_eq!(out, "my pass");
    window.feed(&words, "wo", &mut out);
    window.pause(&words, &mut out);
    window.feed(&words, "rd, password", &mut out);
    assert_eq!(out, "my passwo***, ***");
    // What is behind a pause is not looked at twice.
    let (mut window, mut out) = (Window::default(), String::new());
    window.feed(&words, "password pass", &mut out);
    window.pause(&words, &mut out);
    window.feed(&words, "ing", &mut out);
    assert_eq!(out, "*** passing");
}

/// Numbers of two digits or more, of any length.
#[derive(Clone, Copy)]
struct Digits;

impl Matcher for Digits {
    fn limit(&self) -> usize {
        2
    }
    fn find(&self, input: Input<'_>) -> Found {
        let digit = |c: char| c.is_ascii_digit();
        let Some(at) = input.text[input.from..].find(digit) else {
            return Found::Nothing;
        };
        let start = input.from + at;
        let rest = &input.text[start..];
        let length = rest.find(|c| !digit(c)).unwrap_or(rest.len());
        let (end, rule) = (start + length, 7);
        let is_open = end == input.text.len() && !input.last;
        match length {
            1 if is_open => Found::Maybe { start, rule },
            1 => self.find(Input { from: end, ..input }),
            _ => Found::Match(Hit {
                start,
                end,
                rule,
                open: is_open.then_some(3),
            }),
        }
    }
    fn follow(&self, rule: usize, open: usize, text: &str) -> Follow {
        assert_eq!((rule, open), (7, 3));
        text.find(|c: char| !c.is_ascii_digit())
            .map_or(Follow::On(3), Follow::Ended)
    }
    fn replace(&mut self, rule: usize, _: Matched<'_>, out: &mut String) {
        assert_eq!(rule, 7);
        out.push('#');
    }
}

#[test]
fn a_match_without_an_end_is_replaced_when_it_is_certain() {
    let text = "a1 12 1234567890123 1b99";
    for cut in cuts(text) {
        assert_eq!(fed(Digits, &cut), "a1 # # 1b#", "{cut:?}");
    }
    let (mut window, mut out) = (Window::default(), String::new());
    for chunk in ["1", "2", "34", "", "5x6"] {
        window.feed(Digits, chunk, &mut out);
    }
    assert_eq!((out.as_str(), window.held()), ("#x", "6"));
}

/// Cannot make up its mind.
#[derive(Clone, Copy)]
struct Waits;

impl Matcher for Waits {
    fn limit(&self) -> usize {
        3
    }
    fn find(&self, input: Input<'_>) -> Found {
        match input.text[input.from..].find('<') {
            Some(at) => Found::Maybe {
                start: input.from + at,
                rule: 0,
            },
            None => Found::Nothing,
        }
    }
    fn replace(&mut self, _: usize, matched: Matched<'_>, out: &mut String) {
        out.push_str(&matched.text.len().to_string());
    }
}

#[test]
fn what_is_held_back_longer_than_the_limit_counts_as_a_match() {
    let (mut window, mut out) = (Window::default(), String::new());
    for (chunk, sent, held) in [
        ("a<b", "a", "<b"),
        ("c", "", "<bc"),
        ("d", "4", ""),
        ("e", "e", ""),
    ] {
        out.clear();
        window.feed(Waits, chunk, &mut out);
        assert_eq!((out.as_str(), window.held()), (sent, held));
    }
}

#[test]
fn an_empty_word_is_refused_and_no_words_find_nothing() {
    assert!(Words::new(["a", ""], "x").is_err());
    let none = Words::new([""; 0], "x").expect("no words");
    assert_eq!(replaced(&none, "abc"), None);
    assert_eq!(fed(&none, &["a", "b"]), "ab");
}

fn json_fed(matcher: impl Matcher + Copy, chunks: &[&str]) -> String {
    let (mut window, mut out) = (JsonWindow::default(), String::new());
    for chunk in chunks {
        window.feed(matcher, chunk, &mut out);
    }
    window.pause(matcher, &mut out);
    out
}

#[test]
fn json_stays_json_at_every_cut() {
    let words = Words::ignoring_case(["secret", "4711", "秘密", "\"q\""], "<\">").expect("words");
    let text = r#" {"secret" : ["a secre", "se\u0063ret\n", -4711.5, 4712, true , null],"秘\u5bc6":"\ud83d\ude00 \"q\" \\","n":4711 } "#;
    let expected = r#" {"<\">" : ["a secre", "<\">\n", "-<\">.5", 4712, true , null],"<\">":"😀 <\"> \\","n":"<\">" } "#;
    for cut in cuts(text) {
        let found = json_fed(&words, &cut);
        assert_eq!(found, expected, "{cut:?}");
    }
    serde_json::from_str::<serde_json::Value>(expected).expect("JSON");
}

#[test]
fn what_is_no_json_is_text() {
    // The last one begins with what could be JSON, and is hidden from where it cannot be any more.
    let words = Words::new(["secret", "47 11", "[x]"], "x").expect("words");
    for (text, expected) in [
        ("the secret is out", "the x is out"),
        ("47 11", "x"),
        (r#"{"a":47 11}"#, r#"{"a":x}"#),
        ("{secret}", "{x}"),
        (r#"["a" "secret"]"#, r#"["a" "x"]"#),
        ("truesecret", "truex"),
        ("5", "5"),
        ("[1] secret", "[1] x"),
        ("{ [x] }", "{ [x }"),
        ("[1, [x]", "[1, [x"),
    ] {
        for cut in cuts(text) {
            assert_eq!(json_fed(&words, &cut), expected, "{cut:?}");
        }
    }
}

#[test]
fn halves_of_characters_are_replaced_and_take_nothing_with_them() {
    let words = Words::new(["secret"], "x").expect("words");
    for (text, expected) in [
        (r#""\ud83d""#, "\"\u{fffd}\""),
        (r#""\ud83dsecret""#, "\"\u{fffd}x\""),
        (r#""\ud83d\nsecret""#, "\"\u{fffd}\\nx\""),
        (r#""\ud83d\u0041\ude00""#, "\"\u{fffd}A\u{fffd}\""),
        (r#""a\ud83d\ud83d\ude00""#, "\"a\u{fffd}\u{fffd}\u{fffd}\""),
    ] {
        for cut in cuts(text) {
            assert_eq!(json_fed(&words, &cut), expected, "{cut:?}");
        }
    }
}

#[test]
fn escapes_that_json_does_not_have_stay_as_they_are() {
    let words = Words::new(["secret"], "x").expect("words");
    for (text, expected) in [
        (
            r#"{"a":"secret C:\secret\n","b":"C:\x secret"}"#,
            r#"{"a":"x C:\x\n","b":"C:\x x"}"#,
        ),
        (r#"{"a":"secret\x secret"}"#, r#"{"a":"x\x x"}"#),
        (r#"{"a":"C:\secret\x"}"#, r#"{"a":"C:\x\x"}"#),
        (r#""\u00""#, r#""\u00""#),
        (r#""secret\u00zsecret""#, r#""x\u00zx""#),
        (r#""\ud83d\xsecret""#, "\"\u{fffd}\\xx\""),
    ] {
        for cut in cuts(text) {
            assert_eq!(json_fed(&words, &cut), expected, "{cut:?}");
        }
    }
}

#[test]
fn an_object_is_json_and_everything_else_is_plain() {
    let words = Words::new(["secret", "4711", "[1]"], "x").expect("words");
    for (text, expected) in [
        (
            " \n{\"a\":\"s\\u0065cret\",\"b\":4711}",
            " \n{\"a\":\"x\",\"b\":\"x\"}",
        ),
        ("a {\"s\\u0065cret\"} 4711", "a {\"s\\u0065cret\"} x"),
        ("[1] secret", "x x"),
        ("{secret}", "{x}"),
        ("  ", "  "),
        ("", ""),
    ] {
        for cut in cuts(text) {
            let (mut window, mut out) = (TextWindow::default(), String::new());
            for chunk in &cut {
                window.feed(&words, chunk, &mut out);
            }
            window.pause(&words, &mut out);
            assert_eq!(out, expected, "{cut:?}");
        }
    }
}

#[test]
fn json_that_pauses_in_a_number_does_not_let_the_rest_through() {
    let words = Words::new(["4711"], "x").expect("words");
    for (chunks, expected) in [
        (["{\"a\":47", "11}"], "{\"a\":47x}"),
        (["{\"a\":47", "}"], "{\"a\":47}"),
        (
            ["{\"a\":47 ", ",\"b\":\"4711\"}"],
            "{\"a\":47 ,\"b\":\"x\"}",
        ),
        (["{\"a\":\"47", "11\"}"], "{\"a\":\"47x\"}"),
        (["{\"a\":tr", "ue}"], "{\"a\":true}"),
        (["{\"a\":\"\\u00", "41\"}"], "{\"a\":\"A\"}"),
    ] {
        let (mut window, mut out) = (JsonWindow::default(), String::new());
        for chunk in chunks {
            window.feed(&words, chunk, &mut out);
            window.pause(&words, &mut out);
        }
        assert_eq!(out, expected);
    }
}

/// Words that are found however they are written; what is found comes out in brackets.
struct Folding(Words);

impl Matcher for &Folding {
    fn limit(&self) -> usize {
        self.0.longest()
    }
    fn folds(&self) -> bool {
        true
    }
    fn find(&self, input: Input<'_>) -> Found {
        self.0.find_before(input, input.text.len())
    }
    fn replace(&mut self, _: usize, matched: Matched<'_>, out: &mut String) {
        out.push_str(&format!("<{}>", &matched.text[matched.sent..]));
    }
}

#[test]
fn what_is_written_in_another_way_is_found_at_every_cut_and_comes_out_as_it_is() {
    let words = Words::ignoring_case(["tiger", "tig", "a b", "“/”"], "").expect("words");
    let words = Folding(words);
    for (text, expected) in [
        ("x ｔｉｇｅｒ, ti\u{ad}ger", "x <ｔｉｇｅｒ>, <ti\u{ad}ger>"),
        (
            "\u{200b}t\u{200b}\u{200b}iger\u{200b} tige",
            "\u{200b}<t\u{200b}\u{200b}iger>\u{200b} <tig>e",
        ),
        (
            r"\u0074iger \\u0074iger \u007",
            r"<\u0074iger> <\\u0074iger> \u007",
        ),
        (r"\ud83d\ude00tig\ud83d", r"\ud83d\ude00<tig>\ud83d"),
        (
            "a\u{a0}b a\u{3000}\u{200b}b a  b",
            "<a\u{a0}b> <a\u{3000}\u{200b}b> a  b",
        ),
        ("“\\/”\\\\", "<“\\/”>\\\\"),
        ("C:\\tiger \\u", "C:\\<tiger> \\u"),
        ("\u{ad}\u{ad}", "\u{ad}\u{ad}"),
    ] {
        assert_eq!(
            replaced(&words, text).unwrap_or_else(|| text.to_owned()),
            expected
        );
        for cut in cuts(text) {
            let (mut window, mut out) = (Window::default(), String::new());
            for chunk in &cut {
                window.feed(&words, chunk, &mut out);
            }
            window.pause(&words, &mut out);
            assert_eq!((out.as_str(), window.held()), (expected, ""), "{cut:?}");
        }
    }
}

#[test]
fn what_began_before_a_pause_is_found_however_it_is_written() {
    let words = Folding(Words::new(["tiger"], "").expect("words"));
    let (mut window, mut out) = (Window::default(), String::new());
    for chunk in ["xＴ ｔ\u{ad}", "\u{ad}ｉ", "\u{ad}ger\u{ad} t"] {
        window.feed(&words, chunk, &mut out);
        window.pause(&words, &mut out);
    }
    assert_eq!(out, "xＴ ｔ\u{ad}\u{ad}ｉ<\u{ad}ger>\u{ad} t");
    // A pause in an escape, at each place.
    let text = r"a ti\\u0067er \u00";
    for at in 0..text.len() {
        let (mut window, mut out) = (Window::default(), String::new());
        window.feed(&words, &text[..at], &mut out);
        window.pause(&words, &mut out);
        assert_eq!(out, text[..at].replace(r"ti\\u0067er", r"<ti\\u0067er>"));
        window.feed(&words, &text[at..], &mut out);
        window.pause(&words, &mut out);
        let shown = out.replace(['<', '>'], "");
        assert_eq!((shown.as_str(), out.contains("r> ")), (text, true), "{at}");
    }
}

#[test]
fn invisible_characters_without_end_are_neither_kept_nor_a_way_out() {
    let words = Folding(Words::new(["tiger"], "").expect("words"));
    let (mut window, mut out) = (Window::default(), String::new());
    let many = "\u{ad}".repeat(1000);
    for _ in 0..100 {
        window.feed(&words, &many, &mut out);
    }
    assert_eq!((out.len(), window.text.written().len()), (200_000, 0));
    window.feed(&words, "x tig", &mut out);
    out.clear();
    for _ in 0..100 {
        window.feed(&words, &many, &mut out);
        assert!(window.text.written().len() <= HELD + many.len());
    }
    assert!(out.starts_with("<tig>\u{ad}"), "it counts as a match");
}
