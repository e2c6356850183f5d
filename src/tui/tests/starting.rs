//! Requests that begin a run: what else it would extract, and new settings that it uses first.

use super::fixtures::{row, running};
use super::harness::Harness;
use crate::config::{Overrides, Settings};
use crate::protocol::row::{RowState, Select};
use crate::protocol::snapshot::Phase;
use crate::protocol::{Command, FromEngine};
use crate::tui::reopening::{NewSettings, Reopening};
use crate::tui::update::Effect;

const DONE: &str = "A/done.mp4";
const QUEUED: &str = "A/queued.mp4";

/// One video of each of these states and another queued one, without an active run.
fn waiting(phase: Phase, states: &[(&str, RowState)]) -> Harness {
    let rows = states.iter().chain(&[("B/other.mp4", RowState::Queued)]);
    let mut harness = running(80, 24, rows.map(|(video, state)| row(video, *state)).collect(), vec![]);
    harness.snapshot.phase = phase;
    harness.refresh();
    for (video, state) in states {
        harness.app.marks.toggle(video, *state).unwrap();
    }
    harness
}

fn redo(videos: &[&str]) -> Command {
    Command::Redo { select: Select { videos: videos.iter().map(ToString::to_string).collect(), filter: None } }
}

fn new_settings(harness: &mut Harness) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
    let new = Reopening { settings, typed: Overrides::default(), changed: "devices".into(), then: vec![] };
    harness.app.new_settings = NewSettings::Waiting(Box::new(new));
}

/// What the window opens again with.
fn reopened(harness: &Harness) -> &[Command] {
    match harness.effects.last() {
        Some(Effect::Reopen(new)) => &new.then,
        other => panic!("{other:?}"),
    }
}

#[test]
fn queued_and_done_videos_that_are_marked_together_count_once() {
    let mut harness = waiting(Phase::Idle, &[(DONE, RowState::Done), (QUEUED, RowState::Queued)]);
    harness.press("r");
    assert!(harness.question().starts_with("1 other video is also queued, "), "{}", harness.question());
    assert!(harness.question().contains("Existing features will be overwritten."), "{}", harness.question());
    assert!(harness.shows("extract all 3"), "{}", harness.screen());
}

#[test]
fn a_finished_video_is_not_only_queued_by_an_engine_that_waits() {
    let mut harness = waiting(Phase::Waiting, &[(DONE, RowState::Done)]);
    harness.press("r");
    assert!(harness.question().contains("1 other video is also queued"), "{}", harness.question());
    harness.press("w");
    assert_eq!(harness.commands, [redo(&[DONE])], "queued, without a run");
    harness.app.marks.toggle(DONE, RowState::Done).unwrap();
    harness.app.toasts.clear();
    harness.press("r y");
    assert_eq!(harness.commands[1..], [redo(&[DONE]), Command::Start]);
    assert!(harness.app.toasts.shown().is_empty(), "events say what happens");
    let mut harness = waiting(Phase::Waiting, &[]);
    harness.table.rows.push(row("A/failed.mp4", RowState::Failed));
    harness.table_changed();
    harness.press("R");
    assert!(harness.question().contains("It begins with the 1 failed video."), "{}", harness.question());
    harness.press("y");
    assert_eq!(harness.commands, [Command::Retry { patterns: vec![] }, Command::Start]);
}

#[test]
fn new_settings_lose_no_command() {
    let mut harness = waiting(Phase::Waiting, &[(DONE, RowState::Done)]);
    new_settings(&mut harness);
    harness.press("r y");
    assert_eq!(harness.commands, [Command::Leave]);
    assert_eq!(reopened(&harness), [redo(&[DONE]), Command::Start]);
    // The next engine gets both.
    let mut harness = waiting(Phase::Waiting, &[]);
    harness.app.when_ready = vec![redo(&[DONE]), Command::Start];
    harness.refresh();
    assert_eq!(harness.commands, [redo(&[DONE]), Command::Start]);
}

#[test]
fn a_key_that_is_pressed_while_the_engine_leaves_is_kept() {
    let mut harness = waiting(Phase::Idle, &[]);
    new_settings(&mut harness);
    harness.silent = true;
    harness.press("R s s");
    let id = harness.app.next_id;
    assert!(matches!(harness.app.new_settings, NewSettings::Leaving(_)));
    harness.receive(FromEngine::Ok { id, message: "the engine exits".into() });
    assert_eq!(reopened(&harness), [Command::Start]);
}
