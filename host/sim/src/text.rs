//! The canned texts of the simulated models, in two languages. Pure.

/// The language of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Chinese if the text has a Chinese character, else English.
    pub(super) fn of(text: &str) -> Self {
        if text.chars().any(is_han) {
            Self::Chinese
        } else {
            Self::English
        }
    }

    pub(super) fn pick<'a>(self, english: &'a str, chinese: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }

    /// The code of ISO 639.
    pub(super) fn code(self) -> &'static str {
        self.pick("en", "zh")
    }
}

/// Words of a question, and an answer to it in English and in Chinese.
struct Topic {
    words: &'static [&'static str],
    english: &'static str,
    chinese: &'static str,
}

/// The first that fits is taken.
const TOPICS: [Topic; 8] = [
    Topic {
        words: &[
            "introduce yourself",
            "who are you",
            "介绍",
            "你是谁",
            "自我",
        ],
        english: "I am a stand-in for a language model. I speak Ollama's protocol, stream at a human pace and answer \
            from a small set of prepared texts.",
        chinese: "我是一个大语言模型的替身：我使用 Ollama 的协议，以接近真人阅读的速度流式输出，并从一小组预先写好的文字中作答。",
    },
    Topic {
        words: &["resign", "辞职"],
        english: "Dear manager,\n\nplease accept this letter as notice of my resignation; my last day will be in \
            four weeks. I am grateful for what I have learned here, and I will hand over my work with care.\n\n\
            Kind regards",
        chinese: "尊敬的领导：\n\n您好！经过慎重考虑，我决定辞去目前的职务，最后工作日为四周之后。\
            感谢公司一直以来的培养与信任，我会认真完成交接，保证工作平稳过渡。\n\n此致\n敬礼",
    },
    Topic {
        words: &["joke", "笑话"],
        english: "A model walks into a bar. The bartender asks: \"What will it be?\" The model answers: \"With \
            probability 0.7, a beer.\"",
        chinese: "程序员去买菜，妻子说：“买一斤苹果，如果看到西瓜，就买两个。”他带回了两个苹果，因为他看到了西瓜。",
    },
    Topic {
        words: &["poem", "haiku", "诗"],
        english: "Water at the gate,\nletters pass one by one through,\nnone of them is lost.",
        chinese: "闸门开处水声长，\n字字分流过小窗。\n莫问源头谁作答，\n且看清影到池塘。",
    },
    Topic {
        words: &["wasm", "webassembly"],
        english: "WebAssembly is a compact code format that runs in a sandbox. A component has typed imports and \
            exports, so the host decides what it may see, how long it may run and how much memory it may use.",
        chinese: "WebAssembly 是一种在沙箱中运行的紧凑代码格式。组件具有带类型的导入和导出，因此宿主可以决定它能看到什么、\
            能运行多久、能使用多少内存。",
    },
    Topic {
        words: &["gateway", "sluicegate", "proxy", "网关", "代理"],
        english: "A gateway stands between the clients and the model server. It checks keys, translates one API into \
            another, counts tokens and follows each request by its id through all layers.",
        chinese: "网关位于客户端与模型服务之间：它校验密钥，在不同的接口之间转换，统计 token 用量，并用请求 ID 在各层之间追踪每一次调用。",
    },
    Topic {
        words: &["weather", "天气"],
        english: "I cannot look out of a window. Give me a weather tool and I will call it.",
        chinese: "我看不到窗外的天气。如果给我一个查询天气的工具，我会调用它。",
    },
    Topic {
        words: &[
            "hello",
            "hi",
            "hey",
            "good morning",
            "你好",
            "您好",
            "早上好",
        ],
        english: "Hello! The connection works: your message went through the pipeline and this answer is streaming back.",
        chinese: "你好！链路已经打通：你的消息经过了整个处理流程，这段回答正在流式返回。",
    },
];

/// The answer to an ordinary question; `turn` counts the user's messages.
pub(super) fn answer(question: &str, turn: usize, images: usize, language: Language) -> String {
    let mut text = String::new();
    if images > 0 {
        text = match language {
            Language::English => {
                format!("I received {images} image(s), but a simulation cannot see. ")
            }
            Language::Chinese => format!("我收到了 {images} 张图片，但模拟程序看不见内容。"),
        };
    }
    match TOPICS.iter().find(|topic| topic.fits(question)) {
        Some(topic) => text.push_str(language.pick(topic.english, topic.chinese)),
        None => text.push_str(&fallback(question, turn, language)),
    }
    text.push_str(note(language));
    text
}

/// The last sentence of every answer, so that nobody takes it for a model's.
pub(super) fn note(language: Language) -> &'static str {
    language.pick(
        "\n\n(This is a simulated answer: no model is running. Send /help to see what else to try.)",
        "\n\n（这是模拟回答，背后没有真正的模型。发送 /help 查看更多用法。）",
    )
}

