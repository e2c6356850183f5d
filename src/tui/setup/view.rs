//! Draws the form: everything if there is room, down to the focused field alone.

use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::{Field, Notice, Setup, Verdict};
use crate::protocol::row::{Finding, RowState};
use crate::tui::action::Action;
use crate::tui::keymap::{Binding, Context};
use crate::tui::keys::Keys;
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

const LABEL_WIDTH: usize = 17;

/// The same in a narrow terminal.
const NARROW_LABEL_WIDTH: usize = 13;

/// The columns for where a value comes from.
const ORIGIN_WIDTH: usize = 13;

/// Wider lines are harder to read.
const MAX_WIDTH: u16 = 110;

/// How much of the form is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Density {
    /// Everything, with the explanation of every field.
    Full,
    /// The explanation of the focused field, in the gap below it.
    Normal,
    /// No gaps; the explanation is in the last line.
    Compact,
    /// The fields only; the verdict on the focused one is in the last line.
    Fields,
    /// The focused field only.
    OneField,
}

impl Density {
    /// The most that fits with so many fields: besides them, the introduction with its gap, the button and a message.
    fn of(height: u16, fields: usize) -> Self {
        let height = usize::from(height);
        match () {
            () if height >= 4 * fields + 5 => Self::Full,
            () if height >= 3 * fields + 5 => Self::Normal,
            () if height >= 2 * fields + 2 => Self::Compact,
            () if height >= fields + 2 => Self::Fields,
            () => Self::OneField,
        }
    }
}

impl Setup {
    /// `run_is_active`: new settings wait for the end of the run. Returns the position of the cursor.
    pub(crate) fn draw(&self, theme: &Theme, run_is_active: bool, area: Rect, buffer: &mut Buffer) -> Option<Position> {
        let cursor = self.draw_fields(theme, run_is_active, area, buffer);
        self.draw_keys(theme, area.intersection(buffer.area), buffer);
        cursor.filter(|_| !self.shows_keys)
    }

    fn draw_fields(&self, theme: &Theme, run_is_active: bool, area: Rect, buffer: &mut Buffer) -> Option<Position> {
        let area = area.intersection(buffer.area);
        Clear.render(area, buffer);
        buffer.set_style(area, theme.style(Role::Base));
        if area.width < 12 || area.height < 3 {
            let words =
                text::truncate("too small for the form", usize::from(area.width), theme.ellipsis()).into_owned();
            Line::from(words).render(area, buffer);
            return None;
        }
        let area = self.frame(theme, area, buffer);
        let mut writer = LineWriter { theme, buffer, area, y: area.y };
        let room = Density::of(area.height, self.shown().len());
        if room == Density::OneField {
            return self.one_field(&mut writer);
        }
        if matches!(room, Density::Full | Density::Normal) {
            for line in self.introduction(run_is_active) {
                writer.text(0, &line, theme.style(Role::Dim));
            }
            writer.y += 1;
        }
        let mut cursor = None;
        for &name in self.shown() {
            let is_focused = self.focused() == Some(name);
            let at = self.line(&mut writer, name, is_focused);
            cursor = cursor.or(at.filter(|_| is_focused));
            // If the room suffices for one of the two, the verdict goes before the explanation.
            let noticed = is_focused && matches!(self.notice, Notice::OfField(_));
            // What the engine uses is nowhere else.
            let is_wrong = matches!(self.state(name).verdict, Some(Verdict::Wrong(_)));
            let differs = !is_wrong && self.other_in_use(name).is_some();
            let rest = match room {
                Density::Fields => None,
                _ if noticed || differs => {
                    self.verdict_line(&mut writer, name);
                    None
                }
                Density::Full | Density::Normal if self.suggestions.is_empty() || !is_focused => {
                    self.verdict_lines(&mut writer, name)
                }
                _ => {
                    self.verdict_line(&mut writer, name);
                    None
                }
            };
            match (room, rest) {
                (Density::Full | Density::Normal, Some((words, style))) => {
                    writer.text(writer.indent() + 2, &words, style);
                    // It takes the line of the message.
                    if is_focused && self.notice == Notice::None {
                        self.explain(&mut writer, name, true);
                    }
                    writer.y += u16::from(room == Density::Full);
                }
                (Density::Full, None) => {
                    self.explain(&mut writer, name, is_focused);
                    writer.y += 1;
                }
                (Density::Normal, None) if is_focused || differs => self.explain(&mut writer, name, is_focused),
                (Density::Normal, None) => writer.y += 1,
                _ => {}
            }
        }
        self.button(&mut writer);
        let is_shown = matches!(self.notice, Notice::OfField(_)) && matches!(room, Density::Full | Density::Normal);
        match (self.focused(), room) {
            _ if is_shown => {}
            _ if self.notice != Notice::None => self.notice_line(&mut writer),
            (Some(name), Density::Compact) => self.explain(&mut writer, name, true),
            (Some(name), Density::Fields) if self.suggestions.is_empty() => self.verdict_line(&mut writer, name),
            (Some(name), Density::Fields) => self.explain(&mut writer, name, true),
            _ => {}
        }
        cursor
    }

