//! Snapshots of whole screens.

use ratatui::style::Color;

use super::fixtures::{failing, gpus, many, running};
use super::harness::Harness;
use super::render;
use crate::protocol::snapshot::ScanState;
use crate::tui::theme::Theme;

const SIZES: [(u16, u16); 4] = [(40, 10), (80, 24), (120, 40), (200, 60)];

fn at_all_sizes(name: &str, make: impl Fn(u16, u16) -> Harness) {
    for (width, height) in SIZES {
        let harness = make(width, height);
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), harness.screen());
    }
}

#[test]
fn connecting() {
    at_all_sizes("connecting", Harness::new);
}

#[test]
fn empty_dataset() {
    at_all_sizes("empty", |width, height| {
        let mut harness = Harness::new(width, height);
        harness.connect();
        harness
    });
}

#[test]
fn huge_dataset() {
    let rows = many(120_000);
    at_all_sizes("huge", |width, height| {
        let mut harness = running(width, height, rows.clone(), gpus(2));
        harness.press("j j j j j j j");
        harness
    });
}

#[test]
fn failing_dataset() {
    at_all_sizes("failing", |width, height| {
        let mut harness = running(width, height, failing(), gpus(3));
        harness.snapshot.scan = Some(ScanState { deep: false, done: 1_204, all: 49_592 });
        harness.refresh();
        harness.press("j space j space");
        harness
    });
}

#[test]
fn many_devices() {
    at_all_sizes("devices8", |width, height| running(width, height, many(500), gpus(8)));
    at_all_sizes("devices16", |width, height| {
        let mut harness = running(width, height, many(500), gpus(16));
        harness.press("3 j j");
        harness
    });
}

#[test]
fn zero_and_one_device() {
    for (devices, name) in [(0, "devices0"), (1, "devices1")] {
        let harness = running(120, 40, many(500), gpus(devices));
        insta::assert_snapshot!(name, harness.screen());
    }
}

#[test]
fn ascii_only() {
    at_all_sizes("ascii", |width, height| {
        let mut harness = running(width, height, failing(), gpus(3));
        harness.app.options.theme = Theme::default().with_ascii(true);
        harness.press("j space j space v j");
        assert!(harness.screen().is_ascii());
        harness
    });
}

#[test]
fn without_colours() {
    let mut harness = running(120, 40, failing(), gpus(3));
    harness.app.options.theme = Theme::default().adapted(|name| (name == "NO_COLOR").then(|| "1".to_owned()));
    harness.press("j space j f");
    let buffer = harness.buffer(120, 40);
    assert!(buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    insta::assert_snapshot!("no_color_120x40", render::text(&buffer));
}

#[test]
fn each_pane() {
    for (key, name) in [("1", "classes"), ("3", "devices"), ("4", "throughput"), ("5", "log")] {
        let mut harness = running(80, 24, failing(), gpus(3));
        harness.press(key);
        insta::assert_snapshot!(format!("pane_{name}_80x24"), harness.screen());
    }
}

#[test]
fn each_popup() {
    let keys = [
        ("help", "?"),
        ("palette", ": r e t r"),
        ("filter", "/ m o o v"),
        ("states", "f f c"),
        ("sort", "o"),
        ("export", "e"),
        ("quit", "q"),
        ("stop", "S"),
        ("confirm", "f o enter r"),
        ("line", "5 enter"),
    ];
    for (name, keys) in keys {
        let mut harness = running(80, 24, failing(), gpus(3));
        harness.press(keys);
        insta::assert_snapshot!(format!("popup_{name}_80x24"), harness.screen());
    }
}

/// Sizes from tiny to very large, small ones densely. Each `turn` takes an eighth of them.
fn sizes(turn: usize) -> impl Iterator<Item = (u16, u16)> {
    let widths = (1..=42).chain([59, 66, 79, 80, 81, 99, 100, 101, 119, 120, 160, 199, 200, 300]);
    let heights = || (1..=31).chain([36, 40, 50, 60, 100]);
    let all = widths.flat_map(move |width| heights().map(move |height| (width, height)));
    all.filter(move |(width, height)| (usize::from(*width) * 7 + usize::from(*height) + turn).is_multiple_of(8))
}

#[test]
fn any_state_can_be_drawn_at_any_size() {
    let keys = [
        "",
        "1",
        "3",
        "4",
        "5",
        "z",
        "?",
        ":",
        "/ x y",
        "f",
        "o",
        "e",
        "q",
        "S",
        "f o enter r",
        "5 enter",
        "v j j",
        "a",
        "1 /",
        "5 / z",
        "5 f f",
        "3 z",
    ];
    for (place, keys) in keys.into_iter().enumerate() {
        let devices = [0, 1, 3, 8, 16][place % 5];
        let mut harness = running(120, 40, if place == 7 { vec![] } else { failing() }, gpus(devices));
        if place % 3 == 2 {
            harness.app.options.theme = Theme::default().with_ascii(true);
        }
        if !keys.is_empty() {
            harness.press(keys);
        }
        harness.app.toasts.show(harness.app.now, crate::protocol::words::Level::Problem, "a long message ".repeat(20));
        for (width, height) in sizes(place) {
            // The size of the terminal changes before and after the state learns of it.
            harness.buffer(width, height);
            if (width + height).is_multiple_of(5) {
                harness.resize(width, height);
                let screen = harness.screen();
                assert_eq!(screen.lines().count(), usize::from(height));
            }
        }
    }
}
