//! What the interface offers and shows while a run ends or is paused, and after a check of the files.

use super::fixtures::{failing, gpus, many, running};
use super::harness::Harness;
use crate::protocol::Command;
use crate::protocol::event::Event;
use crate::protocol::snapshot::{Counts, Phase, ScanState};

fn harness() -> Harness {
    running(120, 40, failing(), gpus(2))
}

fn phase(harness: &mut Harness, phase: Phase) {
    harness.snapshot.phase = phase;
    harness.refresh();
}

#[test]
fn a_run_that_ends_can_only_be_stopped_at_once() {
    let mut harness = harness();
    harness.event(Event::Stopping);
    phase(&mut harness, Phase::Finishing);
    assert!(!harness.line("? help").contains("pause"), "{}", harness.screen());
    harness.press("S");
    assert!(harness.question().starts_with("The run ends after the 4 videos in progress"));
    assert!(!harness.shows("s  after"), "{}", harness.screen());
    harness.press("x");
    assert_eq!(harness.last_command(), &Command::Stop { now: true });
    phase(&mut harness, Phase::Stopping);
    harness.press("S");
    assert!(harness.has_toast("the run is stopping already"));
    harness.press("5");
    assert!(harness.line("finishing the videos").contains("finishing the videos in progress; S stops now"));
}

#[test]
fn videos_of_a_paused_run_are_paused() {
    let mut harness = running(80, 24, failing(), gpus(2));
    phase(&mut harness, Phase::Paused);
    let screen = harness.screen();
    assert!(screen.contains("‖ paused 2 + 2 next") && screen.contains("paused (ran 2 h 14 m)"), "{screen}");
    harness.press("f w enter");
    assert!(!harness.screen().lines().skip(3).any(|line| line.contains("▶")), "{}", harness.screen());
    harness.knows_details = true;
    harness.press("enter");
    assert!(harness.shows("‖ paused ") && !harness.shows("▶ running"), "{}", harness.screen());
}

#[test]
fn a_video_that_is_excluded_when_done_has_a_sign_in_its_row() {
    let mut harness = running(120, 40, failing(), gpus(2));
    harness.press("f w enter");
    let first = harness.app.videos.current().unwrap().video.clone();
    let file = first.split_once('/').unwrap().1.to_owned();
    assert!(!harness.line(&file).contains("⊘"));
    harness.table.rows.iter_mut().find(|row| row.video == first).unwrap().leaves = true;
    harness.table_changed();
    let line = harness.line(&file);
    assert!(line.contains("⊘") && line.contains("excluded when done"), "{line}");
}

#[test]
fn a_video_that_waits_on_its_device_for_another_one_is_the_next() {
    let harness = running(120, 40, failing(), gpus(1));
    let rows: Vec<String> =
        harness.screen().lines().filter(|line| line.contains("on cuda:0")).map(str::to_owned).collect();
    assert!(rows[0].contains("20 %") && rows[1].contains("▶ next") && rows[1].contains("next on cuda:0"), "{rows:#?}");
    assert!(harness.screen().contains("▶ running 1 + 1 next"));
    let narrow = running(80, 24, many(500), gpus(1)).screen();
    assert!(narrow.contains(" of the run") && narrow.contains("▶ running 1 + 1 next"), "{narrow}");
}

#[test]
fn seeded_weights_are_named_in_full_words_at_80_columns() {
    let mut harness = running(80, 24, failing(), gpus(1));
    let crate::tui::app::Connection::Up(welcome) = &mut harness.app.connection else { panic!() };
    welcome.synthetic_weights = true;
    for dataset in ["hacs", "a_dataset_with_a_very_long_name_that_does_not_fit"] {
        let crate::tui::app::Connection::Up(welcome) = &mut harness.app.connection else { panic!() };
        welcome.dataset = dataset.into();
        let head = harness.screen().lines().next().unwrap().to_owned();
        assert!(head.contains("  seeded weights ") || head.contains("  seeded "), "{head}");
        assert!(!head.contains("seeded w…"), "{head}");
    }
}

#[test]
fn the_footer_offers_a_scan_where_a_file_is_missing() {
    let mut harness = running(80, 24, failing(), gpus(1));
    assert!(harness.line("? help").contains("r retry") && !harness.line("? help").contains("rescan"));
    harness.press("f m enter");
    let footer = harness.line("? help");
    assert!(footer.contains("f5 rescan") && !footer.contains("r retry"), "{footer}");
    // Marked videos are what the keys are for.
    harness.press("space");
    assert!(harness.line("? help").contains("r retry 1"));
}