    fn introduction(&self, run_is_active: bool) -> [String; 2] {
        if self.is_of_settings() {
            let effect = match run_is_active {
                true => "A run is active. What you change takes effect with the next run.",
                false => "No run is active. What you change takes effect at once.",
            };
            let file = self.file.to_string_lossy();
            return [format!("The settings of {}", text::sanitized(&file)), effect.into()];
        }
        let folder = self.folder.to_string_lossy();
        let fields = if self.asks_layout() { "six" } else { "five" };
        [
            format!("No config.toml in {} yet. These {fields} fields create one;", text::sanitized(&folder)),
            "every other setting has a default. The file is written when you save.".into(),
        ]
    }

    /// Draws border, title and keys. Returns the inner area.
    fn frame(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) -> Rect {
        let width = area.width.min(MAX_WIDTH);
        let area = Rect { x: area.x + (area.width - width) / 2, width, ..area };
        let block =
            Block::new().borders(Borders::ALL).border_set(theme.border()).border_style(theme.style(Role::Focus));
        block.render(area, buffer);
        let room = usize::from(area.width - 2);
        let title = if self.is_of_settings() { " Settings " } else { " reeldeck: first start " };
        let title = text::truncate(title, room, theme.ellipsis()).into_owned();
        buffer.set_string(area.x + 1, area.y, title, theme.style(Role::Title));
        let (mut spans, mut taken) = (vec![], 0);
        // As many as fit, in order of importance.
        let is_last = self.focused().is_none();
        let offer = |(line, keys): (&Binding, &Keys)| {
            let short = match line.action {
                Action::Confirm if is_last => "save",
                Action::Leave if !self.suggestions.is_empty() => "hide the list",
                Action::Leave if self.is_of_settings() => "close",
                _ => line.short,
            };
            (keys.to_string(), short)
        };
        // Elsewhere the key moves on.
        let completes = !matches!(self.focused(), None | Some(Field::Devices | Field::Layout));
        let bindings = self.keymap.footer(Context::Form).into_iter();
        let bindings = bindings.filter(|(line, _)| completes || line.action != Action::Complete);
        let mut offers: Vec<(String, &str)> = bindings.map(offer).collect();
        // Keys of every text field, which cannot be changed.
        let is_selected = self.focused().is_some_and(|field| self.state(field).input.is_selected());
        let editing = if is_selected { ("right", "edit") } else { ("ctrl-u", "clear") };
        if !is_last {
            offers.insert(offers.len().saturating_sub(1), (editing.0.into(), editing.1));
        }
        for (key, short) in offers {
            let wide = text::width(&key) + short.len() + 3;
            if taken + wide <= room {
                spans.push(Span::styled(format!(" {key} "), theme.style(Role::Key)));
                spans.push(Span::raw(format!("{short} ")));
                taken += wide;
            }
        }
        buffer.set_line(area.x + 1, area.bottom() - 1, &Line::from(spans), area.width - 2);
        area.inner(Margin::new(if area.width > 60 { 2 } else { 1 }, 1))
    }

