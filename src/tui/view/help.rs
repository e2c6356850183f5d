//! Help: the keys of every context and the legend of symbols, in as many columns as fit, with a search.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::Span;

use super::layout::popup;
use super::{Styled, line, popup_frame, scrollbar};
use crate::protocol::row::{Finding, RowState};
use crate::tui::app::App;
use crate::tui::input::Input;
use crate::tui::keymap::Context;
use crate::tui::text;
use crate::tui::theme::{Role, StateStyle, Theme};
use crate::tui::unavailable_reason::unavailable_reason;

/// The width of a column. Most sentences fit.
const COLUMN: usize = 78;

/// Columns for the keys of an entry.
const KEYS: usize = 16;

/// A space at which no line is broken.
const NO_BREAK: &str = "\u{a0}";

struct Entry {
    left: String,
    left_style: Style,
    sentence: String,
    style: Style,
    /// Other words by which the search finds it.
    names: String,
}

struct Section {
    title: &'static str,
    entries: Vec<Entry>,
}

pub(super) fn draw(
    app: &App,
    scroll: &Cell<usize>,
    search: &Input,
    typing: bool,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = &app.options.theme;
    let room = usize::from(area.width.saturating_sub(4));
    let columns = (room / (COLUMN + 2)).clamp(1, 3);
    let width = room.min(columns * (COLUMN + 2));
    let column_width = width / columns - 2;
    let lines = lines(app, search.text(), column_width);
    let above = u16::from(typing || !search.text().is_empty());
    let wanted = lines.len().div_ceil(columns) + usize::from(above) + 2;
    let height = u16::try_from(wanted).unwrap_or(u16::MAX).min(area.height.saturating_sub(2)).max(3);
    let inner = popup_frame(app, "Help", popup(area.as_size(), width as u16 + 2, height), buffer);
    let mut cursor = None;
    if above > 0 {
        let (visible, column) = search.visible(column_width.saturating_sub(2));
        let role = if search.is_selected() { Role::Selection } else { Role::Match };
        let spans = vec![Span::styled(" /", theme.style(Role::Key)), Span::styled(visible, theme.style(role))];
        line(buffer, inner.x, inner.y, inner.width.into(), spans, theme);
        cursor = typing.then(|| Position::new(inner.x + 2 + column as u16, inner.y));
    }
    let body = Rect { y: inner.y + above, height: inner.height.saturating_sub(above), ..inner };
    if lines.is_empty() {
        let nothing = vec![Span::styled(" no key or symbol matches", theme.style(Role::Dim))];
        line(buffer, body.x, body.y, body.width.into(), nothing, theme);
        return cursor;
    }
    // Text flows down the first column and continues at the top of the next one.
    let rows = lines.len().div_ceil(columns);
    let visible = usize::from(body.height);
    let top = scroll.get().min(rows.saturating_sub(visible));
    scroll.set(top);
    for (number, part) in lines.chunks(rows).enumerate() {
        let x = body.x + (number * (column_width + 2)) as u16;
        for (row, spans) in part.iter().skip(top).take(visible).enumerate() {
            let spans = spans.iter().map(|(text, style)| Span::styled(text.as_str(), *style)).collect();
            line(buffer, x, body.y + row as u16, column_width, spans, theme);
        }
    }
    scrollbar(theme, Rect { width: body.width + 1, ..body }, top, visible, rows, theme.style(Role::Focus), buffer);
    cursor
}

/// The entries that the search matches, below the titles of their sections.
fn lines(app: &App, search: &str, width: usize) -> Vec<Vec<Styled>> {
    let theme = &app.options.theme;
    let words: Vec<String> = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let mut lines: Vec<Vec<Styled>> = vec![];
    for section in sections(app) {
        let matches = |entry: &&Entry| {
            let Entry { left, sentence, names, .. } = entry;
            let text = format!("{} {left} {sentence} {names}", section.title).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        let found: Vec<&Entry> = section.entries.iter().filter(matches).collect();
        if found.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(vec![]);
        }
        lines.push(vec![(format!(" {}", section.title), theme.style(Role::Title))]);
        for entry in found {
            let left = match entry.left.as_str() {
                "" => "  ".to_owned(),
                left => format!("  {} ", text::align_left(left, KEYS, theme.ellipsis())),
            };
            let indent = text::width(&left);
            for (at, part) in text::wrap(&entry.sentence, width.saturating_sub(indent).max(8)).into_iter().enumerate() {
                let left = if at == 0 { left.clone() } else { " ".repeat(indent) };
                let part = part.replace(NO_BREAK, " ");
                lines.push(vec![(left, entry.left_style), (part, entry.style)]);
            }
        }
    }
    lines
}

