//! The exchange behind a [`Context`](super::Context) in a native test: the rules of the gateway over plain memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::types::{Fault, Field};

// The gateway's bounds on notes; see `wit/types.wit`.
const NOTES: usize = 64;
const NOTE_BYTES: usize = 64 * 1024;

/// Header fields that belong to the gateway.
const OWNED: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Which half the exchange is in; header functions work on its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Direction {
    #[default]
    Request,
    Response,
}

/// One exchange.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) id: String,
    pub(crate) received_ms: u64,
    pub(crate) route: String,
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) path: RefCell<String>,
    pub(crate) query: RefCell<String>,
    pub(crate) upstreams: Vec<String>,
    pub(crate) upstream: RefCell<Option<String>>,
    pub(crate) direction: Cell<Direction>,
    pub(crate) request_fields: RefCell<Vec<Field>>,
    pub(crate) response_fields: RefCell<Vec<Field>>,
    pub(crate) status: Cell<u16>,
    pub(crate) head_sent: Cell<bool>,
    pub(crate) notes: RefCell<BTreeMap<String, String>>,
}

impl Exchange {
    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    pub(crate) fn received_ms(&self) -> u64 {
        self.received_ms
    }

    pub(crate) fn route(&self) -> String {
        self.route.clone()
    }

    pub(crate) fn client(&self) -> String {
        self.client.clone()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn path(&self) -> String {
        self.path.borrow().clone()
    }

    pub(crate) fn query(&self) -> String {
        self.query.borrow().clone()
    }

    pub(crate) fn set_path(&self, path: &str) -> Result<(), Fault> {
        self.only_in(Direction::Request, "set-path")?;
        if !path.starts_with('/') || !is_target_text(path) || path.contains('?') {
            return Err(refused(format!("`{path}` is not a path")));
        }
        path.clone_into(&mut self.path.borrow_mut());
        Ok(())
    }

    pub(crate) fn set_query(&self, query: &str) -> Result<(), Fault> {
        self.only_in(Direction::Request, "set-query")?;
        if !is_target_text(query) {
            return Err(refused(format!("`{query}` is not a query")));
        }
        query.clone_into(&mut self.query.borrow_mut());
        Ok(())
    }

    pub(crate) fn set_upstream(&self, name: &str) -> Result<(), Fault> {
        self.only_in(Direction::Request, "set-upstream")?;
        if !self.upstreams.iter().any(|known| known == name) {
            return Err(refused(format!("there is no upstream `{name}`")));
        }
        *self.upstream.borrow_mut() = Some(name.to_owned());
        Ok(())
    }

    pub(crate) fn status(&self) -> u16 {
        self.status.get()
    }

    pub(crate) fn set_status(&self, status: u16) -> Result<(), Fault> {
        self.only_in(Direction::Response, "set-status")?;
        if !(200..=599).contains(&status) {
            return Err(refused(format!("{status} is not a status from 200 to 599")));
        }
        if !self.head_sent.get() {
            self.status.set(status);
        }
        Ok(())
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        self.current().borrow().clone()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let fields = self.current().borrow();
        let field = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(field.value.clone())
    }

    pub(crate) fn set(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        let field = legal(name, value)?;
        let mut fields = self.current().borrow_mut();
        match fields.iter().position(|other| other.name == field.name) {
            Some(first) => {
                let name = field.name.clone();
                fields[first] = field;
                let mut at = 0;
                fields.retain(|other| {
                    at += 1;
                    at - 1 <= first || other.name != name
                });
            }
            None => fields.push(field),
        }
        Ok(())
    }

    pub(crate) fn append(&self, name: &str, value: &[u8]) -> Result<(), Fault> {
        let field = legal(name, value)?;
        self.current().borrow_mut().push(field);
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Fault> {
        let name = legal(name, b"")?.name;
        self.current()
            .borrow_mut()
            .retain(|field| field.name != name);
        Ok(())
    }

    pub(crate) fn note(&self, name: &str) -> Option<String> {
        self.notes.borrow().get(name).cloned()
    }

    pub(crate) fn set_note(&self, name: &str, json: &str) -> Result<(), Fault> {
        if serde_json::from_str::<serde::de::IgnoredAny>(json).is_err() {
            return Err(refused(format!("the note `{name}` is not JSON")));
        }
        let mut notes = self.notes.borrow_mut();
        let others: usize = notes
            .iter()
            .filter(|(key, _)| *key != name)
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let full = !notes.contains_key(name) && notes.len() == NOTES;
        if full || others + name.len() + json.len() > NOTE_BYTES {
            return Err(refused(format!("no room for the note `{name}`")));
        }
        notes.insert(name.to_owned(), json.to_owned());
        Ok(())
    }

    fn current(&self) -> &RefCell<Vec<Field>> {
        match self.direction.get() {
            Direction::Request => &self.request_fields,
            Direction::Response => &self.response_fields,
        }
    }

    fn only_in(&self, direction: Direction, call: &str) -> Result<(), Fault> {
        if self.direction.get() == direction {
            return Ok(());
        }
        Err(refused(format!(
            "`{call}` in the wrong half of the exchange"
        )))
    }
}

fn refused(message: String) -> Fault {
    Fault::upstream("plugin_fault", message)
}

/// A field that may be set, its name in lower case.
fn legal(name: &str, value: &[u8]) -> Result<Field, Fault> {
    let name = name.to_ascii_lowercase();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(refused(format!("`{name}` is not a field name")));
    }
    if OWNED.contains(&name.as_str()) {
        return Err(refused(format!("`{name}` belongs to the gateway")));
    }
    if value.iter().any(|&b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(refused(format!(
            "the value of `{name}` is not legal in HTTP"
        )));
    }
    Ok(Field::new(name, value.trim_ascii()))
}

fn is_target_text(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange {
            upstreams: vec!["b".into()],
            request_fields: RefCell::new(vec![
                Field::new("a", "1"),
                Field::new("b", "2"),
                Field::new("a", "3"),
            ]),
            ..Exchange::default()
        }
    }

