//! Orders: what is asked first, what is taken back, what a dim key says, and how one leaves.

use super::fixtures::{failing, gpus, many, named, row, running, welcome};
use super::harness::Harness;
use crate::protocol::row::{RowState, Select};
use crate::protocol::snapshot::Phase;
use crate::protocol::{Command, FromEngine};
use crate::tui::app::Connection;
use crate::tui::update::{Effect, LinkEvent, Msg};

fn harness() -> Harness {
    running(120, 40, failing(), gpus(2))
}

/// The cursor on the first video of this state.
fn on(state: RowState) -> Harness {
    let mut harness = harness();
    let place = harness.table.rows.iter().filter(|row| row.state < state).count();
    for _ in 0..place {
        harness.press("j");
    }
    assert_eq!(harness.app.videos.current().unwrap().state, state);
    harness
}

fn phase(harness: &mut Harness, phase: Phase) {
    harness.snapshot.phase = phase;
    harness.refresh();
}

fn quits(harness: &Harness) -> bool {
    harness.effects.iter().any(|effect| matches!(effect, Effect::Quit(_)))
}

#[test]
fn a_failed_video_is_tried_again_at_once() {
    let mut harness = on(RowState::Failed);
    let video = harness.app.videos.current().unwrap().video.clone();
    harness.press("r");
    let wanted = Select { videos: vec![video], filter: None };
    assert_eq!(harness.ordered, [Command::Redo { select: wanted }]);
    assert!(harness.shows("done as asked"));
}

#[test]
fn a_finished_video_is_extracted_again_after_a_question() {
    let mut harness = on(RowState::Done);
    harness.press("r");
    assert!(harness.ordered.is_empty() && harness.question().contains("is made anew"));
    harness.press("n");
    assert!(harness.ordered.is_empty() && harness.app.modals.is_empty());
    harness.press("r y");
    assert!(matches!(harness.last(), Command::Redo { .. }));
}

