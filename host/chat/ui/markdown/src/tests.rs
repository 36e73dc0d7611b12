use crate::{Mode, tokens};

/// The JSON of each block, without ranges.
fn complete(source: &str) -> Vec<String> {
    blocks(source, Mode::Complete)
}

fn streaming(source: &str) -> Vec<String> {
    blocks(source, Mode::Streaming)
}

fn blocks(source: &str, mode: Mode) -> Vec<String> {
    tokens(source, mode)
        .lines()
        .map(|line| {
            let json = line.splitn(3, ' ').nth(2).expect("a line has three parts");
            json.to_owned()
        })
        .collect()
}

#[test]
fn blocks_carry_the_byte_range_of_their_source() {
    let source = "# 你好\n\ntext\n\n- a\n- b\n";
    let ranges: Vec<&str> = tokens(source, Mode::Complete)
        .lines()
        .map(|line| {
            let mut parts = line.split(' ').map(str::parse::<usize>);
            let start = parts.next().expect("start").expect("a number");
            let end = parts.next().expect("end").expect("a number");
            source[start..end].trim_end()
        })
        .collect();
    assert_eq!(ranges, ["# 你好", "text", "- a\n- b"]);
}

#[test]
fn every_kind_of_node_has_its_documented_shape() {
    let cases = [
        ("a\nb", r#"["p","a",["br"],"b"]"#),
        ("## h", r#"["h",2,"h"]"#),
        ("> q", r#"["q",["p","q"]]"#),
        ("- a\n- b", r#"["ul",["li",-1,"a"],["li",-1,"b"]]"#),
        ("3. a", r#"["ol",3,["li",-1,"a"]]"#),
        ("- [ ] a\n- [x] b", r#"["ul",["li",0,"a"],["li",1,"b"]]"#),
        ("```Rust\nfn\n```", r#"["pre","rust","fn\n",1]"#),
        (
            "```Rust ignore\nfn\n```",
            r#"["pre","rust","fn\n",1,"Rust ignore"]"#,
        ),
        ("```\nfn", r#"["pre","","fn",0]"#),
        ("    code\n", r#"["pre","","code\n",1]"#),
        ("---", r#"["hr"]"#),
        (
            "*a* **b** ~~c~~ `d`",
            r#"["p",["em","a"]," ",["b","b"]," ",["s","c"]," ",["c","d"]]"#,
        ),
        ("[t](http://x 'y')", r#"["p",["a","http://x","y","t"]]"#),
        ("![t](http://x)", r#"["p",["img","http://x","","t"]]"#),
        (
            "|a|b|\n|:-|-:|\n|1|2|",
            r#"["table",["left","right"],["tr",["td","a"],["td","b"]],["tr",["td","1"],["td","2"]]]"#,
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(complete(source), [expected], "{source:?}");
    }
}

#[test]
fn html_is_text() {
    assert_eq!(
        complete("<script>alert(1)</script>"),
        [r#"["p","<script>alert(1)</script>"]"#]
    );
    assert_eq!(
        complete("a <img src=x onerror=y> b"),
        [r#"["p","a <img src=x onerror=y> b"]"#]
    );
}

#[test]
fn output_is_one_line_per_block_whatever_the_text_holds() {
    let source = "a\u{0}\u{1}\u{1f}\"\\\tb\u{2028}\n\n```\n\"\n\\\n```\n";
    let lines = complete(source);
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        "[\"p\",\"a\u{fffd}\\u0001\\u001f\\\"\\\\\\u0009b\u{2028}\"]"
    );
    assert_eq!(lines[1], r#"["pre","","\"\n\\\n",1]"#);
}

#[test]
fn deep_nesting_is_flattened_and_keeps_its_text() {
    for source in [
        format!("{}deep", ">".repeat(5_000)),
        format!("{}deep", "- ".repeat(3_000)),
        format!("{}deep{}", "*a **b ".repeat(2_000), "** *".repeat(2_000)),
    ] {
        let lines = complete(&source);
        let depth = lines[0]
            .chars()
            .scan(0_i32, |depth, c| {
                *depth += i32::from(c == '[') - i32::from(c == ']');
                Some(*depth)
            })
            .max();
        assert!(depth < Some(60), "{depth:?}");
        assert!(lines.concat().contains("deep"));
    }
}

#[test]
fn strong_emphasis_closes_beside_chinese_punctuation() {
    assert_eq!(complete("**“引号”**是"), [r#"["p",["b","“引号”"],"是"]"#]);
    assert_eq!(
        complete("他说**（重点）**，对"),
        [r#"["p","他说",["b","（重点）"],"，对"]"#]
    );
    assert_eq!(
        complete("是**`code`。**对"),
        [r#"["p","是",["b",["c","code"],"。"],"对"]"#]
    );
}

#[test]
fn marks_that_mean_nothing_stay_text() {
    assert_eq!(complete("2 ** 3 ** 4"), [r#"["p","2 ** 3 ** 4"]"#]);
    assert_eq!(complete("a ** b"), [r#"["p","a ** b"]"#]);
    assert_eq!(complete(r"\*\*“引”\*\*是"), [r#"["p","**“引”**是"]"#]);
    assert_eq!(complete("一 ** 二 ** 三"), [r#"["p","一 ** 二 ** 三"]"#]);
    assert_eq!(complete("`a"), [r#"["p","`a"]"#]);
}

#[test]
fn open_marks_run_to_the_end_while_streaming() {
    assert_eq!(streaming("a **bo"), [r#"["p","a ",["b","bo"]]"#]);
    assert_eq!(streaming("a *bo"), [r#"["p","a ",["em","bo"]]"#]);
    assert_eq!(streaming("a `co"), [r#"["p","a ",["c","co"]]"#]);
    assert_eq!(
        streaming("a **b `co"),
        [r#"["p","a ",["b","b ",["c","co"]]]"#]
    );
    assert_eq!(
        streaming("- x **bo"),
        [r#"["ul",["li",-1,"x ",["b","bo"]]]"#]
    );
    assert_eq!(streaming("2 * 3"), [r#"["p","2 * 3"]"#]);
}

#[test]
fn an_open_mark_in_an_earlier_block_stays_text_while_streaming() {
    assert_eq!(
        streaming("a **b\n\nc"),
        [r#"["p","a **b"]"#, r#"["p","c"]"#]
    );
}

#[test]
fn marks_at_the_very_end_wait() {
    assert_eq!(streaming("a **"), [r#"["p","a"]"#]);
    assert_eq!(streaming("a **b*"), [r#"["p","a ",["b","b"]]"#]);
    assert_eq!(streaming("a `"), [r#"["p","a"]"#]);
    assert_eq!(streaming(r"a \*"), [r#"["p","a *"]"#]);
}

#[test]
fn a_code_block_is_shown_while_its_fence_is_open() {
    assert_eq!(
        streaming("```rs\nlet a = `"),
        [r#"["pre","rs","let a = `",0]"#]
    );
    assert_eq!(streaming("```rs\na\n``"), [r#"["pre","rs","a\n",0]"#]);
    assert_eq!(streaming("```rs\na\n```"), [r#"["pre","rs","a\n",1]"#]);
    assert_eq!(streaming("```rs\na **b"), [r#"["pre","rs","a **b",0]"#]);
    assert_eq!(
        streaming("- x\n  ```js\n  a"),
        [r#"["ul",["li",-1,"x",["pre","js","a",0]]]"#]
    );
}

#[test]
fn a_table_waits_for_its_delimiter_row() {
    assert_eq!(streaming("t\n\n| a | b"), [r#"["p","t"]"#]);
    assert_eq!(streaming("t\n\n| a | b |\n|-"), [r#"["p","t"]"#]);
    assert_eq!(streaming("| a | b |\n|---|---|").len(), 1);
    assert!(streaming("| a | b |\n|---|---|")[0].starts_with("[\"table\""));
    assert_eq!(complete("| a | b"), [r#"["p","| a | b"]"#]);
}

#[test]
fn a_link_waits_for_its_address() {
    assert_eq!(streaming("see [text](http://exa"), [r#"["p","see"]"#]);
    assert_eq!(streaming("see ![text](http://exa"), [r#"["p","see"]"#]);
    assert_eq!(
        streaming("see [text](http://exa)"),
        [r#"["p","see ",["a","http://exa","","text"]]"#]
    );
}

#[test]
fn every_prefix_of_a_message_parses_with_ranges_inside_it() {
    let source = "# 标题\n\nSome **bold _text_** and `code`.\n\n1. 一\n2. 二\n   ```py\n   print('**')\n   ```\n\n\
        | a | b |\n|---|:-:|\n| [x](http://y) | ![z](data:,) |\n\n> quote\n> more\n\n- [ ] do\n- [x] done \\* **“引”**是\n\n\
        ~~~\nraw ` * \n~~~\n\n<b>html</b>\n\n---\nend";
    for end in (0..=source.len()).filter(|&end| source.is_char_boundary(end)) {
        let prefix = &source[..end];
        for mode in [Mode::Complete, Mode::Streaming] {
            let mut last = 0;
            for line in tokens(prefix, mode).lines() {
                let mut parts = line.split(' ').map(str::parse::<usize>);
                let start = parts.next().expect("start").expect("a number");
                let stop = parts.next().expect("end").expect("a number");
                assert!(last <= start && start <= stop && stop <= end, "{line}");
                last = stop;
            }
        }
    }
}

/// All text of a message, as a reader would see it.
fn words(source: &str, mode: Mode) -> String {
    fn collect(value: &serde_json::Value, out: &mut String) {
        match value {
            serde_json::Value::String(text) => out.push_str(text),
            serde_json::Value::Array(items) if items[0] == "br" => out.push('\n'),
            serde_json::Value::Array(items) => {
                items[1..].iter().for_each(|item| collect(item, out))
            }
            _ => {}
        }
    }
    let mut out = String::new();
    for line in blocks(source, mode) {
        collect(&serde_json::from_str(&line).expect("JSON"), &mut out);
        out.push('\n');
    }
    out
}

#[test]
fn a_definition_that_no_link_uses_is_text() {
    assert_eq!(
        complete("As shown.[^1]\n\n[^1]: https://example.org/paper"),
        [
            r#"["p","As shown.[^1]"]"#,
            r#"["p","[^1]: https://example.org/paper"]"#
        ]
    );
    assert_eq!(
        complete("[a]: http://x 'title'\n[b]: http://y"),
        [r#"["p","[a]: http://x 'title'",["br"],"[b]: http://y"]"#]
    );
    assert_eq!(
        complete("> [a]: http://x\n\n- [b]: http://y\n- c"),
        [
            r#"["q",["p","[a]: http://x"]]"#,
            r#"["ul",["li",-1,"[b]: http://y"],["li",-1,"c"]]"#
        ]
    );
    assert_eq!(
        complete("[t][a]\n\n[a]: http://x\n[a]: http://second\n[c]: http://z"),
        [
            r#"["p",["a","http://x","","t"]]"#,
            r#"["p","[a]: http://second",["br"],"[c]: http://z"]"#
        ],
        "one that is used is in its link; a second one of that name is not"
    );
    assert_eq!(
        streaming("[a]: http://x"),
        [r#"["p","[a]: http://x"]"#],
        "nothing is held back either"
    );
}

#[test]
fn formulas_are_shown_as_they_are_written() {
    let cases = [
        r"Then \( x_1 + y_1 = \{a\} \) holds.",
        r"\[ a * b * c \\ d \, e \]",
        "\\[\na_1 = b_1\n\\]",
        r"The set $\{1, 2\}$ and $$x_1 \\ y_1 * z * 2$$.",
        r"\begin{align} a &= b_1 \\ c &= d_1 \end{align}",
        r"half a formula \( a",
        r"half a formula a \)",
        r"half a formula \[ a",
    ];
    for source in cases {
        assert_eq!(words(source, Mode::Complete).trim_end(), source, "{source}");
        let shown = words(source, Mode::Streaming);
        assert_eq!(shown.trim_end(), source, "{source}");
    }
    assert_eq!(
        complete(r"**\(a_1\)** and _b_"),
        [r#"["p",["b","\\(a_1\\)"]," and ",["em","b"]]"#]
    );
    assert_eq!(
        streaming(r"an open \( a_1 * b"),
        [r#"["p","an open \\( a_1 * b"]"#]
    );
}

#[test]
fn prices_and_code_are_no_formulas() {
    assert_eq!(
        complete("**$5** or **$6**, `\\(a\\)`"),
        [r#"["p",["b","$5"]," or ",["b","$6"],", ",["c","\\(a\\)"]]"#]
    );
    assert_eq!(
        complete("```\n\\(a\\) [x]: y\n```\n\n\\*not bold\\*"),
        [
            r#"["pre","","\\(a\\) [x]: y\n",1]"#,
            r#"["p","*not bold*"]"#
        ]
    );
}

#[test]
fn cells_without_a_column_and_headings_without_words_keep_theirs() {
    assert_eq!(
        complete("| a |\n|---|\n| 1 | 2 | 3 |\n| 4 |"),
        [r#"["table",[""],["tr",["td","a"]],["tr",["td","1"," | 2 | 3"]],["tr",["td","4"]]]"#]
    );
    assert_eq!(complete("#"), [r##"["p","#"]"##]);
    assert_eq!(complete("a\n\n## \n\nb")[1], r###"["p","##"]"###);
}

/// What a message can be made of; each `@` becomes a word of its own.
const FRAGMENTS: [&str; 40] = [
    "@",
    " @ ",
    "\n",
    "\n\n",
    "**",
    "*",
    "_",
    "`",
    "~~",
    "[^1]: @",
    "[@](http://@)",
    "[@][a]",
    "[a]: http://@ '@'",
    "[b]: @",
    "[@]",
    "![@](@)",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "$$",
    "$",
    "\\begin{e}",
    "\\end{e}",
    "\\\\",
    "- ",
    "1. ",
    "> ",
    "# ",
    "|",
    "| @ | @ |\n|---|---|\n",
    "\n| @ | @ | @ |",
    "<b>@</b>",
    "<!-- @ -->",
    "```@ @\n@\n```\n",
    "    @",
    "[ ] @",
    "\\",
    "---",
    "= @\n===",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_word_of_a_message_is_shown(picks in proptest::collection::vec(0..FRAGMENTS.len(), 1..24)) {
        let mut source = String::new();
        let mut count = 0;
        for part in picks.iter().flat_map(|&pick| FRAGMENTS[pick].split_inclusive('@')) {
            match part.strip_suffix('@') {
                Some(before) => {
                    source.push_str(before);
                    count += 1;
                    source.push_str(&format!("w{count}w"));
                }
                None => source.push_str(part),
            }
        }
        let shown = words(&source, Mode::Complete);
        for word in (1..=count).map(|n| format!("w{n}w")) {
            proptest::prop_assert!(shown.contains(&word), "{} of {:?} is not in {:?}", word, source, shown);
        }
    }
}