    fn pairs(exchange: &Exchange) -> Vec<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        exchange
            .fields()
            .into_iter()
            .map(|f| (f.name, text(f.value)))
            .collect()
    }

    #[test]
    fn set_replaces_all_fields_of_the_name() {
        let exchange = exchange();
        exchange.set("A", b" 9 ").expect("legal");
        assert_eq!(
            pairs(&exchange),
            [("a".into(), "9".into()), ("b".into(), "2".into())]
        );
        exchange.set("c", b"4").expect("legal");
        exchange.append("b", b"5").expect("legal");
        assert_eq!(exchange.get("B").as_deref(), Some(b"2".as_slice()));
        exchange.remove("b").expect("legal");
        assert_eq!(
            pairs(&exchange),
            [("a".into(), "9".into()), ("c".into(), "4".into())]
        );
    }

    #[test]
    fn illegal_and_foreign_fields_are_refused() {
        let exchange = exchange();
        assert!(exchange.set("Content-Length", b"1").is_err());
        assert!(exchange.set("", b"1").is_err());
        assert!(exchange.set("a b", b"1").is_err());
        assert!(exchange.append("a", b"x\r\ny: z").is_err());
        assert!(exchange.remove("te").is_err());
    }

    #[test]
    fn request_setters_fail_in_the_response_and_the_other_way_round() {
        let exchange = exchange();
        assert!(exchange.set_status(200).is_err());
        exchange.set_path("/x").expect("request phase");
        exchange.set_query("a=b").expect("request phase");
        exchange.set_upstream("b").expect("known");
        assert!(exchange.set_upstream("c").is_err());
        for path in ["x", "/a b", "/a?b", "/\u{e9}", ""] {
            assert!(exchange.set_path(path).is_err(), "{path}");
        }
        assert!(exchange.set_query("a b").is_err());
        exchange.direction.set(Direction::Response);
        assert!(exchange.set_path("/x").is_err());
        assert!(exchange.set_query("").is_err());
        assert!(exchange.set_upstream("b").is_err());
        assert!(exchange.set_status(199).is_err());
        exchange.set_status(201).expect("response phase");
        exchange.head_sent.set(true);
        exchange.set_status(202).expect("without effect");
        assert_eq!(exchange.status(), 201);
    }

    #[test]
    fn notes_are_json_and_bounded() {
        let exchange = exchange();
        assert!(exchange.set_note("a", "nope").is_err());
        assert!(
            exchange
                .set_note("a", &format!("\"{}\"", "x".repeat(NOTE_BYTES)))
                .is_err()
        );
        for n in 0..NOTES {
            exchange.set_note(&n.to_string(), "1").expect("room");
        }
        assert!(exchange.set_note("more", "1").is_err());
        exchange.set_note("0", "2").expect("replaces");
        assert_eq!(exchange.note("0").as_deref(), Some("2"));
    }
}
