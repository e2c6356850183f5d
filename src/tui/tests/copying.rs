//! Copies to the clipboard, the log file, and what reaches the log.

use super::fixtures::{failing, gpus, running};
use super::harness::Harness;
use crate::protocol::FromEngine;
use crate::protocol::event::Event;
use crate::protocol::row::RowState;
use crate::tui::update::Effect;

fn copied(harness: &Harness) -> &str {
    match harness.effects.last() {
        Some(Effect::Copy(text)) => text,
        other => panic!("nothing was copied: {other:?}"),
    }
}

#[test]
fn the_reason_of_a_video_is_copied() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("f c enter").press("w");
    assert!(copied(&harness).starts_with("moov atom missing"), "{}", copied(&harness));
    assert!(harness.has_toast("copied the reason"));
    harness.press("f a").press("x enter w");
    assert_eq!(harness.app.videos.current().unwrap().state, RowState::Excluded);
    assert!(harness.has_toast("nothing went wrong with this video"));
}

#[test]
fn lines_of_the_log_are_copied_and_the_file_is_opened() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("5 k k y");
    assert!(copied(&harness).starts_with("14:02:57 detail done "), "{}", copied(&harness));
    harness.press("f f").press("Y");
    let lines = copied(&harness);
    assert!(lines.lines().count() > 3 && lines.lines().all(|line| line.contains(" problem ")), "{lines}");
    harness.press("o");
    assert_eq!(harness.effects.last(), Some(&Effect::ShowLog));
}

#[test]
fn a_long_message_is_copied_from_its_popup() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.app.notice("Failed", "the first line\nthe second line");
    harness.press("y");
    assert_eq!(copied(&harness), "the first line\nthe second line");
}

#[test]
fn results_of_commands_are_in_the_log_once() {
    let mut harness = running(120, 40, failing(), gpus(1));
    let before = harness.app.log.held();
    harness.press("m");
    assert!(harness.has_toast("done as asked"));
    // The engine reports the commands of all windows.
    let command = "write the lists of missing videos".to_owned();
    harness.event(Event::Command { command, done: true, message: "done as asked".into() });
    assert_eq!(harness.app.log.current().unwrap().text, "done as asked");
    harness.silent = true;
    harness.press("l");
    let id = harness.app.next_id;
    harness.receive(FromEngine::Error { id, message: "the output folder is read-only".into() });
    assert!(harness.has_toast("the output folder is read-only"));
    assert_eq!(harness.app.log.held(), before + 1);
}

#[test]
fn of_how_to_download_something_the_address_is_copied() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.app.notice("Weights", "Download the file:\nhttps://example.org/w.pth\n\nCopy it to:\n/w.pth");
    harness.press("y");
    assert_eq!(copied(&harness), "https://example.org/w.pth");
}
