//! Help, the palette, themes and the mouse.

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::fixtures::{failing, gpus, row, running};
use super::harness::Harness;
use crate::protocol::Command;
use crate::protocol::row::{Column, Finding, RowState};
use crate::protocol::snapshot::Phase;
use crate::tui::pane::Pane;
use crate::tui::update::{Effect, Msg};

fn harness(width: u16, height: u16) -> Harness {
    running(width, height, failing(), gpus(2))
}

#[test]
fn help_explains_every_symbol() {
    let mut harness = harness(200, 100);
    // In another pane, so that no row shows the symbol.
    harness.press("5 z ?");
    let theme = harness.app.options.theme;
    let states = RowState::ALL.map(|state| theme.state(state));
    for shown in states.into_iter().chain([theme.paused()]).chain(Finding::ALL.map(|finding| theme.finding(finding))) {
        let times = harness.screen().matches(&format!("{} {}", shown.glyph, shown.word)).count();
        assert!(times >= 2, "{}: in the legend and with its meaning", shown.word);
    }
}

#[test]
fn the_keys_of_the_help_are_shown_over_the_details() {
    let mut harness = harness(80, 24);
    harness.knows_details = true;
    harness.press("enter ?");
    let last = harness.screen().lines().last().unwrap().to_owned();
    assert!(last.contains("/ search") && last.contains("esc close") && !last.contains("back"), "{last}");
    assert!(!last.contains(['╰', '─', '╯']), "not on the frame of the details: {last}");
}

#[test]
fn one_key_shows_help_also_where_a_text_is_typed() {
    let mut harness = harness(80, 24);
    for keys in ["/", ":", "f", "o", "T"] {
        harness.press(keys);
        harness.press("f1");
        assert!(harness.shows("Help "), "{keys}: {}", harness.screen());
        harness.press("f1 esc");
        assert!(harness.app.modals.is_empty(), "{keys}");
    }
}

#[test]
fn the_footer_has_room_for_details_and_commands_at_80_columns() {
    let mut harness = harness(80, 24);
    let footer = |harness: &Harness| harness.screen().lines().last().unwrap().to_owned();
    assert!(
        footer(&harness).contains("enter details") && footer(&harness).contains(": command"),
        "{}",
        footer(&harness)
    );
    // What extracting is called depends on the video.
    assert!(footer(&harness).contains("r retry"), "{}", footer(&harness));
    harness.table.rows.iter_mut().for_each(|row| row.state = RowState::Done);
    harness.table_changed();
    assert!(footer(&harness).contains("r extract again"), "{}", footer(&harness));
    assert!(
        footer(&harness).contains("enter details") && footer(&harness).contains(": command"),
        "{}",
        footer(&harness)
    );
    harness.press("space space");
    assert!(footer(&harness).contains("r extract 2 again"), "{}", footer(&harness));
}

#[test]
fn the_footer_at_80_columns_offers_what_helps_the_video_under_the_cursor() {
    let mut harness = Harness::new(80, 24);
    harness.table.rows = vec![row("A/v_a.mp4", RowState::Queued)];
    harness.connect();
    let footer = |harness: &Harness| harness.screen().lines().last().unwrap().to_owned();
    let offers = |harness: &Harness, part: &str| footer(harness).contains(part);
    assert!(offers(&harness, "s start run") && offers(&harness, "x exclude"), "{}", footer(&harness));
    assert!(!offers(&harness, "r extract") && !offers(&harness, "r retry"), "a run extracts it: {}", footer(&harness));
    harness.snapshot.phase = Phase::Running;
    for (state, has, lacks) in [
        (RowState::Excluded, "x include", " r "),
        (RowState::Running, "x exclude", " r "),
        (RowState::Failed, "r retry", "x include"),
        (RowState::Done, "r extract again", "x include"),
    ] {
        harness.table.rows[0].state = state;
        harness.table_changed();
        assert!(offers(&harness, has) && !offers(&harness, lacks), "{state:?}: {}", footer(&harness));
        assert!(offers(&harness, "x "), "{state:?}: {}", footer(&harness));
    }
}

