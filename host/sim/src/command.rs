//! The words with which a user message asks for a certain behaviour; the crate's documentation lists them. Pure.

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Help,
    Echo(&'a str),
    /// That many tokens.
    Long(usize),
    Code,
    Markdown,
    Think,
    Slow,
    Error(Failing),
}

/// How an answer fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    Status(u16),
    Html,
    Empty,
    Mid,
    /// The model's process is stopped in mid-answer.
    Abort,
    /// The model's tool call breaks off.
    Call,
    Truncate,
    Reset,
    Stall,
}

/// More would take over an hour at a human pace; arbitrary.
const LONG_MAX: usize = 100_000;

/// The default of `/long`; arbitrary.
const LONG_DEFAULT: usize = 500;

/// The command in a message; `None` for ordinary text, which includes unknown words.
pub(super) fn parse(message: &str) -> Option<Command<'_>> {
    let message = message.trim();
    let (word, rest) = match message.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (message, ""),
    };
    match word {
        "/help" => Some(Command::Help),
        "/echo" => Some(Command::Echo(rest)),
        "/long" => {
            let count = rest.split_whitespace().next();
            let count = count.and_then(|count| count.parse().ok());
            Some(Command::Long(count.unwrap_or(LONG_DEFAULT).min(LONG_MAX)))
        }
        "/code" => Some(Command::Code),
        "/markdown" => Some(Command::Markdown),
        "/think" => Some(Command::Think),
        "/slow" => Some(Command::Slow),
        "/error" => Some(Command::Error(failing(rest))),
        _ => None,
    }
}

/// Without a known word, the simplest failure.
fn failing(rest: &str) -> Failing {
    match rest.split_whitespace().next().unwrap_or("500") {
        "html" => Failing::Html,
        "empty" => Failing::Empty,
        "mid" => Failing::Mid,
        "abort" => Failing::Abort,
        "call" => Failing::Call,
        "truncate" => Failing::Truncate,
        "reset" => Failing::Reset,
        "stall" => Failing::Stall,
        number => Failing::Status(
            number
                .parse()
                .ok()
                .filter(|status| (400..600).contains(status))
                .unwrap_or(500),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_word_is_known() {
        for (message, command) in [
            ("/help", Command::Help),
            (" /echo  a  b ", Command::Echo("a  b")),
            ("/echo", Command::Echo("")),
            ("/long 7", Command::Long(7)),
            ("/long", Command::Long(500)),
            ("/long many", Command::Long(500)),
            ("/long 999999999", Command::Long(100_000)),
            ("/code", Command::Code),
            ("/markdown please", Command::Markdown),
            ("/think", Command::Think),
            ("/slow\nhello", Command::Slow),
            ("/error", Command::Error(Failing::Status(500))),
            ("/error 429", Command::Error(Failing::Status(429))),
            ("/error 200", Command::Error(Failing::Status(500))),
            ("/error what", Command::Error(Failing::Status(500))),
            ("/error html", Command::Error(Failing::Html)),
            ("/error empty", Command::Error(Failing::Empty)),
            ("/error mid", Command::Error(Failing::Mid)),
            ("/error abort", Command::Error(Failing::Abort)),
            ("/error call", Command::Error(Failing::Call)),
            ("/error truncate", Command::Error(Failing::Truncate)),
            ("/error reset", Command::Error(Failing::Reset)),
            ("/error stall", Command::Error(Failing::Stall)),
        ] {
            assert_eq!(parse(message), Some(command), "{message}");
        }
    }

    #[test]
    fn other_text_is_no_command() {
        for message in ["", "hello /help", "/helpme", "/unknown", "/ help"] {
            assert_eq!(parse(message), None, "{message}");
        }
    }
}