fn fallback(question: &str, turn: usize, language: Language) -> String {
    let quoted = excerpt(question, 80);
    match language {
        Language::English => format!(
            "You wrote: \"{quoted}\". That was message {turn} of this conversation. A real model would now think about \
             it; I only show that the way from your client to the model server and back works, one token at a time."
        ),
        Language::Chinese => format!(
            "你写的是：“{quoted}”，这是本次对话的第 {turn} 条消息。真正的模型会认真思考并作答；我只负责演示从客户端到模型服务、\
             再逐个 token 返回的整条链路。"
        ),
    }
}

/// The answer after tools were called: `results` are a tool's name and what it gave.
pub(super) fn tool_answer(results: &[(&str, &str)], language: Language) -> String {
    let told: Vec<String> = results
        .iter()
        .map(|(name, result)| {
            let name = if name.is_empty() {
                language.pick("the tool", "工具")
            } else {
                name
            };
            let result = excerpt(result, 300);
            match language {
                Language::English => format!("According to {name}: {result}"),
                Language::Chinese => format!("根据 {name} 的结果：{result}"),
            }
        })
        .collect();
    told.join("\n") + note(language)
}

/// The reasoning before an answer.
pub(super) fn thinking(question: &str, long: bool, language: Language) -> String {
    let quoted = excerpt(question, 40);
    let mut text = match language {
        Language::English => format!(
            "The user writes \"{quoted}\". I am a simulation, so I pick the prepared text that fits best and say so."
        ),
        Language::Chinese => {
            format!(
                "用户写的是“{quoted}”。我是模拟程序，选择最合适的预备文字来回答，并说明这一点。"
            )
        }
    };
    if long {
        text.push_str(language.pick(
            "\n\nFirst I ask what is wanted: a sample of reasoning that is long enough to be seen in a page.\n\
             Then I weigh two ways: a short answer is quick, a long one shows folding and scrolling.\n\
             A list helps to see line breaks:\n- one thought,\n- another thought,\n- a last thought.\n\
             So I settle for a short answer after this long reasoning.",
            "\n\n首先弄清需求：需要一段足够长的推理，以便在页面上看到效果。\n\
             然后比较两种做法：短回答快，长推理可以展示折叠和滚动。\n\
             列表可以检验换行：\n- 第一个想法，\n- 第二个想法，\n- 最后一个想法。\n\
             因此，在这段较长的推理之后给出简短的回答。",
        ));
    }
    text
}

/// The answer to `/think`.
pub(super) fn after_thinking(language: Language) -> String {
    let text = language.pick(
        "The reasoning comes in a field of its own, before this answer. A model that does not reason leaves it out.",
        "推理内容在单独的字段中返回，先于这段回答。不支持推理的模型没有这部分。",
    );
    format!("{text}{}", note(language))
}

/// Text for an answer that is going to fail.
pub(super) fn failing(language: Language) -> &'static str {
    language.pick(
        "This answer will not reach its end, because the message asked for a failure. Watch what the client makes of",
        "这段回答不会正常结束，因为消息要求模拟一次故障。请留意客户端如何处理",
    )
}

/// The answer to `/slow`.
pub(super) fn slow(language: Language) -> String {
    let text = language.pick(
        "This is what a large model on a small machine looks like.",
        "大模型跑在小机器上就是这个样子。",
    );
    format!("{text}{}", note(language))
}

/// The answer to `/code`.
pub(super) const CODE: &str = "A simulated sample in two languages.

```rust
/// The sum of the first `n` squares.
fn squares(n: u64) -> u64 {
    (1..=n).map(|i| i * i).sum() // 1 + 4 + 9 + …
}

fn main() {
    assert_eq!(squares(3), 14);
    println!(\"<b>{}</b> & more\", squares(10));
}
```

```python
def squares(n: int) -> int:
    \"\"\"The sum of the first n squares.\"\"\"
    return sum(i * i for i in range(1, n + 1))


print(squares(10))
```
";

/// The answer to `/markdown`: every construct that a renderer meets, and some that it must not obey.
pub(super) const MARKDOWN: &str = "# A simulated sample

Plain text with **bold**, *italic*, ~~struck~~, `code` and a [link](https://example.com/).
中文也要正常换行，包括**加粗**和`代码`。

## Lists

1. first
2. second
   - nested
   - [x] done
   - [ ] open

> A quotation
> of two lines.

| stage | role | µs |
| --- | :---: | ---: |
| auth | gate | 6 |
| ollama | filter | 12 |

```json
{\"answer\": 42, \"units\": [\"a\", \"b\"]}
```

---

A line that must stay text: <script>alert(1)</script> and <img src=x onerror=alert(1)>
";

/// One of the words that `/long` repeats.
pub(super) fn filler(index: usize) -> &'static str {
    const WORDS: [&str; 12] = [
        "water", "runs", "through", "the", "gate", "and", "every", "word", "arrives", "in", "its",
        "turn",
    ];
    WORDS[index % WORDS.len()]
}

