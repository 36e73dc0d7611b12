//! Texts of forced calls, divided in every way.

use super::*;

fn choice() -> Forced {
    Forced::Choice(vec!["f".to_owned(), "a\"b".to_owned()])
}

/// The name, the arguments, the content and the finish reason of a text that is cut into parts.
fn read(parts: &[&str], forced: &Forced, is_cut: bool) -> [String; 4] {
    let mut call = Call::new(forced);
    let mut out = Vec::new();
    for part in parts {
        call.push(part, &mut out);
    }
    call.end(is_cut, &mut out);
    let [mut name, mut arguments, mut text] = [const { String::new() }; 3];
    for part in out {
        match part {
            Part::Call(said) => {
                assert_eq!(name, "", "a call begins once, and before its arguments");
                assert_eq!(arguments, "");
                name = said;
            }
            Part::Arguments(more) => arguments += &more,
            Part::Text(more) => text += &more,
        }
    }
    let given = if is_cut { "length" } else { "stop" };
    [name, arguments, text, call.finish(given).to_owned()]
}

/// The same for every division of the text into three.
#[track_caller]
fn assert_read(text: &str, forced: &Forced, is_cut: bool, expected: [&str; 4]) {
    let ends: Vec<usize> = (0..=text.len())
        .filter(|&at| text.is_char_boundary(at))
        .collect();
    for &one in &ends {
        for &two in ends.iter().filter(|&&two| two >= one) {
            let parts = [&text[..one], &text[one..two], &text[two..]];
            assert_eq!(read(&parts, forced, is_cut), expected, "{parts:?}");
        }
    }
}

#[test]
fn the_arguments_of_the_only_tool_are_the_text() {
    let only = Forced::Only("\"f\"".to_owned());
    for (text, is_cut, expected) in [
        (
            "\n {\"a\": \"}\\\"é\", \"b\": [{}]} \n",
            false,
            [
                "\"f\"",
                "{\"a\": \"}\\\"é\", \"b\": [{}]}",
                "",
                "tool_calls",
            ],
        ),
        ("{}", true, ["\"f\"", "{}", "", "tool_calls"]),
        ("{\"a\": \"x", true, ["\"f\"", "{\"a\": \"x", "", "length"]),
        ("{\"a\": 1", false, ["\"f\"", "{\"a\": 1", "", "length"]),
        // What has been sent of it cannot be taken back.
        ("{\"a\": 1]", false, ["\"f\"", "{\"a\": 1]", "", "length"]),
        (
            "{\"a\": [1}}",
            false,
            ["\"f\"", "{\"a\": [1}}", "", "length"],
        ),
        (
            "{\"a\": \"\n\"}",
            false,
            ["\"f\"", "{\"a\": \"\n\"}", "", "length"],
        ),
        ("{a: 1}", false, ["\"f\"", "{a: 1}", "", "length"]),
        ("{\"a\": 01}", true, ["\"f\"", "{\"a\": 01}", "", "length"]),
        ("I will not", false, ["", "", "I will not", "stop"]),
        (" ", true, ["", "", "", "length"]),
    ] {
        assert_read(text, &only, is_cut, expected);
    }
}