    fn one_field(&self, writer: &mut LineWriter<'_>) -> Option<Position> {
        let Some(name) = self.focused() else {
            self.button(writer);
            self.notice_line(writer);
            return None;
        };
        let cursor = self.line(writer, name, true);
        match (&self.notice, self.suggestions.is_empty()) {
            (Notice::None, true) => self.verdict_line(writer, name),
            (Notice::None, false) => self.explain(writer, name, true),
            _ => self.notice_line(writer),
        }
        cursor
    }

    fn line(&self, writer: &mut LineWriter<'_>, name: Field, is_focused: bool) -> Option<Position> {
        let (theme, y) = (writer.theme, writer.y);
        let indent = writer.label_width();
        let pointer = if is_focused { theme.pointer() } else { " " };
        let words = if writer.is_narrow() { name.short() } else { name.label() };
        let label = text::align_left(&format!("{pointer} {words}"), indent, theme.ellipsis());
        let label_style = theme.style(if is_focused { Role::Focus } else { Role::Title });
        writer.put(0, &label, label_style);
        let room = usize::from(writer.area.width).saturating_sub(indent);
        let state = self.state(name);
        let room = match &state.in_force {
            Some((_, origin)) if !writer.is_narrow() => {
                let (word, role) =
                    if state.is_changed() { ("changed", Role::Mark) } else { (origin.word(), Role::Dim) };
                let word = text::align_right(word, ORIGIN_WIDTH, theme.ellipsis());
                writer.put(indent + room - ORIGIN_WIDTH, &word, theme.style(role));
                room - ORIGIN_WIDTH
            }
            _ => room,
        };
        let input = &state.input;
        let (visible, column) = input.visible(room);
        if is_focused {
            writer.put(indent, &text::align_left(&visible, room, ""), theme.style(Role::Match));
        }
        let style = match (is_focused, input.is_selected()) {
            (true, true) => theme.style(Role::Selection),
            (true, false) => theme.style(Role::Match),
            (false, _) => theme.style(Role::Base),
        };
        writer.put(indent, &visible, style);
        writer.y += 1;
        (y < writer.area.bottom() && room > 0).then(|| Position::new(writer.area.x + (indent + column) as u16, y))
    }

    fn verdict_line(&self, writer: &mut LineWriter<'_>, name: Field) {
        let (words, style) = self.verdict_text(writer.theme, name);
        writer.text(writer.indent(), &words, style);
    }

    /// Draws the first line of the verdict and returns the rest.
    fn verdict_lines(&self, writer: &mut LineWriter<'_>, name: Field) -> Option<(String, Style)> {
        let (words, style) = self.verdict_text(writer.theme, name);
        // Continuation lines are aligned with the text after the glyph.
        let room = usize::from(writer.area.width).saturating_sub(writer.indent() + 2);
        let glyph = words.chars().take(2).collect::<String>();
        let text = words.strip_prefix(&glyph).unwrap_or_default();
        let mut lines = text::wrap(text, room.max(1)).into_iter();
        let first = lines.next().unwrap_or_default();
        writer.text(writer.indent(), &format!("{glyph}{first}"), style);
        let rest: Vec<String> = lines.collect();
        (!rest.is_empty()).then(|| (rest.join(" "), style))
    }

