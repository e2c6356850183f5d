//! The footer: the most important keys. Unavailable ones are dim.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::line;
use crate::protocol::snapshot::Phase;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::modal::Modal;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::unavailable_reason::unavailable_reason;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let room = usize::from(area.width);
    let mut spans = vec![Span::raw(" ")];
    for (key, word, on) in offered(app) {
        let used: usize = spans.iter().map(|span| text::width(&span.content)).sum();
        if used + text::width(&key) + 1 + text::width(&word) > room {
            break;
        }
        let (key_role, word_role) = if on { (Role::Key, Role::Base) } else { (Role::KeyOff, Role::KeyOff) };
        spans.push(Span::styled(key, theme.style(key_role)));
        spans.push(Span::styled(format!(" {word}"), theme.style(word_role)));
        spans.push(Span::raw("  "));
    }
    line(buffer, area.x, area.y, room, spans, theme);
}

/// Keys, their descriptions, and whether they are available.
fn offered(app: &App) -> Vec<(String, String, bool)> {
    let fixed =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, word)| (key.to_string(), word.to_string(), true)).collect();
    match app.modals.last() {
        Some(Modal::Filter { .. }) => {
            return fixed(&[("enter", "keep"), ("esc", "as before"), ("up down", "move")]);
        }
        Some(Modal::Palette { .. }) => return fixed(&[("enter", "do it"), ("esc", "close"), ("up down", "choose")]),
        Some(Modal::Menu(menu)) if menu.stays_open => {
            return fixed(&[("space", "on or off"), ("enter", "choose and close"), ("esc", "close")]);
        }
        Some(Modal::Menu(_)) => return fixed(&[("enter", "choose"), ("esc", "close"), ("j k", "move")]),
        Some(Modal::Help { .. } | Modal::Notice { .. }) => return fixed(&[("esc", "close"), ("j k", "scroll")]),
        // The details show their keys in their frame.
        Some(Modal::Details(_)) | None => {}
    }
    if !app.pending_keys.is_empty() {
        let keys: Vec<String> = app.pending_keys.iter().map(ToString::to_string).collect();
        return vec![(keys.join(" "), "…".into(), true)];
    }
    let lines = app.keymap.footer(app.context());
    lines
        .into_iter()
        .map(|(line, keys)| {
            (keys.to_string(), word(app, line.action, line.short), unavailable_reason(app, line.action).is_none())
        })
        .collect()
}

/// The description of an action in the current state.
fn word(app: &App, action: Action, short: &str) -> String {
    match action {
        Action::StartPause => match app.phase() {
            Some(Phase::Running) => "pause".into(),
            Some(Phase::Paused) => "go on".into(),
            _ => short.into(),
        },
        Action::Retry if !app.marks.is_empty() => format!("retry {} marked", text::count(app.marks.len() as u64)),
        Action::Exclude if !app.marks.is_empty() => "exclude marked".into(),
        Action::RetryAll => match app.snapshot().map_or(0, |snapshot| snapshot.counts.failed) {
            0 => short.into(),
            failed => format!("retry all {} failed", text::count(failed as u64)),
        },
        Action::Problems if app.focus == Pane::Videos && app.videos.filter().is_problems() => "all states".into(),
        _ => short.into(),
    }
}