#[test]
fn footers_say_what_keys_do() {
    let mut harness = running(80, 24, failing(), gpus(1));
    for (keys, footer) in [
        ("f f", "space on or off  enter show these  esc cancel"),
        ("T j", "enter use this theme  esc keep the old one  j k preview"),
        ("S", "enter choose  esc cancel  j k move"),
        ("? / d o enter", "/ search  esc all keys  j k scroll"),
    ] {
        harness.press(keys);
        let last = harness.screen().lines().last().unwrap().trim().to_owned();
        assert_eq!(last, footer, "{keys}");
        harness.press("esc esc");
        assert!(harness.app.modals.is_empty());
    }
}

#[test]
fn the_start_of_a_sequence_names_the_keys_that_complete_it() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("g");
    assert_eq!(harness.screen().lines().last().unwrap().trim(), "g g first");
}

#[test]
fn menus_mark_choices_with_boxes_and_words() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("f f");
    assert!(harness.shows("f  [x] ✘ failed") && harness.shows("m  [ ] ? missing"), "{}", harness.screen());
    harness.press("esc o");
    assert!(harness.shows("s  state, ascending (now)"), "{}", harness.screen());
    harness.press("esc T");
    assert!(harness.shows("terminal (now)"));
}

#[test]
fn messages_name_keys_instead_of_commands() {
    let mut harness = harness();
    harness.event(Event::Paused);
    assert!(harness.app.log.shown_text().contains("paused; s resumes"));
    harness.snapshot.reason = Some("it is gone; if its path is wrong, quit and correct `root`".into());
    harness.snapshot.held_by = Some(crate::protocol::snapshot::Folder::Dataset);
    phase(&mut harness, Phase::Starting);
    harness.press("s");
    assert!(harness.has_toast("if its path is wrong, change it in the settings (,)"), "{:?}", harness.app.toasts);
    harness.log = vec![crate::protocol::LogLine {
        time: "2026-11-24T14:02:11Z".into(),
        level: crate::protocol::words::Level::Info,
        text: "3 videos not exported during the run; `reeldeck export` exports the rest".into(),
    }];
    harness.connect();
    assert!(harness.app.log.shown_text().contains("; e exports the rest"), "also lines from the log file");
}

#[test]
fn a_log_filter_without_matches_says_how_to_see_more() {
    let mut harness = running(80, 24, failing(), gpus(1));
    harness.press("5 /").type_text("cuda:2").press("enter");
    assert!(harness.shows("batch 8 → 4 on cuda:2") && !harness.shows("4524 frames"));
    harness.press("/").type_text("xyz").press("enter");
    assert!(
        harness.shows("no matching lines here; esc shows all lines, o opens the whole log"),
        "{}",
        harness.screen()
    );
    harness.press("esc");
    assert!(harness.shows("4524 frames"));
}

#[test]
fn a_check_of_checked_files_is_not_started_and_the_end_of_a_check_is_reported() {
    let mut checked = running(120, 40, many(90), gpus(1));
    checked.press("c");
    assert!(checked.commands.is_empty() && checked.has_toast("all 90 videos are checked already; C checks them again"));
    let mut harness = harness();
    harness.snapshot.scan = Some(ScanState { deep: true, done: 1, all: 137 });
    harness.refresh();
    harness.snapshot.scan = None;
    harness.refresh();
    assert!(harness.has_toast("deep check of 137 videos finished; 3 corrupt in all"), "{:?}", harness.app.toasts);
}

#[test]
fn a_check_moves_nothing_in_the_header_and_hides_no_name() {
    let mut harness = running(80, 24, failing(), gpus(2));
    let mut head = |done| {
        harness.snapshot.scan = Some(ScanState { deep: true, done, all: 12_000 });
        harness.refresh();
        harness.screen().lines().next().unwrap().to_owned()
    };
    let heads = [9, 99, 11_000].map(&mut head);
    let place = |head: &String| head.find("deep check").unwrap();
    assert!(heads.iter().all(|head| head.contains("hacs ") && place(head) == place(&heads[0])), "{heads:#?}");
}

