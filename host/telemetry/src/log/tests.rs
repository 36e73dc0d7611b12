//! The promises of the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::{Error, Form, Lines, init};
use sluicegate_config::{Log, LogFormat};

/// Keeps what is written, one entry a `write`.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8(bytes.to_vec()).expect("a log is UTF-8");
        self.0.lock().expect("not poisoned").push(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_785_578_400_123)
}

/// The lines that `work` writes.
fn lines(form: Form, work: impl FnOnce()) -> Vec<String> {
    let kept = Kept::default();
    let writer = kept.clone();
    let layer = Lines::new(form, move || writer.clone()).with_clock(clock);
    tracing::subscriber::with_default(Registry::default().with(layer), work);
    let lines = kept.0.lock().expect("not poisoned").clone();
    assert!(lines.iter().all(|line| line.ends_with('\n')));
    assert!(lines.iter().all(|line| line.matches('\n').count() == 1));
    lines
}

fn json_line(work: impl FnOnce()) -> String {
    let mut lines = lines(Form::Json, work);
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect("a line is JSON")
}

fn text_line(work: impl FnOnce()) -> String {
    let mut lines = lines(Form::Text { color: false }, work);
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

#[test]
fn json_line_is_one_object_with_time_level_target_and_message_first() {
    let line = json_line(|| tracing::info!(target: "t", count = 3, "hello {}", "world"));
    assert_eq!(
        line,
        "{\"ts\":\"2026-08-01T10:00:00.123Z\",\"level\":\"info\",\"target\":\"t\",\"msg\":\"hello world\",\"count\":3}\n"
    );
}

#[test]
fn values_keep_their_types() {
    let error = io::Error::other(Layered(Some(Box::new(Layered(None)))));
    let error: &(dyn std::error::Error + 'static) = &error;
    let line = parsed(&json_line(|| {
        tracing::warn!(
            a = true,
            b = -1,
            c = u64::MAX,
            d = 1.5,
            e = f64::NAN,
            f = "text",
            g = %"shown",
            h = ?Some("debug"),
            i = u128::MAX,
            j = i128::MIN,
            k = error,
            r#type = "keyword",
            level = "mine",
            absent = Option::<u8>::None,
        );
    }));
    let expected = json!({
        "ts": "2026-08-01T10:00:00.123Z", "level": "warn", "msg": "", "target": line["target"],
        "a": true, "b": -1, "c": u64::MAX, "d": 1.5, "e": "NaN", "f": "text", "g": "shown",
        "h": "Some(\"debug\")", "i": u128::MAX.to_string(), "j": i128::MIN.to_string(),
        "k": "layer: layer", "type": "keyword", "level_": "mine",
    });
    assert_eq!(line, expected);
}

/// An error with a cause.
#[derive(Debug)]
struct Layered(Option<Box<Self>>);

impl std::fmt::Display for Layered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("layer")
    }
}

impl std::error::Error for Layered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn fields_of_spans_are_in_the_line_and_inner_ones_win() {
    let line = parsed(&json_line(|| {
        let outer = tracing::info_span!(
            "exchange",
            req = "req_1",
            route = "/a",
            status = tracing::field::Empty
        );
        outer.record("status", 200);
        outer.record("route", "/b");
        let _outer = outer.enter();
        let _inner = tracing::info_span!("stage", plugin = "auth", req = "req_2").entered();
        tracing::info!(plugin = "own", "hello");
    }));
    assert_eq!(line["req"], "req_2");
    assert_eq!(line["route"], "/b");
    assert_eq!(line["status"], 200);
    assert_eq!(line["plugin"], "own");
}

