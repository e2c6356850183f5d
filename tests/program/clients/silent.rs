//! Connections that never greet: they are closed, and keep no client out.

use std::fs;

use serde_json::json;

use super::{Raw, holder, is_running, linger, start};
use crate::support::{Bench, wait_for};

fn bench() -> Bench {
    let bench = super::bench();
    linger(&bench, 60);
    bench
}

#[test]
fn silent_connections_do_not_keep_a_client_from_stopping_the_run() {
    let bench = bench();
    start(&bench);
    let mut silent: Vec<Raw> = (0..200).map(|_| Raw::connect(&bench)).collect();
    // The oldest ones were closed for the later ones.
    assert!(silent[0].hear().is_none());
    let stop = bench.run(&["stop", "--now"]);
    assert_eq!(stop.code, 0, "{stop:?}");
    wait_for("the engine exits", || !is_running(&bench));
}

#[test]
fn a_connection_without_a_greeting_is_closed_at_the_deadline() {
    let bench = bench();
    start(&bench);
    assert!(Raw::connect(&bench).hear().is_none());
    super::end(&bench);
}

#[test]
fn more_clients_than_the_limit_are_told_so() {
    let bench = bench();
    start(&bench);
    let mut clients: Vec<Raw> = (0..64).map(|_| Raw::greeted(&bench)).collect();
    let refused = Raw::connect(&bench).ask(&json!({"type": "hello", "version": 2, "tool": "one more"}));
    assert_eq!(refused["type"], "refused");
    assert!(refused["reason"].as_str().unwrap().contains("64 clients"), "{refused}");
    clients.truncate(60);
    wait_for("a seat is free", || bench.run(&["status", "--json"]).stdout.contains("\"problem\":null"));
    super::end(&bench);
}

#[test]
fn texts_of_an_engine_file_do_not_reach_the_terminal_as_they_are() {
    let bench = bench();
    start(&bench);
    let path = bench.engine_file();
    let before = fs::read(&path).unwrap();
    let mut text = holder(&bench);
    text["host"] = json!("evil\u{1b}]0;owned\u{7}\n\u{202e}\u{e0041}");
    let mut bytes = text.to_string().into_bytes();
    bytes.resize(before.len(), b' ');
    fs::write(&path, bytes).unwrap();
    let status = bench.run(&["status"]);
    let shown = status.stdout.clone() + &status.stderr;
    fs::write(&path, before).unwrap();
    assert!(shown.contains("host evil\\u{1b}]0;owned\\u{7}\\n\\u{202e}\\u{e0041}"), "{shown}");
    super::end(&bench);
}
