//! The footer: the most important of the keys that do something now.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::line;
use crate::protocol::row::{Row, RowState};
use crate::protocol::snapshot::Phase;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::details;
use crate::tui::keymap::{Binding, Context};
use crate::tui::keys::Keys;
use crate::tui::modal::Modal;
use crate::tui::pane::Pane;
use crate::tui::run_end;
use crate::tui::text;
use crate::tui::theme::Role;
use crate::tui::unavailable_reason::unavailable_reason;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    for (x, offer) in placed(app, area.width.into()) {
        let spans = vec![
            Span::styled(offer.key, theme.style(Role::Key)),
            Span::styled(format!(" {}", offer.word), theme.style(Role::Base)),
        ];
        line(buffer, area.x + x as u16, area.y, usize::from(area.width) - x, spans, theme);
    }
}

/// The action of the key that is shown at this column.
pub(crate) fn action_at(app: &App, width: u16, column: u16) -> Option<Action> {
    let covers = |(x, offer): &(usize, Offer)| (*x..*x + offer.width()).contains(&usize::from(column));
    placed(app, width.into()).into_iter().find(covers).and_then(|(_, offer)| offer.action)
}

/// A key in the footer.
struct Offer {
    key: String,
    word: String,
    /// `None` for the keys of an overlay.
    action: Option<Action>,
}

impl Offer {
    fn width(&self) -> usize {
        text::width(&self.key) + 1 + text::width(&self.word)
    }
}

/// The keys that fit, with their columns. A shorter one may follow one that is too long.
fn placed(app: &App, room: usize) -> Vec<(usize, Offer)> {
    let mut x = 1;
    let place = |offer: Offer| {
        let at = x;
        let fits = at + offer.width() <= room;
        x += if fits { offer.width() + 2 } else { 0 };
        fits.then_some((at, offer))
    };
    offered(app).into_iter().filter_map(place).collect()
}

fn offered(app: &App) -> Vec<Offer> {
    let fixed = |pairs: &[(&str, &str)]| -> Vec<Offer> {
        let offer =
            |(key, word): &(&str, &str)| Offer { key: (*key).to_owned(), word: (*word).to_owned(), action: None };
        pairs.iter().map(offer).collect()
    };
    match app.modals.last() {
        Some(Modal::Filter { .. }) => return fixed(&[("enter", "apply"), ("esc", "cancel"), ("up down", "move")]),
        Some(Modal::Palette { .. }) => return fixed(&[("enter", "run"), ("esc", "close"), ("up down", "choose")]),
        Some(Modal::Menu(menu)) if menu.several.is_some() => {
            return fixed(&[("space", "on or off"), ("enter", "show these"), ("esc", "cancel")]);
        }
        Some(Modal::Menu(menu)) if menu.theme_before.is_some() => {
            return fixed(&[("enter", "use this theme"), ("esc", "keep the old one"), ("j k", "preview")]);
        }
        Some(Modal::Menu(_)) => return fixed(&[("enter", "choose"), ("esc", "cancel"), ("j k", "move")]),
        Some(Modal::Help { typing: true, .. }) => return fixed(&[("enter", "keep the search"), ("esc", "all keys")]),
        Some(Modal::Help { search, .. }) if !search.text().is_empty() => {
            return fixed(&[("/", "search"), ("esc", "all keys"), ("j k", "scroll")]);
        }
        Some(Modal::Help { .. }) => return fixed(&[("/", "search"), ("esc", "close"), ("j k", "scroll")]),
        Some(Modal::Notice { offers_settings: true, .. }) => {
            let key = app.keymap.key_text(Action::Settings);
            return fixed(&[(&key, "settings"), ("esc", "close"), ("y", "copy"), ("j k", "scroll")]);
        }
        Some(Modal::Notice { .. }) => return fixed(&[("esc", "close"), ("y", "copy"), ("j k", "scroll")]),
        // The details and the settings show their keys in their frame. The card leaves the keys of the pane in force.
        Some(Modal::Details(_) | Modal::Settings(_) | Modal::RunEnd) | None => {}
    }
    let mut offers: Vec<Offer> = vec![];
    if matches!(app.modals.last(), Some(Modal::RunEnd)) {
        offers = fixed(&[("esc", "close")]);
    }
    if !app.pending_keys.is_empty() {
        let follows = app.keymap.continued(app.context(), &app.pending_keys);
        return follows
            .map(|(line, keys)| Offer { key: keys.to_string(), word: line.short.to_owned(), action: Some(line.action) })
            .collect();
    }
    let has_range = app.focus == Pane::Videos && app.videos.range().is_some();
    if has_range {
        offers.extend(fixed(&[("esc", "end range")]));
    }
    let has_marks = !app.marks.is_empty();
    let offer = |(line, keys): (&Binding, &Keys)| Offer {
        key: keys.to_string(),
        word: word(app, line.action, line.short),
        action: Some(line.action),
    };
    let only_corrupt = app.snapshot().is_some_and(run_end::only_corrupt_failed);
    // Instead of extracting a video that is not there, the user looks for it.
    let rescans = app.context() == Context::Videos && app.marks.is_empty() && lacks_file(app);
    // A run extracts a queued video anyway.
    let current = app.videos.current();
    let is_of_use = |action| match action {
        Action::Retry => !rescans && (!app.marks.is_empty() || current.is_none_or(|row| row.state != RowState::Queued)),
        Action::RetryAll => !only_corrupt,
        _ => true,
    };
    let is_offered =
        |(line, _): &(&Binding, &Keys)| is_of_use(line.action) && unavailable_reason(app, line.action).is_none();
    let mut bindings: Vec<_> = app.keymap.footer(app.context()).into_iter().filter(is_offered).collect();
    bindings.sort_by_key(|(line, _)| match line.action {
        Action::Rescan if rescans => RETRY_RANK,
        Action::Problems if only_corrupt => PROBLEMS_RANK,
        // Before the keys that have nothing to do with what was chosen.
        Action::Exclude | Action::Unmark if has_marks => CHOSEN_RANK,
        Action::Range | Action::Exclude if has_range => CHOSEN_RANK,
        _ => line.footer,
    });
    offers.extend(bindings.into_iter().map(offer));
    offers
}