/// Splits a text into parts of about the size of a token; joined, they are the text again.
pub(super) fn tokens(text: &str) -> Vec<String> {
    /// Letters of one token at most; arbitrary, near to what tokenizers make.
    const LETTERS: usize = 7;
    let mut tokens: Vec<String> = Vec::new();
    let mut length = 0;
    let mut previous = ' ';
    for c in text.chars() {
        let begins = match c {
            ' ' => previous != ' ',
            '\n' => previous != '\n',
            _ if is_han(c) => !is_han(previous) || length >= 2,
            _ if c.is_alphanumeric() => previous == '\n' || is_han(previous) || length > LETTERS,
            _ => previous.is_whitespace() && previous != ' ',
        };
        match tokens.last_mut() {
            Some(token) if !begins => {
                token.push(c);
                length += 1;
            }
            _ => {
                tokens.push(c.to_string());
                length = 1;
            }
        }
        previous = c;
    }
    tokens
}

impl Topic {
    fn fits(&self, question: &str) -> bool {
        let lower = question.to_lowercase();
        let mut words = lower.split(|c: char| !c.is_alphanumeric());
        self.words.iter().any(|wanted| {
            // A short word must stand alone: "hi" is not in "this".
            if wanted.len() <= 3 && wanted.is_ascii() {
                words.clone().any(|word| word == *wanted)
            } else if wanted.is_ascii() && !wanted.contains(' ') {
                words.any(|word| word.starts_with(wanted))
            } else {
                lower.contains(wanted)
            }
        })
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// The beginning of a text on one line, at most `limit` characters.
fn excerpt(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    line.chars().take(limit).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_in_the_language_of_the_question_and_say_that_they_are_simulated() {
        for topic in &TOPICS {
            let chinese = answer("你好", 1, 0, Language::Chinese);
            assert!(chinese.contains("模拟"));
            let english = answer(topic.words[0], 1, 0, Language::English);
            assert!(english.starts_with(topic.english), "{english}");
            assert!(english.contains("simulated answer"));
            assert_eq!(Language::of(topic.chinese), Language::Chinese);
            assert_eq!(Language::of(topic.english), Language::English);
        }
        assert!(answer("请用一句话介绍你自己", 1, 0, Language::Chinese).starts_with("我是一个"));
        assert_eq!(
            (Language::Chinese.code(), Language::English.code()),
            ("zh", "en")
        );
    }

    #[test]
    fn an_unknown_question_is_quoted() {
        let english = answer("What of this?", 3, 0, Language::English);
        assert!(english.starts_with("You wrote: \"What of this?\". That was message 3"));
        let chinese = answer("为什么", 2, 1, Language::Chinese);
        assert!(chinese.contains("“为什么”") && chinese.contains("1 张图片"));
        assert!(answer("why", 1, 2, Language::English).starts_with("I received 2 image(s)"));
        assert_eq!(excerpt(&"x".repeat(9), 8), "xxxxxxxx…");
    }

    #[test]
    fn reasoning_and_tool_answers_come_in_both_languages() {
        for language in [Language::English, Language::Chinese] {
            let short = thinking("q", false, language);
            let long = thinking("q", true, language);
            assert!(long.len() > short.len() && long.starts_with(&short));
            let answer = tool_answer(&[("clock", "42"), ("", "7")], language);
            assert!(
                answer.contains("clock")
                    && answer.contains("42")
                    && answer.contains(note(language))
            );
            assert!(after_thinking(language).contains(note(language)));
            assert!(slow(language).contains(note(language)));
        }
    }

    #[test]
    fn tokens_joined_are_the_text_again() {
        for text in [
            "",
            " ",
            "Hello, world!  Two blanks.\n\nA line\twith tab.",
            "中文和 English 混排。",
            CODE,
            MARKDOWN,
            "aVeryLongWordWithoutAnyBreakInIt",
        ] {
            let tokens = tokens(text);
            assert_eq!(tokens.concat(), text);
            assert!(tokens.iter().all(|token| !token.is_empty()));
        }
        assert_eq!(tokens("Hello big world"), ["Hello", " big", " world"]);
        assert_eq!(tokens("你好世界"), ["你好", "世界"]);
        assert_eq!(tokens("a\nb"), ["a", "\n", "b"]);
        assert_eq!(tokens("unbelievably").len(), 2);
    }
}
