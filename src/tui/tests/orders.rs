//! Orders: what is asked first, what is taken back, what a dim key says, and how one leaves.

use super::super::app::Link;
use super::super::update::{Effect, FromLink, Msg};
use super::desk::Desk;
use super::made::{failing, gpus, many, named, row, running, welcome};
use crate::protocol::row::{RowState, Select};
use crate::protocol::snapshot::Phase;
use crate::protocol::{Command, FromEngine};

fn desk() -> Desk {
    running(120, 40, failing(), gpus(2))
}

/// The cursor on the first video of this state.
fn on(state: RowState) -> Desk {
    let mut desk = desk();
    let place = desk.table.rows.iter().filter(|row| row.state < state).count();
    for _ in 0..place {
        desk.press("j");
    }
    assert_eq!(desk.app.videos.current().unwrap().state, state);
    desk
}

fn phase(desk: &mut Desk, phase: Phase) {
    desk.snapshot.phase = phase;
    desk.refresh();
}

fn quits(desk: &Desk) -> bool {
    desk.effects.iter().any(|effect| matches!(effect, Effect::Quit(_)))
}

#[test]
fn a_failed_video_is_tried_again_at_once() {
    let mut desk = on(RowState::Failed);
    let video = desk.app.videos.current().unwrap().video.clone();
    desk.press("r");
    let wanted = Select { videos: vec![video], filter: None };
    assert_eq!(desk.ordered, [Command::Redo { select: wanted }]);
    assert!(desk.shows("done as asked"));
}

#[test]
fn a_finished_video_is_extracted_again_after_a_question() {
    let mut desk = on(RowState::Done);
    desk.press("r");
    assert!(desk.ordered.is_empty() && desk.question().contains("is made anew"));
    desk.press("n");
    assert!(desk.ordered.is_empty() && desk.app.modals.is_empty());
    desk.press("r y");
    assert!(matches!(desk.last(), Command::Redo { .. }));
}