/// What extracting the marked videos is called, or the one under the cursor.
fn retry_word(app: &App) -> Option<String> {
    if app.marks.is_empty() {
        if app.videos.range().is_some() {
            return Some("extract range again".into());
        }
        return app.videos.current().map(|row| details::retry_word(row.state).into());
    }
    let mut words = app.marks.states().map(details::retry_word);
    let first = words.next();
    let word = first.filter(|first| words.all(|word| word == *first)).unwrap_or("extract again");
    let marked = text::count(app.marks.len() as u64);
    Some(match word.split_once(' ') {
        Some((verb, again)) => format!("{verb} {marked} {again}"),
        None => format!("{word} {marked}"),
    })
}

/// The ranks of the keys for looking again and for problems where extracting again does not help.
const RETRY_RANK: u8 = 20;
const PROBLEMS_RANK: u8 = 22;

/// The rank of the keys for the marked videos, and for a range.
const CHOSEN_RANK: u8 = 21;

/// There is no video under the cursor, or its file is not there or cannot be used.
fn lacks_file(app: &App) -> bool {
    let has_file = |row: &Row| !matches!(row.state, RowState::Missing | RowState::Refused | RowState::Ignored);
    !app.videos.current().is_some_and(has_file)
}

/// The description of an action in the current state.
fn word(app: &App, action: Action, short: &str) -> String {
    match action {
        Action::StartPause => match app.phase() {
            Some(Phase::Running | Phase::Held) => "pause".into(),
            Some(Phase::Paused) => "resume".into(),
            _ => short.into(),
        },
        Action::Retry => retry_word(app).unwrap_or_else(|| short.into()),
        Action::Exclude if app.videos.range().is_some() && app.marks.is_empty() => {
            if app.includes() {
                "include range".into()
            } else {
                "exclude range".into()
            }
        }
        Action::Range if app.videos.range().is_some() => "mark range".into(),
        Action::Exclude => match (app.marks.is_empty(), app.includes()) {
            (true, true) => "include".into(),
            (true, false) => short.into(),
            (false, true) => "include marked".into(),
            (false, false) => "exclude marked".into(),
        },
        Action::RetryAll => match app.snapshot().map_or(0, |snapshot| snapshot.counts.failed) {
            0 => short.into(),
            failed => format!("retry {} failed", text::count(failed as u64)),
        },
        Action::Problems if app.focus == Pane::Videos && app.videos.filter().is_problems() => "all states".into(),
        _ => short.into(),
    }
}
