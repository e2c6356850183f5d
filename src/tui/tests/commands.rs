//! Commands: confirmation, undo, unavailable actions and quitting.

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

/// Puts the cursor on the first video in a state.
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
    harness.snapshot.ended = (phase == Phase::Idle).then_some(0);
    harness.refresh();
}

fn quits(harness: &Harness) -> bool {
    harness.effects.iter().any(|effect| matches!(effect, Effect::Quit(_)))
}

#[test]
fn retrying_a_failed_video_needs_no_confirmation() {
    let mut harness = on(RowState::Failed);
    let video = harness.app.videos.current().unwrap().video.clone();
    harness.press("r");
    let wanted = Select { videos: vec![video], filter: None };
    assert_eq!(harness.commands, [Command::Redo { select: wanted }]);
    assert!(harness.shows("done as asked"));
}

#[test]
fn retrying_a_queued_video_starts_the_run_if_there_is_none() {
    let mut harness = on(RowState::Queued);
    harness.press("r");
    assert!(harness.commands.is_empty() && harness.shows("is queued already"), "a run is active");
    // The run extracts all that is queued.
    phase(&mut harness, Phase::Idle);
    harness.press("r");
    let question = harness.question().to_owned();
    assert!(question.contains("also queued, and the run extracts all of them. It begins with "), "{question}");
    harness.press("y");
    assert!(matches!(harness.commands.as_slice(), [Command::Redo { .. }, Command::Start]), "{:?}", harness.commands);
    // A few others are a reason to ask, too.
    let two = || vec![row("Zumba/v_1.mp4", RowState::Queued), row("Zumba/v_2.mp4", RowState::Queued)];
    let mut harness = running(120, 40, two(), vec![]);
    phase(&mut harness, Phase::Waiting);
    harness.press("r");
    assert!(harness.question().starts_with("1 other video is also queued, "), "{}", harness.question());
    assert!(harness.shows("extract all 2"));
    harness.press("n");
    assert!(harness.commands.is_empty() && harness.app.modals.is_empty());
    harness.press("a r");
    assert_eq!(harness.commands.len(), 1, "all of them are meant");
    let mut harness = running(120, 40, vec![row("Zumba/v_1.mp4", RowState::Queued)], vec![]);
    phase(&mut harness, Phase::Idle);
    harness.press("r");
    let wanted = Select { videos: vec!["Zumba/v_1.mp4".into()], filter: None };
    assert_eq!(harness.commands, [Command::Redo { select: wanted }]);
}

#[test]
fn retrying_a_finished_video_asks_first() {
    let mut harness = on(RowState::Done);
    harness.press("r");
    assert!(harness.commands.is_empty() && harness.question().contains("will be overwritten"));
    harness.press("n");
    assert!(harness.commands.is_empty() && harness.app.modals.is_empty());
    harness.press("r y");
    assert!(matches!(harness.last_command(), Command::Redo { .. }));
}