#[test]
fn many_are_tried_again_after_a_question_that_names_their_number() {
    let mut desk = running(120, 40, many(5_000), gpus(2));
    desk.press("a r");
    assert_eq!(
        desk.question(),
        "Extract 5,000 videos again? About 3 m 27 s at the present rate. What is there of them is made anew."
    );
    desk.press("enter");
    let names: usize = desk
        .ordered
        .iter()
        .map(|order| match order {
            Command::Redo { select } => select.videos.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(names, 5_000);
    assert!(desk.ordered.len() > 1, "in parts");
    assert!(desk.app.marks.is_empty());
}

#[test]
fn all_failed_are_tried_again() {
    let mut desk = desk();
    desk.press("R");
    assert_eq!(desk.ordered, [Command::Retry { patterns: vec![] }]);
    let mut rows = failing();
    rows.extend((0..50).map(|i| row(&format!("Zumba/w_{i}.mp4"), RowState::Failed)));
    let mut desk = running(120, 40, rows, gpus(1));
    desk.press("R");
    assert!(desk.ordered.is_empty() && desk.question().starts_with("Try 55 failed videos again?"));
    desk.press("y");
    assert_eq!(desk.ordered.len(), 1);
}

#[test]
fn what_was_excluded_is_taken_in_again() {
    let mut desk = on(RowState::Queued);
    desk.press("space space x");
    let Command::Exclude { select, undo: false } = desk.last().clone() else { panic!("{:?}", desk.last()) };
    assert_eq!(select.videos.len(), 2);
    desk.press("u");
    let Command::Exclude { select: back, undo: true } = desk.last().clone() else { panic!("{:?}", desk.last()) };
    assert_eq!(named(&back), named(&select));
    desk.press("u");
    assert_eq!(desk.ordered.len(), 2);
    assert!(desk.shows("nothing to take back"));
    // On an excluded one the same key takes it in.
    let mut desk = on(RowState::Excluded);
    desk.press("x");
    assert!(matches!(desk.last(), Command::Exclude { undo: true, .. }));
}

#[test]
fn one_key_starts_pauses_and_goes_on() {
    let mut desk = desk();
    for (now, order) in
        [(Phase::Waiting, Command::Start), (Phase::Running, Command::Pause), (Phase::Paused, Command::Resume)]
    {
        phase(&mut desk, now);
        desk.press("s");
        assert_eq!(desk.last(), &order);
    }
    phase(&mut desk, Phase::Running);
    desk.press("S s");
    assert_eq!(desk.last(), &Command::Stop { now: false });
    desk.press("S n");
    assert_eq!(desk.last(), &Command::Stop { now: true });
}

#[test]
fn lists_exports_and_checks_are_ordered() {
    let mut desk = desk();
    for (keys, order) in [
        ("l", Command::WriteList),
        ("m", Command::WriteMissing),
        ("f5", Command::Rescan),
        ("c", Command::Check { deep: false }),
        ("C y", Command::Check { deep: true }),
        ("e c", Command::Export { formats: vec!["csv".into()] }),
        ("e enter", Command::Export { formats: vec!["pkl".into()] }),
    ] {
        desk.press(keys);
        assert_eq!(desk.last(), &order, "{keys}");
        assert!(desk.app.modals.is_empty(), "{keys}");
    }
}

#[test]
fn a_key_that_can_do_nothing_says_why() {
    let says = |mut desk: Desk, key: &str, why: &str| {
        let before = desk.ordered.len();
        desk.press(key);
        assert!(desk.says(why), "{key}: {why}: {:?}", desk.app.toasts);
        assert_eq!(desk.ordered.len(), before);
        assert!(desk.app.modals.is_empty());
    };
    says(on(RowState::Missing), "r", "fetch it, and a rescan finds it");
    says(on(RowState::Missing), "Y", "there is no file");
    says(on(RowState::Running), "r", "is being extracted now");
    says(running(120, 40, many(90), vec![]), "u", "nothing to take back");
    says(running(120, 40, vec![], vec![]), "r", "no video is here");
    says(running(120, 40, vec![], vec![]), "R", "no video has failed");
    says(running(120, 40, vec![], vec![]), "e", "nothing is done yet");
    says(Desk::new(120, 40), "s", "the engine is starting");
    let mut waiting = running(120, 40, vec![row("A/v.mp4", RowState::Done)], vec![]);
    phase(&mut waiting, Phase::Waiting);
    says(waiting, "s", "nothing waits to be extracted");
    let mut held = desk();
    held.snapshot.reason = Some("the disk is full".into());
    phase(&mut held, Phase::Held);
    says(held, "s", "the disk is full");
    let mut no_manifest = desk();
    let mut welcome = welcome();
    welcome.manifest = None;
    no_manifest.app.link = Link::Up(Box::new(welcome));
    says(no_manifest, "m", "no manifest says what should be there");
}

#[test]
fn leaving_asks_what_becomes_of_a_run() {
    let mut desk = desk();
    desk.press("q");
    assert!(desk.shows("detach: the run goes on") && !quits(&desk));
    desk.press("esc");
    assert!(!quits(&desk) && desk.app.modals.is_empty());
    desk.press("ctrl-c d");
    let Some(Effect::Quit(Some(farewell))) = desk.effects.pop() else { panic!() };
    assert!(farewell.contains("the run goes on (process 4711)"));
    assert!(desk.ordered.is_empty());
}

#[test]
fn leaving_after_the_videos_in_hand_waits_for_them() {
    let mut desk = desk();
    desk.press("q s");
    assert_eq!(desk.last(), &Command::Stop { now: false });
    assert!(!quits(&desk) && desk.shows("leaving when the run is over"));
    phase(&mut desk, Phase::Finishing);
    assert!(!quits(&desk));
    phase(&mut desk, Phase::Idle);
    assert!(quits(&desk));
    // Who does not want to wait need not.
    let mut desk = self::desk();
    desk.press("q n q");
    assert_eq!(desk.last(), &Command::Stop { now: true });
    assert!(quits(&desk));
    // The run may be over before it hears of it.
    let mut desk = self::desk();
    desk.press("q");
    phase(&mut desk, Phase::Idle);
    desk.press("n");
    desk.wait(300);
    assert!(quits(&desk));
    // The engine may be gone before it has said so.
    let mut desk = self::desk();
    desk.press("q n");
    desk.tell(Msg::Link(FromLink::Lost("it has ended".into())));
    assert!(quits(&desk));
}

#[test]
fn with_nothing_going_on_one_simply_leaves() {
    for now in [Phase::Waiting, Phase::Idle] {
        let mut desk = desk();
        phase(&mut desk, now);
        desk.press("q");
        assert!(quits(&desk));
        assert_eq!(desk.last(), &Command::Leave);
    }
    let mut early = Desk::new(80, 24);
    early.press("q");
    assert!(quits(&early));
}

#[test]
fn an_engine_that_goes_is_looked_for_and_can_be_started_again() {
    let mut desk = desk();
    desk.tell(Msg::Link(FromLink::Lost("it has ended".into())));
    assert!(desk.shows("looking for the engine"));
    desk.press("r");
    assert!(desk.ordered.is_empty());
    desk.tell(Msg::Link(FromLink::Up(Box::new(welcome()))));
    desk.refresh();
    assert!(desk.shows("running 2 h 14 m"));
    desk.tell(Msg::Link(FromLink::Gone("it has ended".into())));
    assert!(desk.shows("no engine"));
    desk.press("s");
    assert!(desk.effects.contains(&Effect::Launch));
    desk.tell(Msg::Launched(Err("error: no weights to work with\n  caused by: x".into())));
    assert!(desk.shows("no weights to work with"));
    desk.press("esc");
    assert!(desk.shows("no engine") && desk.app.modals.is_empty());
}

#[test]
fn what_the_engine_refuses_is_said() {
    let mut desk = desk();
    desk.deaf = true;
    desk.press("l");
    let id = desk.app.next_id;
    desk.hear(FromEngine::Error { id, message: "the output folder is read-only".into() });
    assert!(desk.shows("the output folder is read-only"));
    desk.press("l");
    let id = desk.app.next_id;
    desk.hear(FromEngine::Error { id, message: "a long story ".repeat(30) });
    assert!(desk.shows("That could not be done"));
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut desk = desk();
    let before = desk.screen();
    desk.hear(FromEngine::Rows { id: 999_999, revision: 1, total: 0, rows: vec![] });
    desk.hear(FromEngine::Place { id: 999_999, offset: Some(9), total: 9 });
    assert_eq!(desk.screen(), before);
}