#[test]
fn without_a_run_no_key_stops_one_and_without_queued_videos_none_starts_one() {
    let mut harness = Harness::new(80, 24);
    harness.table.rows = vec![row("A/v_a.mp4", RowState::Done)];
    harness.connect();
    for phase in [Phase::Waiting, Phase::Idle] {
        harness.snapshot.phase = phase;
        harness.refresh();
        for pane in ["2", "4"] {
            harness.press(pane);
            let footer = harness.screen().lines().last().unwrap().to_owned();
            assert!(!footer.contains("S stop") && !footer.contains("s start"), "{phase:?}: {footer}");
        }
    }
}

#[test]
fn palette_and_help_find_keys_by_other_words() {
    for (word, key) in [("extract", "start a run"), ("begin", "start a run"), ("run", "start a run")] {
        let mut harness = harness(80, 24);
        harness.press(":").type_text(word);
        assert!(harness.line("▸ ").contains(key), "{word}: {}", harness.screen());
    }
    for (word, key) in
        [("zoom", "zoom: show this pane"), ("detach", "quit:"), ("leave", "quit:"), ("background", "quit:")]
    {
        let mut harness = harness(80, 24);
        harness.press("? /").type_text(word);
        assert!(harness.shows(key), "{word}: {}", harness.screen());
    }
    let mut harness = harness(80, 24);
    harness.press("q");
    assert!(harness.shows("detach: the run continues in the background"), "{}", harness.screen());
}

#[test]
fn a_frame_below_a_popup_does_not_touch_its_frame() {
    let mut harness = harness(80, 24);
    harness.press(":");
    for line in harness.screen().lines().filter(|line| line.contains(['╭', '╰', '│'])) {
        let edges = line.chars().collect::<Vec<_>>();
        let touch = edges.windows(2).any(|pair| pair == ['│', '│'] || pair == ['─', '│'] || pair == ['│', '─']);
        assert!(!touch, "{line}");
    }
}

#[test]
fn help_uses_the_width_in_columns() {
    let mut harness = harness(200, 50);
    harness.press("?");
    insta::assert_snapshot!("help_200x50", harness.screen());
}

#[test]
fn help_and_notices_scroll_back_from_their_last_line_at_once() {
    let mut harness = harness(80, 24);
    let text = (0..60).map(|line| format!("line {line}\n")).collect::<String>();
    for notice in [false, true] {
        match notice {
            true => harness.app.notice("Notice", text.clone()),
            false => drop(harness.press("?")),
        }
        for end in ["G", "pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn pgdn"] {
            harness.press(end);
            let last = harness.screen();
            harness.press("k");
            assert_ne!(harness.screen(), last, "{end}");
        }
        harness.press("esc");
    }
}

#[test]
fn commands_of_the_palette_are_readable_at_80_columns() {
    for pane in ["1", "2", "3", "5"] {
        let mut harness = harness(80, 24);
        harness.press(pane).press(":");
        for _ in 0..60 {
            let cut: Vec<String> = harness
                .screen()
                .lines()
                .filter(|line| line.contains("> ") && line.contains('…'))
                .filter(|line| {
                    // Beside the list, rows of the pane are visible.
                    line.split('│').any(|part| part.starts_with("> ") && part.contains('…'))
                })
                .map(str::to_owned)
                .collect();
            assert!(cut.is_empty(), "{cut:#?}");
            harness.press("down");
        }
    }
}

#[test]
fn help_is_searched_by_words() {
    let mut harness = harness(80, 24);
    harness.press("? /").type_text("copy path");
    assert!(harness.shows("copy the path of this video's file") && !harness.shows("redraw the screen"));
    // After enter, keys scroll again; esc first clears the search.
    harness.press("enter j esc");
    assert!(harness.shows("show the details of this video"));
    harness.press("/").type_text("degraded").press("enter");
    assert!(harness.shows("some frames are lost or concealed"));
    harness.press("/").type_text("xyz");
    assert!(harness.shows("no key or symbol matches"));
    harness.press("esc esc");
    assert!(harness.app.modals.is_empty());
}