#[test]
fn retrying_many_videos_asks_first_with_their_number() {
    let mut harness = running(120, 40, many(5_000), gpus(2));
    harness.press("a r");
    assert_eq!(
        harness.question(),
        "Extract 5,000 videos again? About 3 m 27 s at the current rate. Existing features will be overwritten."
    );
    harness.press("enter");
    let names: usize = harness
        .commands
        .iter()
        .map(|order| match order {
            Command::Redo { select } => select.videos.len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(names, 5_000);
    assert!(harness.commands.len() > 1, "the selection is split into several commands");
    assert!(harness.app.marks.is_empty());
}

#[test]
fn retry_all_asks_first_if_there_are_many() {
    let mut harness = harness();
    harness.press("R");
    assert_eq!(harness.commands, [Command::Retry { patterns: vec![] }]);
    let mut rows = failing();
    rows.extend((0..50).map(|i| row(&format!("Zumba/w_{i}.mp4"), RowState::Failed)));
    let mut harness = running(120, 40, rows, gpus(1));
    harness.press("R");
    assert!(harness.commands.is_empty() && harness.question().starts_with("Try 58 failed videos again?"));
    harness.press("y");
    assert_eq!(harness.commands.len(), 1);
}

#[test]
fn excluding_can_be_undone() {
    let mut harness = on(RowState::Queued);
    harness.press("space space x");
    let Command::Exclude { select, undo: false } = harness.last_command().clone() else {
        panic!("{:?}", harness.last_command())
    };
    assert_eq!(select.videos.len(), 2);
    assert!(harness.has_toast("done as asked; u undoes"));
    harness.press("u");
    assert_eq!(harness.app.toasts.shown().len(), 1, "the newer answer takes the place of the older one");
    let Command::Exclude { select: back, undo: true } = harness.last_command().clone() else {
        panic!("{:?}", harness.last_command())
    };
    assert_eq!(named(&back), named(&select));
    harness.press("u");
    assert_eq!(harness.commands.len(), 2);
    assert!(harness.shows("nothing to undo"));
    // On an excluded video the same key includes it.
    let mut harness = on(RowState::Excluded);
    harness.press("x");
    assert!(matches!(harness.last_command(), Command::Exclude { undo: true, .. }));
}

#[test]
fn one_key_starts_pauses_and_resumes() {
    let mut harness = harness();
    for (now, order) in
        [(Phase::Waiting, Command::Start), (Phase::Running, Command::Pause), (Phase::Paused, Command::Resume)]
    {
        phase(&mut harness, now);
        harness.press("s");
        assert_eq!(harness.last_command(), &order);
    }
    phase(&mut harness, Phase::Running);
    harness.press("S s");
    assert_eq!(harness.last_command(), &Command::Stop { now: false });
    harness.press("S x");
    assert_eq!(harness.last_command(), &Command::Stop { now: true });
}

#[test]
fn lists_exports_and_checks_send_commands() {
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
        assert_eq!(harness.last_command(), &order, "{keys}");
        assert!(harness.app.modals.is_empty(), "{keys}");
    }
}

#[test]
fn an_unavailable_key_shows_the_reason() {
    let says = |mut harness: Harness, key: &str, why: &str| {
        let before = harness.commands.len();
        harness.press(key);
        assert!(harness.has_toast(why), "{key}: {why}: {:?}", harness.app.toasts);
        assert_eq!(harness.commands.len(), before);
        assert!(harness.app.modals.is_empty());
    };
    says(on(RowState::Missing), "r", "download it, then rescan");
    says(on(RowState::Missing), "Y", "there is no file");
    says(on(RowState::Excluded), "r", "include it first (x)");
    says(on(RowState::Running), "r", "is being extracted now");
    says(running(120, 40, many(90), vec![]), "u", "nothing to undo");
    says(running(120, 40, vec![], vec![]), "r", "there is no video here");
    says(running(120, 40, vec![], vec![]), "R", "no video has failed");
    says(running(120, 40, vec![], vec![]), "e", "no video is done");
    says(Harness::new(120, 40), "s", "reeldeck is starting");
    let mut waiting = running(120, 40, vec![row("A/v.mp4", RowState::Done)], vec![]);
    phase(&mut waiting, Phase::Waiting);
    says(waiting, "s", "nothing left to extract");
    let mut held = harness();
    held.snapshot.reason = Some("the disk is full".into());
    phase(&mut held, Phase::Held);
    says(held, "s", "the disk is full");
    let mut no_manifest = harness();
    let mut welcome = welcome();
    welcome.manifest = None;
    no_manifest.app.connection = Connection::Up(Box::new(welcome));
    says(no_manifest, "m", "m needs a manifest; name it in the settings (,)");
}

#[test]
fn quitting_asks_what_to_do_with_an_active_run() {
    let mut harness = harness();
    harness.press("q");
    assert!(harness.shows("detach: the run continues") && !quits(&harness));
    harness.press("esc");
    assert!(!quits(&harness) && harness.app.modals.is_empty());
    harness.press("ctrl-c d");
    let Some(Effect::Quit(Some(exit_message))) = harness.effects.pop() else { panic!() };
    assert!(exit_message.contains("the run continues (process 4711"));
    assert!(harness.commands.is_empty());
}

#[test]
fn the_command_that_attaches_names_the_folder_of_the_run_and_the_program() {
    let mut harness = harness();
    harness.app.options.program = "./target/reeldeck".into();
    harness.app.options.configured_out = Some("/out/other".into());
    harness.press("q d");
    let Some(Effect::Quit(Some(exit_message))) = harness.effects.pop() else { panic!() };
    assert!(exit_message.contains("`./target/reeldeck attach --out /out/hacs` shows it again"), "{exit_message}");
    harness.app.options.configured_out = Some("/out/hacs".into());
    harness.press("q d");
    let Some(Effect::Quit(Some(exit_message))) = harness.effects.pop() else { panic!() };
    assert!(exit_message.contains("`./target/reeldeck attach --out /out/hacs` shows it again"), "{exit_message}");
}

#[test]
fn a_second_interrupt_leaves_and_the_run_continues() {
    let mut harness = harness();
    harness.press("ctrl-c");
    assert!(!quits(&harness));
    harness.press("ctrl-c");
    assert!(quits(&harness) && harness.commands.is_empty());
}

#[test]
fn quitting_after_the_run_waits_for_its_end() {
    let mut harness = harness();
    harness.press("q s");
    assert_eq!(harness.last_command(), &Command::Stop { now: false });
    assert!(!quits(&harness) && harness.shows("quitting when the run is over"));
    phase(&mut harness, Phase::Finishing);
    assert!(!quits(&harness));
    phase(&mut harness, Phase::Idle);
    assert!(quits(&harness));
    // Quitting again does not wait for the run.
    let mut harness = self::harness();
    harness.press("q x q");
    assert_eq!(harness.last_command(), &Command::Stop { now: true });
    assert!(quits(&harness));
    // The run can end before it receives the command.
    let mut harness = self::harness();
    harness.press("q");
    phase(&mut harness, Phase::Idle);
    harness.press("x");
    harness.advance(300);
    assert!(quits(&harness));
    // The engine can end before it reports the end of the run.
    let mut harness = self::harness();
    harness.press("q x");
    harness.send(Msg::Link(LinkEvent::Lost("the engine has exited".into())));
    assert!(quits(&harness));
}

#[test]
fn quitting_without_a_run_needs_no_confirmation() {
    for now in [Phase::Waiting, Phase::Idle] {
        let mut harness = harness();
        phase(&mut harness, now);
        harness.press("q");
        assert!(quits(&harness));
        assert_eq!(harness.last_command(), &Command::Leave);
    }
    let mut early = Harness::new(80, 24);
    early.press("q");
    assert!(quits(&early));
}

#[test]
fn a_lost_engine_is_looked_for_and_can_be_restarted() {
    let mut harness = harness();
    harness.send(Msg::Link(LinkEvent::Lost("it has exited".into())));
    assert!(harness.shows("reconnecting"));
    // Failed attempts to reconnect are no news.
    harness.send(Msg::Link(LinkEvent::Lost("connection refused".into())));
    harness.press("r");
    assert!(harness.commands.is_empty());
    harness.send(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
    harness.refresh();
    assert!(harness.shows("running 2 h 14 m"));
    let logged = |harness: &Harness, text: &str| {
        let (lines, _) = harness.app.log.window(1_000);
        lines.iter().filter(|line| line.text.contains(text)).count()
    };
    assert_eq!(
        logged(&harness, "lost the connection to the background process: it has exited"),
        1,
        "also after the log was read"
    );
    assert_eq!((logged(&harness, "connection refused"), logged(&harness, "reconnected (process 4711)")), (0, 1));
    harness.send(Msg::Link(LinkEvent::Gone("it has exited".into())));
    assert!(harness.shows("no background process"));
    harness.press("s");
    assert!(harness.effects.contains(&Effect::StartEngine));
    harness.send(Msg::EngineStarting("reading the checkpoint: 1.00 GB of 30.00 GB".into()));
    assert!(harness.shows("starting: reading the checkpoint: 1.00 GB of 30.00 GB"));
    harness.send(Msg::EngineStarted(Err("error: no weights to work with\n  caused by: x".into())));
    assert!(harness.shows("no weights to work with"));
    harness.press("esc");
    assert!(harness.shows("no background process") && harness.app.modals.is_empty());
}

#[test]
fn one_key_starts_the_engine_and_the_run() {
    let mut harness = harness();
    harness.send(Msg::Link(LinkEvent::Gone("it has exited".into())));
    harness.press("s");
    harness.send(Msg::EngineStarted(Ok(())));
    harness.send(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
    harness.snapshot.phase = Phase::Starting;
    harness.refresh();
    assert!(harness.commands.is_empty(), "not before it is ready");
    harness.snapshot.phase = Phase::Waiting;
    harness.refresh();
    harness.refresh();
    assert_eq!(harness.commands, [Command::Start], "once");
    // An engine that is found by itself starts nothing.
    harness.send(Msg::Link(LinkEvent::Gone("it has exited".into())));
    harness.send(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
    harness.refresh();
    assert_eq!(harness.commands.len(), 1);
    // Somebody else has started a run meanwhile.
    harness.send(Msg::Link(LinkEvent::Gone("it has exited".into())));
    harness.press("s");
    harness.send(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
    harness.snapshot.phase = Phase::Running;
    harness.refresh();
    harness.snapshot.phase = Phase::Idle;
    harness.refresh();
    assert_eq!(harness.commands.len(), 1);
}

#[test]
fn panes_without_an_engine_are_grey() {
    use ratatui::style::Color;
    let mut harness = harness();
    let colours = |harness: &Harness| {
        let buffer = harness.buffer(120, 40);
        let area = crate::tui::view::layout::current(&harness.app).videos.unwrap();
        area.positions().filter(|at| buffer[*at].fg != Color::Reset).count()
    };
    assert!(colours(&harness) > 100);
    harness.send(Msg::Link(LinkEvent::Lost("it has exited".into())));
    harness.advance(60_000);
    assert_eq!(colours(&harness), 0, "{}", harness.screen());
}

#[test]
fn errors_of_the_engine_are_shown() {
    let mut harness = harness();
    harness.silent = true;
    harness.press("l");
    let id = harness.app.next_id;
    harness.receive(FromEngine::Error { id, message: "the output folder is read-only".into() });
    assert!(harness.shows("the output folder is read-only"));
    harness.press("l");
    let id = harness.app.next_id;
    harness.receive(FromEngine::Error { id, message: "a long story ".repeat(30) });
    assert!(harness.shows("Failed"));
}

#[test]
fn unexpected_answers_are_ignored() {
    let mut harness = harness();
    let before = harness.screen();
    harness.receive(FromEngine::Rows { id: 999_999, revision: 1, total: 0, rows: vec![] });
    harness.receive(FromEngine::Place { id: 999_999, offset: Some(9), total: 9 });
    assert_eq!(harness.screen(), before);
}
