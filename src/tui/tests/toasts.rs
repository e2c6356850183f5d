//! Toasts: where they are, and when they disappear.

use super::fixtures::{failing, gpus, many, running};
use super::harness::Harness;
use crate::protocol::event::Event;
use crate::protocol::words::Level;
use crate::tui::update::Msg;
use crate::tui::view::layout;

#[test]
fn events_are_shown_as_toasts_that_expire() {
    let mut harness = running(120, 40, many(5_000), gpus(2));
    harness.event(Event::Paused);
    harness.event(Event::Requeued { videos: 3 });
    assert!(harness.shows("paused") && harness.shows("3 videos queued again"));
    assert!(harness.app.log.held() == 62);
    harness.advance(20_000);
    assert!(harness.app.toasts.shown().is_empty());
}

#[test]
fn what_comes_of_a_key_takes_the_place_of_its_answer() {
    let mut harness = running(80, 24, many(50), gpus(1));
    harness.app.say(Level::Info, "exporting pkl");
    harness.event(Event::Exported { videos: 4, missing: 0, path: "/out/exports/set".into() });
    assert!(harness.has_toast("result.pkl") && !harness.has_toast("exporting"), "{:?}", harness.app.toasts);
    harness.app.say(Level::Info, "no run is active");
    harness.event(Event::Requeued { videos: 1 });
    assert!(!harness.has_toast("no run is active"), "{:?}", harness.app.toasts);
}

#[test]
fn toasts_are_whole_and_leave_the_log_visible() {
    let words: Vec<String> = (0..60).map(|number| format!("word{number}")).collect();
    for (width, height, keys) in [(120, 40, ""), (80, 24, ""), (80, 24, "5")] {
        let mut harness = running(width, height, failing(), gpus(1));
        if !keys.is_empty() {
            harness.press(keys);
        }
        let log = |harness: &Harness| {
            let screen = harness.screen();
            let lines: Vec<&str> = screen.lines().filter(|line| line.contains("14:02:5")).collect();
            lines.join("\n")
        };
        let before = log(&harness);
        harness.app.say(Level::Problem, words.join(" "));
        let screen = harness.screen();
        assert!(words.iter().all(|word| screen.contains(word)), "{screen}");
        assert_eq!(log(&harness), before);
    }
}

#[test]
fn toasts_cover_no_row() {
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let mut harness = running(width, height, many(500), gpus(1));
        let rows = |harness: &Harness| -> Vec<String> {
            let plan = layout::current(&harness.app);
            let videos = plan.videos.unwrap();
            let lines: Vec<String> = harness.screen().lines().map(str::to_owned).collect();
            lines[usize::from(videos.y)..usize::from(videos.bottom() - 1)].to_vec()
        };
        for keys in ["G", "k", "g g"] {
            harness.press(keys).press("esc");
            let before = rows(&harness);
            // As long as a name with its reason, and longer than the line.
            harness.app.toasts.show(harness.app.now, Level::Info, "a message");
            assert!(harness.shows("a message"));
            assert_eq!(rows(&harness), before, "a short line covers the border alone");
            let long = "a long message ".repeat(9);
            harness.app.toasts.clear();
            harness.app.toasts.show(harness.app.now, Level::Problem, long.trim());
            harness.send(Msg::Tick);
            let seen = rows(&harness);
            assert!(seen.iter().all(|row| !row.contains("message")), "{}", harness.screen());
            assert!(width > 80 || harness.shows("5 Log ─"), "the other panes are named: {}", harness.screen());
            assert!(seen.iter().any(|row| row.contains('▸')), "the row of the cursor is visible: {}", harness.screen());
            let whole = ["long", "message"].map(|word| harness.screen().matches(word).count());
            assert_eq!(whole, [9, 9], "all of it: {}", harness.screen());
            harness.press("esc");
            assert!(!harness.shows("message"), "esc removes it");
        }
    }
}

#[test]
fn toasts_stand_beside_each_other_and_problems_come_first() {
    let mut harness = running(80, 24, many(500), gpus(1));
    harness.app.toasts.show(harness.app.now, Level::Problem, "disk full");
    harness.app.toasts.show(harness.app.now, Level::Info, "copied the name");
    let line = harness.line("disk full");
    assert!(line.find("copied the name") < line.find("disk full"), "{line}");
    // What does not fit beside the others gets a line of its own.
    let long = "a longer message that does not fit beside the others, even in a wide line";
    harness.app.toasts.show(harness.app.now, Level::Info, long);
    harness.send(Msg::Tick);
    assert!(harness.line("does not fit") != harness.line("disk full") && harness.shows("copied the name"));
    // Over an overlay they are above its keys, and esc removes them there too.
    harness.press("?");
    let screen = harness.screen();
    let [above, keys] = [2, 1].map(|back| screen.lines().rev().nth(back - 1).unwrap());
    assert!(above.contains("disk full") && keys.contains("esc close") && keys.contains("j k scroll"), "{screen}");
    harness.app.toasts.show(harness.app.now, Level::Problem, "a long message ".repeat(20));
    let last = harness.screen().lines().rev().nth(1).unwrap().trim_end().to_owned();
    assert!(last.contains("a long message") && last.ends_with('…'), "one line that says that there is more: {last}");
    harness.press("esc");
    assert!(harness.app.toasts.shown().is_empty());
}