#[test]
fn the_speed_is_one_number_and_the_percentage_says_what_it_is_of() {
    let mut harness = running(120, 40, failing(), gpus(1));
    assert!(harness.screen().lines().next().unwrap().contains("% of the run  ETA"), "{}", harness.screen());
    let device = running(80, 24, failing(), gpus(1)).line(" cuda:0");
    assert!(device.contains("v_Ggn6maCm-c4 +1"), "the other running video: {device}");
    let counts = harness.line("✘ failed");
    assert!(counts.find("│") < counts.find("▲") && counts.contains("│"), "findings are no states: {counts}");
    harness.press("4 z");
    let shown: Vec<String> = harness.screen().lines().filter(|line| line.contains("clips/s")).map(Into::into).collect();
    assert!(shown.len() > 1 && shown.iter().all(|line| line.contains("2,415 clips/s")), "{shown:#?}");
}

#[test]
fn new_settings_wait_until_the_user_starts_a_run() {
    use crate::config::{Overrides, Settings};
    use crate::tui::reopening::Reopening;
    use crate::tui::update::{Effect, Msg};
    let mut harness = running(80, 24, many(90), gpus(1));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::resolve(&Overrides::default(), folder.path()).unwrap();
    let new = Reopening { settings, typed: Overrides::default(), changed: "devices".into(), then: vec![] };
    harness.send(Msg::SettingsSaved(Ok(Box::new(new))));
    assert!(harness.has_toast("saved devices; in use from the next run"));
    // Also if nothing is left to extract: new settings may find other videos.
    for row in &mut harness.table.rows {
        row.state = crate::protocol::row::RowState::Done;
    }
    phase(&mut harness, Phase::Waiting);
    harness.advance(60_000);
    assert!(harness.commands.is_empty() && harness.effects.is_empty(), "{:?}", harness.effects);
    // The engine still exports the last run, with its settings.
    harness.snapshot.exporting = true;
    harness.refresh();
    harness.press("s");
    assert!(harness.commands.is_empty() && harness.has_toast("as soon as the export is over"));
    harness.snapshot.exporting = false;
    harness.refresh();
    assert_eq!(harness.last_command(), &Command::Leave);
    let Some(Effect::Reopen(new)) = harness.effects.last() else { panic!("{:?}", harness.effects) };
    assert_eq!(new.then, [Command::Start]);
}

#[test]
fn a_window_with_other_settings_than_the_engine_uses_its_own_for_the_next_run() {
    use crate::config::{Overrides, Settings};
    use crate::tui::tests::fixtures::welcome;
    use crate::tui::update::Effect;
    let folder = tempfile::tempdir().unwrap();
    let typed = Overrides::default();
    let reopens = |settings: &Settings, engine: u64| {
        let mut harness = running(80, 24, many(90), gpus(1));
        harness.app.join(&crate::protocol::Welcome { settings: engine, ..welcome() }, settings, &typed);
        phase(&mut harness, Phase::Waiting);
        harness.press("s");
        harness.effects.iter().any(|effect| matches!(effect, Effect::Reopen(_)))
    };
    let none = Settings::resolve(&typed, folder.path()).unwrap();
    assert!(!reopens(&none, 1), "a window without a configuration has no settings of its own");
    std::fs::write(folder.path().join("config.toml"), "devices = \"cpu*2\"\n").unwrap();
    let own = Settings::resolve(&typed, folder.path()).unwrap();
    assert!(!reopens(&own, own.digest()) && !reopens(&own, 0), "the same, or unknown");
    assert!(reopens(&own, none.digest()));
}