#[test]
fn many_are_tried_again_after_a_question_that_names_their_number() {
    let mut harness = running(120, 40, many(5_000), gpus(2));
    harness.press("a r");
    assert_eq!(
        harness.question(),
        "Extract 5,000 videos again? About 3 m 27 s at the present rate. What is there of them is made anew."
    );
    harness.press("enter");
    let names: usize = harness
        .ordered
        .iter()
        .map(|order| match order {
            Command::Redo { select } => select.videos.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(names, 5_000);
    assert!(harness.ordered.len() > 1, "in parts");
    assert!(harness.app.marks.is_empty());
}

#[test]
fn all_failed_are_tried_again() {
    let mut harness = harness();
    harness.press("R");
    assert_eq!(harness.ordered, [Command::Retry { patterns: vec![] }]);
    let mut rows = failing();
    rows.extend((0..50).map(|i| row(&format!("Zumba/w_{i}.mp4"), RowState::Failed)));
    let mut harness = running(120, 40, rows, gpus(1));
    harness.press("R");
    assert!(harness.ordered.is_empty() && harness.question().starts_with("Try 55 failed videos again?"));
    harness.press("y");
    assert_eq!(harness.ordered.len(), 1);
}

#[test]
fn what_was_excluded_is_taken_in_again() {
    let mut harness = on(RowState::Queued);
    harness.press("space space x");
    let Command::Exclude { select, undo: false } = harness.last().clone() else { panic!("{:?}", harness.last()) };
    assert_eq!(select.videos.len(), 2);
    harness.press("u");
    let Command::Exclude { select: back, undo: true } = harness.last().clone() else { panic!("{:?}", harness.last()) };
    assert_eq!(named(&back), named(&select));
    harness.press("u");
    assert_eq!(harness.ordered.len(), 2);
    assert!(harness.shows("nothing to take back"));
    // On an excluded one the same key takes it in.
    let mut harness = on(RowState::Excluded);
    harness.press("x");
    assert!(matches!(harness.last(), Command::Exclude { undo: true, .. }));
}

#[test]
fn one_key_starts_pauses_and_goes_on() {
    let mut harness = harness();
    for (now, order) in
        [(Phase::Waiting, Command::Start), (Phase::Running, Command::Pause), (Phase::Paused, Command::Resume)]
    {
        phase(&mut harness, now);
        harness.press("s");
        assert_eq!(harness.last(), &order);
    }
    phase(&mut harness, Phase::Running);
    harness.press("S s");
    assert_eq!(harness.last(), &Command::Stop { now: false });
    harness.press("S n");
    assert_eq!(harness.last(), &Command::Stop { now: true });
}

#[test]
fn lists_exports_and_checks_are_ordered() {
    let mut harness = harness();
    for (keys, order) in [
        ("l", Command::WriteList),
        ("m", Command::WriteMissing),
        ("f5", Command::Rescan),
        ("c", Command::Check { deep: false }),
        ("C y", Command::Check { deep: true }),
        ("e c", Command::Export { formats: vec!["csv".into()] }),
        ("e enter", Command::Export { formats: vec!["pkl".into()] }),
    ] {
        harness.press(keys);
        assert_eq!(harness.last(), &order, "{keys}");
        assert!(harness.app.modals.is_empty(), "{keys}");
    }
}

#[test]
fn a_key_that_can_do_nothing_says_why() {
    let says = |mut harness: Harness, key: &str, why: &str| {
        let before = harness.ordered.len();
        harness.press(key);
        assert!(harness.says(why), "{key}: {why}: {:?}", harness.app.toasts);
        assert_eq!(harness.ordered.len(), before);
        assert!(harness.app.modals.is_empty());
    };
    says(on(RowState::Missing), "r", "fetch it, and a rescan finds it");
    says(on(RowState::Missing), "Y", "there is no file");
    says(on(RowState::Running), "r", "is being extracted now");
    says(running(120, 40, many(90), vec![]), "u", "nothing to take back");
    says(running(120, 40, vec![], vec![]), "r", "no video is here");
    says(running(120, 40, vec![], vec![]), "R", "no video has failed");
    says(running(120, 40, vec![], vec![]), "e", "nothing is done yet");
    says(Harness::new(120, 40), "s", "the engine is starting");
    let mut waiting = running(120, 40, vec![row("A/v.mp4", RowState::Done)], vec![]);
    phase(&mut waiting, Phase::Waiting);
    says(waiting, "s", "nothing waits to be extracted");
    let mut held = harness();
    held.snapshot.reason = Some("the disk is full".into());
    phase(&mut held, Phase::Held);
    says(held, "s", "the disk is full");
    let mut no_manifest = harness();
    let mut welcome = welcome();
    welcome.manifest = None;
    no_manifest.app.connection = Connection::Up(Box::new(welcome));
    says(no_manifest, "m", "no manifest says what should be there");
}

#[test]
fn leaving_asks_what_becomes_of_a_run() {
    let mut harness = harness();
    harness.press("q");
    assert!(harness.shows("detach: the run goes on") && !quits(&harness));
    harness.press("esc");
    assert!(!quits(&harness) && harness.app.modals.is_empty());
    harness.press("ctrl-c d");
    let Some(Effect::Quit(Some(farewell))) = harness.effects.pop() else { panic!() };
    assert!(farewell.contains("the run goes on (process 4711)"));
    assert!(harness.ordered.is_empty());
}

#[test]
fn leaving_after_the_videos_in_hand_waits_for_them() {
    let mut harness = harness();
    harness.press("q s");
    assert_eq!(harness.last(), &Command::Stop { now: false });
    assert!(!quits(&harness) && harness.shows("leaving when the run is over"));
    phase(&mut harness, Phase::Finishing);
    assert!(!quits(&harness));
    phase(&mut harness, Phase::Idle);
    assert!(quits(&harness));
    // Who does not want to wait need not.
    let mut harness = self::harness();
    harness.press("q n q");
    assert_eq!(harness.last(), &Command::Stop { now: true });
    assert!(quits(&harness));
    // The run may be over before it hears of it.
    let mut harness = self::harness();
    harness.press("q");
    phase(&mut harness, Phase::Idle);
    harness.press("n");
    harness.wait(300);
    assert!(quits(&harness));
    // The engine may be gone before it has said so.
    let mut harness = self::harness();
    harness.press("q n");
    harness.tell(Msg::Link(LinkEvent::Lost("it has ended".into())));
    assert!(quits(&harness));
}

#[test]
fn with_nothing_going_on_one_simply_leaves() {
    for now in [Phase::Waiting, Phase::Idle] {
        let mut harness = harness();
        phase(&mut harness, now);
        harness.press("q");
        assert!(quits(&harness));
        assert_eq!(harness.last(), &Command::Leave);
    }
    let mut early = Harness::new(80, 24);
    early.press("q");
    assert!(quits(&early));
}

#[test]
fn an_engine_that_goes_is_looked_for_and_can_be_started_again() {
    let mut harness = harness();
    harness.tell(Msg::Link(LinkEvent::Lost("it has ended".into())));
    assert!(harness.shows("looking for the engine"));
    harness.press("r");
    assert!(harness.ordered.is_empty());
    harness.tell(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
    harness.refresh();
    assert!(harness.shows("running 2 h 14 m"));
    harness.tell(Msg::Link(LinkEvent::Gone("it has ended".into())));
    assert!(harness.shows("no engine"));
    harness.press("s");
    assert!(harness.effects.contains(&Effect::StartEngine));
    harness.tell(Msg::EngineStarted(Err("error: no weights to work with\n  caused by: x".into())));
    assert!(harness.shows("no weights to work with"));
    harness.press("esc");
    assert!(harness.shows("no engine") && harness.app.modals.is_empty());
}

#[test]
fn what_the_engine_refuses_is_said() {
    let mut harness = harness();
    harness.deaf = true;
    harness.press("l");
    let id = harness.app.next_id;
    harness.hear(FromEngine::Error { id, message: "the output folder is read-only".into() });
    assert!(harness.shows("the output folder is read-only"));
    harness.press("l");
    let id = harness.app.next_id;
    harness.hear(FromEngine::Error { id, message: "a long story ".repeat(30) });
    assert!(harness.shows("That could not be done"));
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut harness = harness();
    let before = harness.screen();
    harness.hear(FromEngine::Rows { id: 999_999, revision: 1, total: 0, rows: vec![] });
    harness.hear(FromEngine::Place { id: 999_999, offset: Some(9), total: 9 });
    assert_eq!(harness.screen(), before);
}
