//! The form as it is drawn: all of it where there is room, the line in hand alone where there is next to none.

use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::{Name, Notice, Setup, Verdict};
use crate::protocol::row::RowState;
use crate::tui::keymap::Context;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Columns of the labels.
const LABELS: usize = 17;

/// The same where there is little room.
const SHORT: usize = 13;

/// Wider than this is only harder to read.
const WIDEST: u16 = 110;

/// How much is drawn of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Everything, the explanation of every line too.
    Ample,
    /// The explanation of the line in hand, in the gap below it.
    Usual,
    /// No gaps: it stands at the bottom.
    Tight,
    /// The lines alone; what a check says of the one in hand stands at the bottom.
    Lines,
    /// The line in hand alone.
    One,
}

impl Room {
    fn of(height: u16) -> Self {
        match height {
            25.. => Self::Ample,
            20.. => Self::Usual,
            12.. => Self::Tight,
            7.. => Self::Lines,
            _ => Self::One,
        }
    }
}

impl Setup<'_> {
    /// Draws the form; says where the cursor stands.
    pub fn draw(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Option<Position> {
        let area = area.intersection(buffer.area);
        Clear.render(area, buffer);
        buffer.set_style(area, theme.style(Role::Base));
        if area.width < 12 || area.height < 3 {
            let words = text::clip("too small for the setup", usize::from(area.width), theme.more()).into_owned();
            Line::from(words).render(area, buffer);
            return None;
        }
        let area = self.frame(theme, area, buffer);
        let mut pen = Pen { theme, buffer, area, y: area.y };
        let room = Room::of(area.height);
        if room == Room::One {
            return self.one(&mut pen);
        }
        if matches!(room, Room::Ample | Room::Usual) {
            let folder = self.folder.to_string_lossy();
            let intro =
                format!("There is no config.toml in {} yet. These five lines make one;", text::harmless(&folder));
            pen.text(0, &intro, theme.style(Role::Dim));
            pen.text(
                0,
                "every other setting has a default. Nothing is written before the last line.",
                theme.style(Role::Dim),
            );
            pen.y += 1;
        }
        let mut cursor = None;
        for name in Name::ALL {
            let is_focused = self.focused() == Some(name);
            let at = self.line(&mut pen, name, is_focused);
            cursor = cursor.or(at.filter(|_| is_focused));
            // What is said of a line goes before what is always said of it, where it needs the room of both.
            let rest = match room {
                Room::Lines => None,
                Room::Ample | Room::Usual if self.offered.is_empty() || !is_focused => {
                    self.verdict_lines(&mut pen, name)
                }
                _ => {
                    self.verdict_line(&mut pen, name);
                    None
                }
            };
            match (room, rest) {
                (Room::Ample | Room::Usual, Some((words, style))) => {
                    pen.text(pen.indent() + 2, &words, style);
                    pen.y += u16::from(room == Room::Ample);
                }
                (Room::Ample, None) => {
                    self.explain(&mut pen, name, is_focused);
                    pen.y += 1;
                }
                (Room::Usual, None) if is_focused => self.explain(&mut pen, name, true),
                (Room::Usual, None) => pen.y += 1,
                _ => {}
            }
        }
        self.button(&mut pen);
        match (self.focused(), room) {
            _ if self.notice != Notice::None => self.news(&mut pen),
            (Some(name), Room::Tight) => self.explain(&mut pen, name, true),
            (Some(name), Room::Lines) if self.offered.is_empty() => self.verdict_line(&mut pen, name),
            (Some(name), Room::Lines) => self.explain(&mut pen, name, true),
            _ => {}
        }
        cursor
    }

    /// Lines around, title and keys; gives what is left inside.
    fn frame(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Rect {
        let width = area.width.min(WIDEST);
        let area = Rect { x: area.x + (area.width - width) / 2, width, ..area };
        let block =
            Block::new().borders(Borders::ALL).border_set(theme.border()).border_style(theme.style(Role::Focus));
        block.render(area, buffer);
        let room = usize::from(area.width - 2);
        let title = text::clip(" reeldeck: first start ", room, theme.more()).into_owned();
        buffer.set_string(area.x + 1, area.y, title, theme.style(Role::Title));
        let (mut spans, mut taken) = (vec![], 0);
        // As many as fit, the first ones first.
        for (line, keys) in self.keymap.footer(Context::Form) {
            let key = keys.to_string();
            let wide = text::width(&key) + line.short.len() + 3;
            if taken + wide <= room {
                spans.push(Span::styled(format!(" {key} "), theme.style(Role::Key)));
                spans.push(Span::raw(format!("{} ", line.short)));
                taken += wide;
            }
        }
        buffer.set_line(area.x + 1, area.bottom() - 1, &Line::from(spans), area.width - 2);
        area.inner(Margin::new(if area.width > 60 { 2 } else { 1 }, 1))
    }

    /// The line in hand, and nothing else.
    fn one(&self, pen: &mut Pen<'_>) -> Option<Position> {
        let Some(name) = self.focused() else {
            self.button(pen);
            self.news(pen);
            return None;
        };
        let cursor = self.line(pen, name, true);
        match (&self.notice, self.offered.is_empty()) {
            (Notice::None, true) => self.verdict_line(pen, name),
            (Notice::None, false) => self.explain(pen, name, true),
            _ => self.news(pen),
        }
        cursor
    }

    fn line(&self, pen: &mut Pen<'_>, name: Name, is_focused: bool) -> Option<Position> {
        let (theme, y) = (pen.theme, pen.y);
        let indent = pen.label_width();
        let pointer = match (is_focused, theme.is_ascii()) {
            (true, false) => "▸ ",
            (true, true) => "> ",
            _ => "  ",
        };
        let words = if pen.is_narrow() { name.short() } else { name.label() };
        let label = text::left(&format!("{pointer}{words}"), indent, theme.more());
        let label_style = theme.style(if is_focused { Role::Focus } else { Role::Title });
        pen.put(0, &label, label_style);
        let room = usize::from(pen.area.width).saturating_sub(indent);
        let (seen, column) = self.field(name).input.seen(room);
        let style = if is_focused { theme.style(Role::Match) } else { theme.style(Role::Base) };
        let seen = if is_focused { text::left(&seen, room, "") } else { seen };
        pen.put(indent, &seen, style);
        pen.y += 1;
        (y < pen.area.bottom() && room > 0).then(|| Position::new(pen.area.x + (indent + column) as u16, y))
    }

    fn verdict_line(&self, pen: &mut Pen<'_>, name: Name) {
        let (words, style) = self.said_of(pen.theme, name);
        pen.text(pen.indent(), &words, style);
    }

    /// As much of it as a line takes; gives the rest.
    fn verdict_lines(&self, pen: &mut Pen<'_>, name: Name) -> Option<(String, Style)> {
        let (words, style) = self.said_of(pen.theme, name);
        // The second line begins where the words of the first do, after the glyph.
        let room = usize::from(pen.area.width).saturating_sub(pen.indent() + 2);
        let glyph = words.chars().take(2).collect::<String>();
        let said = words.strip_prefix(&glyph).unwrap_or_default();
        let mut lines = text::wrap(said, room.max(1)).into_iter();
        let first = lines.next().unwrap_or_default();
        pen.text(pen.indent(), &format!("{glyph}{first}"), style);
        let rest: Vec<String> = lines.collect();
        (!rest.is_empty()).then(|| (rest.join(" "), style))
    }

    /// What a check says of a line.
    fn said_of(&self, theme: &Theme, name: Name) -> (String, Style) {
        let field = self.field(name);
        let look = |state: RowState, role: Role| (theme.state(state).glyph, theme.style(role));
        let ((glyph, style), words) = match &field.verdict {
            None => ((theme.state(RowState::Unchecked).glyph, theme.style(Role::Dim)), "being looked at"),
            Some(Verdict::Fine(words)) => (look(RowState::Done, Role::Good), words.as_str()),
            Some(Verdict::Warn(words)) => (look(RowState::Corrupt, Role::Warn), words.as_str()),
            Some(Verdict::Wrong(words)) => (look(RowState::Failed, Role::Error), words.as_str()),
        };
        // What is said of an earlier text fades until the new one is looked at.
        let style = if field.is_asked { theme.style(Role::Dim) } else { style };
        (format!("{glyph} {}", text::harmless(words)), style)
    }

    /// What a line is; what it may become, where that was asked for.
    fn explain(&self, pen: &mut Pen<'_>, name: Name, is_focused: bool) {
        if self.offered.is_empty() || !is_focused {
            return pen.text(pen.indent(), name.help(), pen.theme.style(Role::Dim));
        }
        let names: Vec<_> = self.offered.iter().map(|name| text::harmless(name)).collect();
        pen.text(pen.indent(), &names.join("  "), pen.theme.style(Role::Mark));
    }

    fn button(&self, pen: &mut Pen<'_>) {
        let is_focused = self.focused().is_none();
        let words = if self.is_writing { " writing config.toml " } else { " write config.toml and go on " };
        let style = match is_focused {
            true => pen.theme.style(Role::Selection).patch(pen.theme.style(Role::Key)),
            false => pen.theme.style(Role::Base),
        };
        let brackets = if is_focused { format!("[{}]", words.trim()) } else { words.to_owned() };
        let words = if is_focused { format!(" {brackets} ") } else { format!("  {}", words.trim()) };
        pen.text(0, &words, style);
    }

    /// What has happened.
    fn news(&self, pen: &mut Pen<'_>) {
        match &self.notice {
            Notice::Hint(words) => pen.text(0, &text::harmless(words), pen.theme.style(Role::Dim)),
            Notice::Problem(words) => pen.text(0, &text::harmless(words), pen.theme.style(Role::Error)),
            Notice::None => {}
        }
    }
}

/// Writes line after line, and nothing beyond its area.
struct Pen<'a> {
    theme: &'a Theme,
    buffer: &'a mut Buffer,
    area: Rect,
    y: u16,
}

impl Pen<'_> {
    fn is_narrow(&self) -> bool {
        self.area.width < 50
    }

    /// Columns before what is typed.
    fn label_width(&self) -> usize {
        if self.is_narrow() { SHORT.min(usize::from(self.area.width) / 2) } else { LABELS }
    }

    /// Columns before what belongs to a line.
    fn indent(&self) -> usize {
        if self.is_narrow() { 2 } else { LABELS }
    }

    fn put(&mut self, x: usize, words: &str, style: Style) {
        let room = usize::from(self.area.width).saturating_sub(x);
        if self.y < self.area.bottom() && room > 0 {
            let words = text::clip(words, room, self.theme.more());
            self.buffer.set_stringn(self.area.x + x as u16, self.y, words, room, style);
        }
    }

    /// A line of its own.
    fn text(&mut self, x: usize, words: &str, style: Style) {
        self.put(x, words, style);
        self.y += 1;
    }
}
