use super::*;
use crate::store::tests::{Temporary, message, session, store};
use crate::store::{connect, message as messages, session as sessions, token};
use crate::wire::message::Role;

const BUDGET: Duration = Duration::from_secs(5);

fn world(texts: &[&str]) -> (Temporary, Connection) {
    let world = store();
    let c = connect(&world.path).expect("a connection");
    for (n, text) in texts.iter().enumerate() {
        let row = session(&format!("s{n}"), n as u64);
        sessions::insert(&c, &row).expect("a session");
        let message = message(&format!("m{n}"), None, Role::User, text);
        messages::insert(&c, &row.session.id, token::LOCAL, &message).expect("a message");
    }
    (world, c)
}

fn found(c: &Connection, query: &str) -> Vec<String> {
    let found = search(c, token::LOCAL, query, BUDGET).expect("a search");
    assert!(!found.partial);
    found
        .sessions
        .into_iter()
        .map(|session| session.id)
        .collect()
}

#[test]
fn chinese_words_of_any_length_are_found() {
    let (_world, c) = world(&["冒泡排序是一种简单的算法", "快速排序更快", "今天天气很好"]);
    assert_eq!(found(&c, "排序"), ["s1", "s0"]);
    assert_eq!(found(&c, "冒泡排序"), ["s0"]);
    assert_eq!(found(&c, "天"), ["s2"]);
    assert_eq!(
        found(&c, "冒泡排序 算法"),
        ["s0"],
        "a short word beside a long one counts"
    );
    assert_eq!(found(&c, "冒泡排序 天气"), Vec::<String>::new());
    assert_eq!(found(&c, "排序 快"), ["s1"]);
}

#[test]
fn what_means_something_to_the_index_is_only_text() {
    let (_world, c) = world(&[
        "50% of a_b \"quoted\" text",
        "5000 of aXb",
        "NEAR(x y) AND OR NOT *",
    ]);
    assert_eq!(found(&c, "50%"), ["s0"]);
    assert_eq!(found(&c, "a_b"), ["s0"]);
    assert_eq!(found(&c, "\"quoted\""), ["s0"]);
    assert_eq!(found(&c, "NEAR(x"), ["s2"]);
    for query in [
        "*", "\"", "'", "AND", "text:", "(", "^abc", "{a b}: c", "-abc", "\\", "a\\", "%", "_",
        "abc\0", "\0", "a\0b",
    ] {
        search(&c, token::LOCAL, query, BUDGET).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    assert!(found(&c, "  ").is_empty());
}

#[test]
fn case_does_not_matter_and_titles_are_found_too() {
    let (_world, c) = world(&["Hello World", "x"]);
    let mut row = sessions::any(&c, "s1")
        .expect("readable")
        .expect("it is there");
    row.session.title = "Hello title".to_owned();
    sessions::save(&c, &row).expect("stored");
    assert_eq!(found(&c, "hELLo"), ["s1", "s0"]);
    let hits = search(&c, token::LOCAL, "title", BUDGET)
        .expect("a search")
        .sessions
        .remove(0)
        .hits;
    assert_eq!(hits[0].message, None);
    assert!(found(&c, "he").len() == 2);
}

#[test]
fn other_users_and_the_bin_are_not_searched() {
    let (_world, c) = world(&["needle in a haystack"]);
    assert!(
        search(&c, "u_2", "needle", BUDGET)
            .expect("a search")
            .sessions
            .is_empty()
    );
    let mut row = sessions::any(&c, "s0")
        .expect("readable")
        .expect("it is there");
    row.session.deleted_at = Some(1);
    sessions::save(&c, &row).expect("stored");
    assert!(found(&c, "needle").is_empty() && found(&c, "ne").is_empty());
}

#[test]
fn a_text_that_changed_is_found_by_its_new_words_only() {
    let (_world, c) = world(&["before"]);
    messages::index(&c, "m0", "afterwards").expect("indexed");
    c.execute("UPDATE messages SET text = 'afterwards'", [])
        .expect("changed");
    assert!(found(&c, "before").is_empty());
    assert_eq!(found(&c, "afterwards"), ["s0"]);
}

#[test]
fn a_search_without_time_says_that_there_may_be_more() {
    let (_world, c) = world(&["天气"]);
    assert!(
        search(&c, token::LOCAL, "天气", Duration::ZERO)
            .expect("a search")
            .partial
    );
}

#[test]
fn snippets_show_the_find_in_its_surroundings() {
    let terms = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let show = |text: &str, words: &[&str]| {
        let parts = snippet(text, &terms(words));
        parts
            .iter()
            .map(|part| {
                if part.hit {
                    format!("[{}]", part.t)
                } else {
                    part.t.clone()
                }
            })
            .collect::<String>()
    };
    assert_eq!(show("Hello\nWorld", &["world", "he"]), "[He]llo [World]");
    let long = format!("{}needle{}", "x ".repeat(100), " y".repeat(100));
    let shown = show(&long, &["needle"]);
    assert!(
        shown.starts_with('…') && shown.contains("[needle]") && shown.ends_with('…'),
        "{shown}"
    );
    assert_eq!(show("", &["a"]), "");
    assert_eq!(
        show("İstanbul 你好", &["你好"]),
        "İstanbul [你好]",
        "a letter whose lower case is longer does not shift the rest"
    );
}

#[test]
fn many_finds_are_bounded_per_session_and_in_all() {
    let (_world, c) = world(&["seed"]);
    for n in 0..200 {
        let row = session(&format!("t{n:03}"), 100 + n);
        sessions::insert(&c, &row).expect("a session");
        for k in 0..5 {
            let message = message(&format!("n{n}-{k}"), None, Role::User, "common word");
            messages::insert(&c, &row.session.id, token::LOCAL, &message).expect("a message");
        }
    }
    let found = search(&c, token::LOCAL, "common", BUDGET).expect("a search");
    assert_eq!(found.sessions.len(), SESSIONS);
    assert!(
        found.partial
            && found
                .sessions
                .iter()
                .all(|session| session.hits.len() <= HITS)
    );
}

#[test]
fn a_word_without_end_is_searched_by_its_beginning() {
    let text = "x".repeat(90_000);
    let (_world, c) = world(&[&text, "xxx"]);
    assert_eq!(found(&c, &text), ["s0"]);
}

mod properties {
    use super::*;

    #[test]
    fn any_query_is_a_search() {
        let (_world, c) = world(&["İß é 你 a"]);
        proptest::proptest!(|(query in "[%_'\"\\\\*\\^(){}:+\u{0}\u{feff}\u{202e}Iİßé你a -]{0,20}|\\PC{0,20}")| {
            search(&c, token::LOCAL, &query, BUDGET)?;
        });
    }
}
