//! A page of labelled lines that is written from top to bottom and then shown in part.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Columns of the labels at the left, where there is room for them.
const LABELS: usize = 10;

/// From this width on labels stand at the left; below it, above what they are labels of.
const ROOMY: usize = 46;

/// Lines of a fixed width.
pub(super) struct Page {
    pub theme: Theme,
    pub lines: Vec<Line<'static>>,
    /// The first line and the number of lines that are left free for a picture in pixels.
    pub picture: Option<(usize, usize)>,
    width: usize,
}

impl Page {
    pub fn new(theme: Theme, width: usize) -> Self {
        Self { theme, lines: vec![], picture: None, width }
    }

    /// Columns before the text of a line.
    pub fn indent(&self) -> usize {
        if self.width >= ROOMY { LABELS } else { 0 }
    }

    /// Columns of a line's text.
    pub fn room(&self) -> usize {
        self.width - self.indent()
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.lines.push(Line::default());
    }

    /// One line as it is.
    pub fn line(&mut self, label: &str, spans: Vec<Span<'static>>) {
        let styled = |label: String| Span::styled(label, self.theme.style(Role::Dim));
        let mut all = vec![];
        if self.indent() > 0 {
            all.push(styled(text::align_left(label, LABELS, " ")));
        } else if !label.is_empty() {
            let above = Line::from(styled(text::truncate(label, self.width, "").into_owned()));
            self.lines.push(above);
        }
        all.extend(spans);
        self.lines.push(Line::from(all));
    }

    /// A text of any length, made sanitized, in as many lines as it takes.
    pub fn text(&mut self, label: &str, what: &str, role: Role) {
        self.text_styled(label, what, self.theme.style(role));
    }

    /// The same in any style.
    pub fn text_styled(&mut self, label: &str, what: &str, style: Style) {
        self.under(label, "", what, style);
    }

    /// A text of any length after `head`, which stays alone at the left.
    pub fn under(&mut self, label: &str, head: &str, what: &str, style: Style) {
        let hang = text::width(head).min(self.room().saturating_sub(8));
        let sanitized = text::sanitized(what);
        for (at, line) in text::wrap(&sanitized, self.room() - hang).into_iter().enumerate() {
            let (label, head) = if at == 0 { (label, head) } else { ("", "") };
            let head = text::align_left(head, hang, "");
            self.line(label, vec![Span::styled(head, self.theme.style(Role::Dim)), Span::styled(line, style)]);
        }
    }

    /// Short pieces side by side, as many a line as fit; one too long for a line is broken.
    pub fn pieces(&mut self, label: &str, pieces: impl IntoIterator<Item = (String, Style)>) {
        const BETWEEN: usize = 3;
        let (room, mut label) = (self.room(), label);
        let (mut spans, mut taken) = (vec![], 0);
        for (what, style) in pieces {
            for (at, part) in text::wrap(&text::sanitized(&what), room).into_iter().enumerate() {
                let wide = text::width(&part);
                let between = if taken == 0 { 0 } else { BETWEEN };
                if at > 0 || taken + between + wide > room {
                    if taken > 0 {
                        self.line(label, std::mem::take(&mut spans));
                        label = "";
                    }
                    taken = 0;
                } else if between > 0 {
                    spans.push(Span::raw(" ".repeat(between)));
                    taken += between;
                }
                spans.push(Span::styled(part, style));
                taken += wide;
            }
        }
        if taken > 0 {
            self.line(label, spans);
        }
    }
}