#[test]
fn themes_are_previewed_and_only_a_choice_stays() {
    let mut harness = harness(80, 24);
    harness.press(":").type_text("theme").press("enter");
    harness.press("j j");
    assert_eq!(harness.app.options.theme.name(), "night", "the cursor shows each theme");
    harness.press("esc");
    assert_eq!(harness.app.options.theme.name(), "terminal");
    harness.press("T j j j enter");
    assert_eq!(harness.app.options.theme.name(), "paper");
    assert_eq!(harness.effects.last(), Some(&Effect::KeepTheme("paper")), "only a choice is kept");
}

#[test]
fn the_log_pane_names_its_file() {
    let mut harness = harness(80, 24);
    harness.app.log.file = "/out/a/very/long/path/to/the/output/folder/.reeldeck/log/login1.log".into();
    harness.press("5");
    assert!(harness.line("5 Log").contains(".reeldeck/log/login1.log"), "{}", harness.screen());
    assert!(harness.line("? help").contains("o open"), "{}", harness.screen());
}

#[test]
fn headers_footer_and_tabs_can_be_clicked() {
    let mut harness = harness(80, 24);
    let click = |harness: &mut Harness, part: &str| {
        let screen = harness.screen();
        let (row, line) = screen.lines().enumerate().find(|(_, line)| line.contains(part)).unwrap();
        let column = line.split(part).next().unwrap().chars().count() + 1;
        let kind = MouseEventKind::Down(MouseButton::Left);
        let (column, row) = (column as u16, row as u16);
        harness.send(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    };
    click(&mut harness, "Length");
    assert_eq!((harness.app.videos.sort().by, harness.app.videos.sort().descending), (Column::Length, false));
    click(&mut harness, "Length");
    assert!(harness.app.videos.sort().descending, "again: the other way round");
    assert_eq!(harness.app.phase(), Some(Phase::Running));
    click(&mut harness, "s pause");
    assert_eq!(harness.last_command(), &Command::Pause);
    click(&mut harness, "5 Log");
    assert_eq!(harness.app.focus, Pane::Log);
    click(&mut harness, "2 Videos");
    assert_eq!(harness.app.focus, Pane::Videos);
}

#[test]
fn a_small_terminal_names_states_and_panes() {
    let harness = harness(80, 24);
    let screen = harness.screen();
    let counts = screen.lines().nth(1).unwrap();
    assert!(counts.contains("✔ done ") && counts.contains("✘ failed "), "{counts}");
    for pane in Pane::ALL {
        assert!(screen.contains(&format!("{} {}", pane.number(), pane.title())), "{screen}");
    }
}

#[test]
fn states_with_videos_are_shown_before_the_words_of_zeros() {
    let mut harness = Harness::new(80, 24);
    harness.table.rows = failing();
    harness.table.rows.retain(|row| row.state != RowState::Failed && row.state != RowState::Running);
    harness.connect();
    let counts = harness.screen().lines().nth(1).unwrap().to_owned();
    assert!(counts.contains(" … ") || !counts.contains('…'), "{counts}");
    assert!(counts.contains(" ▶ 0 ") && counts.contains(" ✘ 0 ") && counts.contains("✔ done"), "{counts}");
}

#[test]
fn rows_sorted_by_class_show_it_at_80_columns() {
    let mut harness = harness(80, 24);
    assert!(!harness.line("Why").contains("Class"));
    harness.press("o c");
    assert!(harness.line("Why").contains("Class▴"));
}

#[test]
fn keys_sort_by_the_next_visible_column() {
    let mut harness = running(80, 24, failing(), gpus(2));
    let mut seen = vec![];
    for key in [">", ">", ">", ">", ">", "<", "<"] {
        harness.press(key);
        seen.push(harness.app.videos.sort().by);
    }
    use Column::{Attempts, File, Length, Reason, State};
    assert_eq!(
        seen,
        [File, Length, Attempts, Reason, State, Reason, Attempts],
        "class, picture, codec and size are hidden"
    );
    assert!(harness.shows("sorted by attempts, ascending"));
    // Where there is little room, the order is short.
    harness.press("space").resize(50, 10);
    assert!(harness.shows("by attempts ▴"), "{}", harness.screen());
}