#[test]
fn missing_weights_lead_to_the_settings() {
    use crate::tui::update::Effect;
    let mut harness = running(80, 24, failing(), gpus(0));
    harness.snapshot.phase = Phase::Waiting;
    harness.snapshot.needs = Some("extraction needs weights: no such file\n".into());
    harness.refresh();
    assert!(harness.shows("○ no weights: press s") && !harness.shows("ready to start"), "{}", harness.screen());
    assert!(harness.app.log.window(1_000).0.iter().any(|line| line.text.contains("extraction needs weights")));
    harness.press("s");
    assert!(harness.commands.is_empty(), "the engine would refuse it");
    assert!(harness.shows("Extraction needs weights: no such file."), "{}", harness.screen());
    harness.press(",");
    assert_eq!(harness.effects.last(), Some(&Effect::ReadSettings));
    for (keys, effect) in [("s t", Effect::UseWeights("seeded")), ("s r", Effect::UseSettings(vec![]))] {
        harness.press(keys);
        assert_eq!(harness.effects.last(), Some(&effect));
    }
    assert!(harness.app.modals.is_empty());
    // The user was about to start a run.
    let folder = tempfile::tempdir().unwrap();
    let typed = crate::config::Overrides::default();
    let settings = crate::config::Settings::resolve(&typed, folder.path()).unwrap();
    let new = crate::tui::reopening::Reopening { settings, typed, changed: "checkpoint".into(), then: vec![] };
    harness.send(crate::tui::update::Msg::SettingsSaved(Ok(Box::new(new))));
    assert_eq!(harness.last_command(), &Command::Leave);
    let Some(Effect::Reopen(new)) = harness.effects.last() else { panic!("{:?}", harness.effects) };
    assert_eq!(new.then, [Command::Start]);
}

#[test]
fn the_details_of_a_running_video_show_its_progress() {
    let mut harness = running(120, 40, failing(), gpus(1));
    harness.knows_details = true;
    harness.press("f w enter");
    let [running, next] = [0, 1].map(|place| harness.snapshot.devices[0].in_flight[place].video.clone());
    for (video, progress) in [(running, "20/100 clips on cuda:0"), (next, "next on cuda:0")] {
        let mut steps = harness.app.videos.total();
        while harness.app.videos.current().unwrap().video != video && steps > 0 {
            harness.press("j");
            steps -= 1;
        }
        harness.press("enter");
        assert!(harness.line(progress).contains("▶ running"), "{}", harness.screen());
        harness.press("esc g g");
    }
    harness.snapshot.devices[0].in_flight[0].clips = 55;
    harness.refresh();
    harness.press("enter");
    assert!(harness.shows("55/100 clips on cuda:0"), "it follows the run: {}", harness.screen());
}

#[test]
fn the_header_counts_this_run_and_names_the_total_first() {
    let mut harness = running(120, 40, many(90), gpus(1));
    let head = |harness: &Harness| harness.screen().lines().next().unwrap().to_owned();
    let states = harness.screen().lines().nth(1).unwrap().to_owned();
    let total = format!(" {} videos:", harness.snapshot.counts.videos);
    assert!(states.starts_with(&total) && states.trim_end().ends_with("clips/s"), "{states}");
    // A new run over one video of a dataset that is nearly done.
    let counts = Counts { videos: 15, done: 14, resumed: 14, running: 1, ..Counts::default() };
    harness.snapshot.counts = counts;
    harness.snapshot.devices[0].in_flight.clear();
    let snapshot = harness.snapshot.clone();
    harness.receive(crate::protocol::FromEngine::Snapshot { id: None, snapshot });
    harness.advance(1_100);
    assert!(head(&harness).contains("  0 % of the run"), "{}", head(&harness));
    harness.snapshot.devices[0].status = "starting".into();
    harness.refresh();
    assert!(head(&harness).contains("● loading the model"), "{}", head(&harness));
}

#[test]
fn the_export_menu_announces_a_result_only_where_a_run_writes_one() {
    let mut harness = harness();
    harness.press("e");
    assert!(harness.question().contains("exports result.pkl by itself"));
    harness.press("esc");
    let crate::tui::app::Connection::Up(welcome) = &mut harness.app.connection else { panic!() };
    welcome.exports_result = false;
    harness.press("e");
    assert!(!harness.question().contains("by itself"), "{}", harness.question());
}

#[test]
fn values_of_the_machine_and_of_a_worker_are_told_apart() {
    let mut devices = gpus(1);
    devices[0].device = "cpu".into();
    let mut harness = running(120, 40, many(90), devices);
    assert!(harness.line("3 Devices").contains("machine: 64 cores 88 % · RAM 228/550 GB"), "{}", harness.screen());
    harness.press("3 z");
    assert!(harness.shows("this worker: cpu  NVIDIA H200"), "{}", harness.screen());
    harness.press("z 4");
    assert!(running(200, 50, many(90), gpus(1)).shows("clips/s (last minute) · 9.2 videos/s (last 5 min)"));
}