    fn verdict_text(&self, theme: &Theme, name: Field) -> (String, Style) {
        let state = self.state(name);
        let glyph_and_style = |state: RowState, role: Role| (theme.state(state).glyph, theme.style(role));
        let ((glyph, style), words) = match &state.verdict {
            None => ((theme.finding(Finding::Unchecked).glyph, theme.style(Role::Dim)), "checking …"),
            Some(Verdict::Fine(words)) => (glyph_and_style(RowState::Done, Role::Good), words.as_str()),
            Some(Verdict::Warn(words) | Verdict::Unclear(words)) => {
                ((theme.finding(Finding::Corrupt).glyph, theme.style(Role::Warn)), words.as_str())
            }
            Some(Verdict::Wrong(words)) => (glyph_and_style(RowState::Failed, Role::Error), words.as_str()),
        };
        // The verdict on an older text is dim until the new text has been checked.
        let style = if state.is_checking { theme.style(Role::Dim) } else { style };
        (format!("{glyph} {}", text::sanitized(words)), style)
    }

    /// Draws the suggestions of the focused field if there are any, else the field's explanation.
    fn explain(&self, writer: &mut LineWriter<'_>, name: Field, is_focused: bool) {
        if let Notice::OfField(words) = &self.notice
            && is_focused
        {
            return writer.text(writer.indent(), &text::sanitized(words), writer.theme.style(Role::Warn));
        }
        if (self.suggestions.is_empty() || !is_focused)
            && let Some(used) = self.other_in_use(name)
        {
            let words = format!("in use: {}", text::sanitized(&used));
            return writer.text(writer.indent() + 2, &words, writer.theme.style(Role::Mark));
        }
        if self.suggestions.is_empty() || !is_focused {
            return writer.text(writer.indent(), name.help(), writer.theme.style(Role::Dim));
        }
        let names: Vec<_> = self.suggestions.iter().map(|name| text::sanitized(name)).collect();
        writer.text(writer.indent(), &names.join("  "), writer.theme.style(Role::Mark));
    }

    fn button(&self, writer: &mut LineWriter<'_>) {
        let is_focused = self.focused().is_none();
        let words = match (self.is_writing, self.is_of_settings()) {
            (true, _) => " saving config.toml ",
            (false, true) => " save config.toml ",
            (false, false) => " save config.toml and continue ",
        };
        let style = match is_focused {
            true => writer.theme.style(Role::Selection).patch(writer.theme.style(Role::Key)),
            false => writer.theme.style(Role::Base),
        };
        let brackets = if is_focused { format!("[{}]", words.trim()) } else { words.to_owned() };
        let words = if is_focused { format!(" {brackets} ") } else { format!("  {}", words.trim()) };
        writer.text(0, &words, style);
    }

    fn notice_line(&self, writer: &mut LineWriter<'_>) {
        match &self.notice {
            Notice::Hint(words) | Notice::OfField(words) => {
                writer.text(0, &text::sanitized(words), writer.theme.style(Role::Dim))
            }
            Notice::Problem(words) => writer.text(0, &text::sanitized(words), writer.theme.style(Role::Error)),
            Notice::None => {}
        }
    }
}

/// Writes line after line within its area.
struct LineWriter<'a> {
    theme: &'a Theme,
    buffer: &'a mut Buffer,
    area: Rect,
    y: u16,
}

impl LineWriter<'_> {
    fn is_narrow(&self) -> bool {
        self.area.width < 50
    }

    /// Columns before the input.
    fn label_width(&self) -> usize {
        if self.is_narrow() { NARROW_LABEL_WIDTH.min(usize::from(self.area.width) / 2) } else { LABEL_WIDTH }
    }

    /// Columns before the lines below a field.
    fn indent(&self) -> usize {
        if self.is_narrow() { 2 } else { LABEL_WIDTH }
    }

    fn put(&mut self, x: usize, words: &str, style: Style) {
        let room = usize::from(self.area.width).saturating_sub(x);
        if self.y < self.area.bottom() && room > 0 {
            let words = text::truncate(words, room, self.theme.ellipsis());
            self.buffer.set_stringn(self.area.x + x as u16, self.y, words, room, style);
        }
    }

    fn text(&mut self, x: usize, words: &str, style: Style) {
        self.put(x, words, style);
        self.y += 1;
    }
}
