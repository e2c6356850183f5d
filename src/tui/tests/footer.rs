//! Every key that the footer offers does something, whatever the state.

use super::fixtures::{failing, gpus, many, row, running};
use super::harness::Harness;
use crate::protocol::Command;
use crate::protocol::row::{Finding, Row, RowState};
use crate::protocol::snapshot::{DeviceState, Phase};
use crate::tui::action::Action;
use crate::tui::view::footer::action_at;

/// The actions in the footer of a wide terminal.
fn offered(harness: &Harness) -> Vec<Action> {
    let mut actions: Vec<Action> = (0..400).filter_map(|column| action_at(&harness.app, 400, column)).collect();
    actions.dedup();
    actions
}

fn corrupt() -> Row {
    let mut corrupt = row("A/v_1.mp4", RowState::Failed);
    corrupt.findings.add(Finding::Corrupt);
    corrupt
}

fn datasets() -> Vec<(&'static str, Vec<Row>, Vec<DeviceState>)> {
    let one = |state| vec![row("A/v_1.mp4", state)];
    let mut all: Vec<_> = RowState::ALL
        .into_iter()
        .map(|state| (state.word(), one(state), if state == RowState::Queued { gpus(1) } else { vec![] }))
        .collect();
    all.extend([("empty", vec![], vec![]), ("corrupt", vec![corrupt()], vec![]), ("all kinds", failing(), gpus(3))]);
    all
}

#[test]
fn a_range_is_acted_on_as_a_whole() {
    let mut harness = running(80, 24, many(90), gpus(1));
    harness.press("v j j");
    let footer = harness.screen().lines().last().unwrap().to_owned();
    assert!(footer.contains("esc end range  v mark range") || footer.contains("x exclude range"), "{footer}");
    harness.press("x");
    let Command::Exclude { select, undo: false } = harness.last_command().clone() else {
        panic!("{:?}", harness.commands)
    };
    assert!(format!("{select:?}").matches(".mp4").count() == 3, "{select:?}");
    assert!(harness.app.videos.range().is_none() && harness.app.marks.is_empty());
    assert_eq!(harness.app.videos.selected(), 0, "the cursor is where the range began");
    // Marked videos come first.
    harness.press("space space");
    let footer = harness.screen().lines().last().unwrap().to_owned();
    assert!(footer.contains("x exclude marked") && footer.contains("A unmark"), "{footer}");
}

#[test]
fn every_key_in_the_footer_does_something() {
    let mut tried = 0;
    for (name, rows, devices) in datasets() {
        for phase in [
            Phase::Starting,
            Phase::Waiting,
            Phase::Running,
            Phase::Paused,
            Phase::Held,
            Phase::Finishing,
            Phase::Stopping,
            Phase::Idle,
        ] {
            // What the panes offer follows from the phase and from what they list.
            let is_one = rows.len() == 1;
            for keys in if is_one { &["2", "2 space"][..] } else { &["1", "2", "3", "4", "5", "2 space", "2 F"] } {
                let make = || {
                    let mut harness = running(80, 24, rows.clone(), devices.clone());
                    if rows.is_empty() {
                        harness.log.clear();
                    }
                    harness.knows_details = true;
                    harness.snapshot.phase = phase;
                    harness.refresh();
                    harness.press(keys);
                    harness
                };
                let offers = offered(&make());
                assert!(offers.contains(&Action::Help) && offers.contains(&Action::Quit), "{name}, {phase:?}, {keys}");
                for action in offers {
                    let mut harness = make();
                    harness.app.toasts = Default::default();
                    let before = (harness.screen(), harness.commands.len(), harness.effects.len());
                    let footer = harness.app.keymap.footer(harness.app.context());
                    let key = footer.iter().find(|(line, _)| line.action == action).unwrap().1.to_string();
                    harness.press(&key);
                    // A message alone says why nothing was done.
                    harness.app.toasts = Default::default();
                    let after = (harness.screen(), harness.commands.len(), harness.effects.len());
                    assert!(before != after, "{key} ({action:?}) does nothing: {name}, {phase:?}, {keys}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn keys_without_a_use_are_not_offered() {
    use Action as A;
    let with = |rows: Vec<Row>, phase, keys: &str| {
        let mut harness = Harness::new(200, 50);
        harness.table.rows = rows;
        harness.snapshot.phase = phase;
        harness.connect();
        harness.press(keys);
        offered(&harness)
    };
    let one = |state| vec![row("A/v_1.mp4", state)];
    for (rows, phase, keys, without) in [
        (one(RowState::Done), Phase::Waiting, "2", vec![A::Stop, A::StartPause, A::RetryAll, A::Undo]),
        (one(RowState::Queued), Phase::Running, "2", vec![A::Retry, A::RetryAll, A::Export]),
        (vec![corrupt()], Phase::Running, "2", vec![A::RetryAll]),
        (vec![corrupt()], Phase::Idle, "4", vec![A::RetryAll, A::Stop, A::StartPause]),
        (one(RowState::Excluded), Phase::Waiting, "2", vec![A::Retry]),
        (one(RowState::Queued), Phase::Stopping, "2", vec![A::Stop, A::StartPause]),
        (vec![], Phase::Waiting, "2", vec![A::Filter, A::Sort, A::States, A::Problems, A::Open, A::Mark, A::MarkAll]),
        (vec![], Phase::Waiting, "1", vec![A::Filter, A::Sort]),
        (vec![], Phase::Waiting, "3", vec![A::Open]),
        (vec![], Phase::Waiting, "5", vec![A::Filter, A::States, A::Open, A::CopyLine, A::CopyLog]),
    ] {
        let offers = with(rows, phase, keys);
        let useless: Vec<_> = without.iter().filter(|action| offers.contains(action)).collect();
        assert!(useless.is_empty(), "{phase:?}, pane {keys}: {useless:?}");
    }
    assert!(with(one(RowState::Failed), Phase::Running, "2").contains(&A::RetryAll));
}