#[test]
fn a_choice_is_taken_apart() {
    for (text, is_cut, expected) in [
        (
            "{\"name\": \"f\", \"parameters\": {\"a\": \"{é\"} }",
            false,
            ["\"f\"", "{\"a\": \"{é\"}", "", "tool_calls"],
        ),
        (
            "\n{ \"name\":\"a\\\"b\" ,\"parameters\":\n{}}",
            false,
            ["\"a\\\"b\"", "{}", "", "tool_calls"],
        ),
        (
            "{\"name\":\"\\u0066\",\"parameters\":{}}",
            false,
            ["\"\\u0066\"", "{}", "", "tool_calls"],
        ),
        (
            "{\"name\":\"f\",\"parameters\":{\"a\"",
            true,
            ["\"f\"", "{\"a\"", "", "length"],
        ),
        ("{\"name\":\"f\",\"para", true, ["", "", "", "length"]),
        ("", true, ["", "", "", "length"]),
        (
            "{\"parameters\":{\"a\":1},\"name\":\"f\"}",
            false,
            ["\"f\"", "{\"a\":1}", "", "tool_calls"],
        ),
        (
            "{\"name\":\"f\",\"arguments\":\"{}\"}",
            false,
            ["\"f\"", "{}", "", "tool_calls"],
        ),
        ("{\"no\": 1}", false, ["", "", "{\"no\": 1}", "stop"]),
        ("No.", false, ["", "", "No.", "stop"]),
        ("{\"name\": 1}", false, ["", "", "{\"name\": 1}", "stop"]),
    ] {
        assert_read(text, &choice(), is_cut, expected);
    }
}

#[test]
fn a_choice_that_is_no_call_is_content() {
    let names = ["\"g\"", "\"F\"", "\"\"", "\"f\n\"", "null", "1", "[\"f\"]"];
    let named = names.iter().map(|name| (*name, "{\"a\":1}"));
    let parameters = [
        "null",
        "12",
        "true",
        "[1]",
        "[{}]",
        "\"x\"",
        "\"\"",
        "\"[{}]\"",
        "\"12\"",
        "\"{\"",
        "\"{} {}\"",
    ];
    let called = parameters.iter().map(|parameters| ("\"f\"", *parameters));
    for (name, parameters) in named.chain(called) {
        for text in [
            format!("{{\"name\":{name},\"parameters\":{parameters}}}"),
            format!("{{\"parameters\":{parameters},\"name\":{name}}}"),
        ] {
            assert_read(&text, &choice(), false, ["", "", &text, "stop"]);
        }
    }
}

#[test]
fn arguments_in_a_text_are_taken_out_of_it() {
    for text in [
        "{\"name\":\"f\",\"parameters\":\" {\\\"a\\\":1} \"}",
        "{\"parameters\":\"{\\\"a\\\":1}\",\"name\":\"f\"}",
    ] {
        let expected = ["\"f\"", "{\"a\":1}", "", "tool_calls"];
        assert_read(text, &choice(), false, expected);
    }
}

#[test]
fn a_beginning_is_not_looked_through_without_end() {
    let blanks = |count| " ".repeat(count);
    for (before, is_read) in [(10, true), (HEAD_BYTES - 1, true), (HEAD_BYTES, false)] {
        let mut call = Call::new(&choice());
        let mut out = Vec::new();
        call.push("{", &mut out);
        for _ in 0..before {
            call.push(" ", &mut out);
        }
        // From here on, parts are only collected.
        let is_collected = matches!(call.state, State::Unordered);
        assert_eq!(is_collected, !is_read, "{before}");
        let rest = "\"name\":\"f\",\"parameters\":{\"a\":1}}";
        let expected = ["\"f\"", "{\"a\":1}", "", "tool_calls"];
        let parts = ["{", &blanks(before), rest];
        assert_eq!(read(&parts, &choice(), false), expected);
    }
    // A text that is no choice is content as soon as it is too long.
    let long = blanks(HEAD_BYTES + 1);
    let expected = ["", "", "No.", "stop"];
    assert_eq!(read(&[&long, "No."], &choice(), false), expected);
}

#[test]
fn what_is_held_is_bounded() {
    let mut call = Call::new(&choice());
    let mut out = Vec::new();
    call.push("{\"other\": \"", &mut out);
    let part = "x".repeat(1000);
    for _ in 0..2000 {
        call.push(&part, &mut out);
    }
    assert!(call.held.is_empty());
    let texts = out.iter().map(|part| match part {
        Part::Text(text) => text.len(),
        Part::Call(_) | Part::Arguments(_) => panic!("{part:?}"),
    });
    assert_eq!(texts.sum::<usize>(), 11 + 2_000_000);
}
