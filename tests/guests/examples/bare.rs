//! A plugin without the SDK: nothing but the contract and a bindings generator. It says the data of every event louder.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, missing_docs, reason = "of what the generator writes")]

wit_bindgen::generate!({ path: "../../wit", world: "events-plugin" });

use exports::sluicegate::plugin::events::{Event, Fault, Guest as Events};

struct Bare;

impl Guest for Bare {
    fn describe() -> String {
        r#"{"name":"guest-bare"}"#.into()
    }

    fn configure(_: String) -> Result<String, String> {
        Ok(String::new())
    }
}

impl Events for Bare {
    fn batch(mut events: Vec<Event>) -> Result<Option<Vec<Event>>, Fault> {
        for event in &mut events {
            event.data.make_ascii_uppercase();
        }
        Ok(Some(events))
    }

    fn end() -> Result<Vec<Event>, Fault> {
        Ok(Vec::new())
    }
}

export!(Bare);