#[test]
fn fields_of_a_plugin_become_fields_of_the_line() {
    let line = json_line(|| {
        let fields =
            r#"{"z":1,"a":{"b":[null]},"msg":"forged","plugin":"forged","req":"r","ts":0}"#;
        tracing::info!(target: "sluicegate::plugin", plugin = "mine", fields, "done");
    });
    assert!(line.ends_with(
        "\"target\":\"sluicegate::plugin\",\"msg\":\"done\",\"plugin\":\"mine\",\"z\":1,\"a\":{\"b\":[null]},\
         \"msg_\":\"forged\",\"plugin_\":\"forged\",\"req\":\"r\",\"ts_\":0}\n"
    ));
    let line = text_line(|| {
        tracing::info!(target: "sluicegate::plugin", fields = r#"{"a":"b c","d":[1]}"#, "done");
    });
    assert_eq!(
        line,
        "2026-08-01T10:00:00.123Z INFO  sluicegate::plugin: done a=\"b c\" d=[1]\n"
    );
}

#[test]
fn fields_that_are_no_object_or_not_a_plugins_stay_as_they_are() {
    for odd in ["[1]", "{\"a\":1} x", "{\"a\"", "text"] {
        let line = parsed(&json_line(|| {
            tracing::info!(target: "sluicegate::plugin", fields = odd, "done");
        }));
        assert_eq!(line["fields"], odd);
    }
    let line = parsed(&json_line(|| tracing::info!(fields = "{\"a\":1}", "done")));
    assert_eq!(line["fields"], "{\"a\":1}");
}

#[test]
fn span_cannot_hide_its_request_from_a_plugins_line() {
    let line = parsed(&json_line(|| {
        let _span = tracing::info_span!("exchange", req = "req_1").entered();
        tracing::info!(target: "sluicegate::plugin", fields = r#"{"req":"forged"}"#, "done");
    }));
    assert_eq!(
        (&line["req"], &line["req_"]),
        (&json!("req_1"), &json!("forged"))
    );
}

#[test]
fn text_line_is_for_people() {
    let line = text_line(|| {
        tracing::error!(target: "a::b", plain = "x", blank = "a b", empty = "", quote = "\"", number = 5, "it broke");
    });
    assert_eq!(
        line,
        "2026-08-01T10:00:00.123Z ERROR a::b: it broke plain=x blank=\"a b\" empty=\"\" quote=\"\\\"\" number=5\n"
    );
}

/// A new line, a carriage return, a terminal's sequence in 7 and in 8 bits, DEL, a line separator, a turn of direction.
const HOSTILE: &str = "a\nb\rc\x1b[2Jd\u{9b}2Je\x7ff\u{2028}g\u{202e}h\té";

#[test]
fn hostile_text_cannot_forge_lines_or_control_the_terminal() {
    for color in [false, true] {
        let form = Form::Text { color };
        let all = lines(form, || tracing::info!(value = HOSTILE, "{HOSTILE}"));
        let body = all[0].trim_end_matches('\n');
        let body = body
            .replace("\x1b[2m", "")
            .replace("\x1b[0m", "")
            .replace("\x1b[32m", "");
        assert!(!body.chars().any(super::line::is_hidden), "{body:?}");
        assert!(
            body.contains(r"a\nb\rc\u001b[2Jd\u009b2Je\u007ff\u2028g\u202eh\té"),
            "{body}"
        );
    }
    let line = json_line(|| tracing::info!(value = HOSTILE, "{HOSTILE}"));
    assert!(
        !line
            .trim_end_matches('\n')
            .chars()
            .any(super::line::is_hidden)
    );
    let line = parsed(&line);
    assert_eq!(line["value"], HOSTILE);
    assert_eq!(line["msg"], HOSTILE);
}

#[test]
fn hostile_names_of_fields_are_quoted() {
    let fields = "{\"a=b\\n\":1}";
    let line = text_line(|| tracing::info!(target: "sluicegate::plugin", fields, "x"));
    assert!(line.ends_with(" x \"a=b\\n\"=1\n"), "{line}");
}

#[test]
fn color_is_only_there_when_asked_for() {
    let write = || {
        tracing::error!("x");
        tracing::warn!("x");
        tracing::info!("x");
        tracing::debug!("x");
        tracing::trace!("x");
    };
    let plain = lines(Form::Text { color: false }, write);
    assert!(plain.iter().all(|line| !line.contains('\x1b')));
    let painted = lines(Form::Text { color: true }, write);
    let colors: Vec<bool> = ["31", "33", "32", "34", "35"]
        .iter()
        .zip(&painted)
        .map(|(color, line)| line.contains(&format!("\x1b[{color}m")))
        .collect();
    assert_eq!(colors, [true; 5]);
}

#[test]
fn writer_that_fails_is_survived() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let layer = Lines::new(Form::Json, || Broken);
    tracing::subscriber::with_default(Registry::default().with(layer), || tracing::info!("lost"));
}

#[test]
fn level_that_is_no_filter_is_refused() {
    let log = Log {
        format: LogFormat::Json,
        level: "info,a=b=c".to_owned(),
    };
    assert!(matches!(init(&log), Err(Error::Level { level, .. }) if level == log.level));
}

#[test]
fn of_a_plugin_s_members_the_first_64_become_fields() {
    let text = (0..1000).map(|number| format!("\"same\":{number}"));
    let text = format!("{{{}}}", text.collect::<Vec<_>>().join(","));
    let line = parsed(&json_line(|| {
        tracing::info!(target: "sluicegate::plugin", fields = text, "many");
    }));
    assert_eq!(line["same"], 0);
    assert_eq!(line[format!("same{}", "_".repeat(63))], 63);
    assert_eq!(line["fields_left_out"], 936);
    assert_eq!(line.as_object().map(serde_json::Map::len), Some(4 + 64 + 1));
}