/// The symbols come first, because the screen is full of them, then the current pane, then everything else.
fn sections(app: &App) -> Vec<Section> {
    let here = app.context().chain();
    let of_others = Context::ALL.into_iter().filter(|context| !here.contains(context) && *context != Context::Form);
    let mut sections: Vec<Section> = here.iter().copied().chain(of_others).map(|context| keys(app, context)).collect();
    sections.insert(0, symbols(app));
    sections.extend([meanings(app), more(app)]);
    sections
}

fn keys(app: &App, context: Context) -> Section {
    let theme = &app.options.theme;
    let is_here = app.context().chain().contains(&context);
    let entry = |(line, keys): (&crate::tui::keymap::Binding, &[crate::tui::keys::Keys])| {
        let off = is_here && (!app.context().offers(line) || unavailable_reason(app, line.action).is_some());
        let (key, text) = if off { (Role::KeyOff, Role::KeyOff) } else { (Role::Key, Role::Base) };
        Entry {
            left: keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("  "),
            left_style: theme.style(key),
            sentence: line.long.to_owned(),
            style: theme.style(text),
            names: [line.short].iter().chain(line.action.other_names()).copied().collect::<Vec<_>>().join(" "),
        }
    };
    let bindings = app.keymap.bindings().filter(|(line, _)| line.context == context);
    Section { title: context.title(), entries: bindings.map(entry).collect() }
}

/// All symbols with their words, in a few lines.
fn symbols(app: &App) -> Section {
    let theme = &app.options.theme;
    let shown: Vec<String> =
        styles(theme).map(|(shown, _)| format!("{} {}", shown.glyph, shown.word).replace(' ', NO_BREAK)).collect();
    let style = theme.style(Role::Base);
    // A line is broken only between two symbols.
    let (left, names) = (String::new(), String::new());
    let entry = Entry { left, left_style: style, sentence: shown.join("   "), style, names };
    Section { title: "Symbols (explained at the end of this help)", entries: vec![entry] }
}

fn meanings(app: &App) -> Section {
    let theme = &app.options.theme;
    let entry = |(shown, meaning): (StateStyle, &str)| Entry {
        left: format!("{} {}", shown.glyph, shown.word),
        left_style: shown.style,
        sentence: meaning.to_owned(),
        style: theme.style(Role::Base),
        names: String::new(),
    };
    Section { title: "What the symbols mean", entries: styles(theme).map(entry).collect() }
}

/// The symbols of states and findings with their meanings.
fn styles(theme: &Theme) -> impl Iterator<Item = (StateStyle, &'static str)> {
    let states = RowState::ALL.into_iter().map(|state| (theme.state(state), meaning(state)));
    let paused = (theme.paused(), "in progress in a paused run");
    states
        .chain([paused])
        .chain(Finding::ALL.into_iter().map(|finding| (theme.finding(finding), meaning_of_finding(finding))))
}

fn more(app: &App) -> Section {
    let theme = &app.options.theme;
    let entry = |left: &str, sentence: &str| Entry {
        left: left.into(),
        left_style: theme.style(Role::Key),
        sentence: sentence.into(),
        style: theme.style(Role::Dim),
        names: String::new(),
    };
    Section {
        title: "More",
        entries: vec![
            entry("/", "search this help"),
            entry("engine", "a background process of reeldeck; a run may have several, on one or more machines"),
            entry("config.toml", "[tui.keys] changes keys, [tui] the theme"),
        ],
    }
}

fn meaning(state: RowState) -> &'static str {
    match state {
        RowState::Failed => "the extraction failed; the reason says why",
        RowState::Missing => "in the manifest but not on disk",
        RowState::Refused => "looks like a video but cannot be used; the reason says why",
        RowState::Stale => "the file has changed since its feature was made",
        RowState::Running => "being extracted, or next on its device",
        RowState::Queued => "waiting to be extracted",
        RowState::Done => "its feature exists",
        RowState::Excluded => "excluded by you",
        RowState::LeftOut => "not part of this run: beyond the limit",
        RowState::Ignored => "not a video, or an incomplete download",
    }
}

fn meaning_of_finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Corrupt => "no usable frames, or over a limit; also counted as queued or failed",
        Finding::Damaged => "its feature file is damaged; the next run extracts it again",
        Finding::WrongDuration => "its length differs from the manifest",
        Finding::Duplicate => "on disk more than once",
        Finding::Degraded => "some frames are lost or concealed",
        Finding::Unlisted => "on disk but not in the manifest",
        Finding::Unchecked => "not checked yet",
    }
}
