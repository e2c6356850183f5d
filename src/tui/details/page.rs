//! Builds a page of labelled lines from top to bottom.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Columns for labels.
const LABEL_WIDTH: usize = 10;

/// From this width on labels are at the left, below it they are above their lines.
const MIN_WIDTH_FOR_LABELS: usize = 46;

pub(super) struct Page {
    pub theme: Theme,
    pub lines: Vec<Line<'static>>,
    /// The first line and the number of lines that are left blank for a picture in pixels.
    pub picture: Option<(usize, usize)>,
    width: usize,
}

impl Page {
    pub(super) fn new(theme: Theme, width: usize) -> Self {
        Self { theme, lines: vec![], picture: None, width }
    }

    /// Columns before the text of a line.
    pub(super) fn indent(&self) -> usize {
        if self.width >= MIN_WIDTH_FOR_LABELS { LABEL_WIDTH } else { 0 }
    }

    /// Columns for the text of a line.
    pub(super) fn room(&self) -> usize {
        self.width - self.indent()
    }

    /// The lines without their styles.
    pub(super) fn text_only(&self) -> String {
        let line = |line: &Line<'_>| line.spans.iter().map(|span| span.content.as_ref()).collect::<String>();
        self.lines.iter().map(|spans| format!("{}\n", line(spans).trim_end())).collect()
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.lines.push(Line::default());
    }

    pub(super) fn line(&mut self, label: &str, spans: Vec<Span<'static>>) {
        let styled = |label: String| Span::styled(label, self.theme.style(Role::Dim));
        let mut all = vec![];
        if self.indent() > 0 {
            all.push(styled(text::align_left(label, LABEL_WIDTH, " ")));
        } else if !label.is_empty() {
            let above = Line::from(styled(text::truncate(label, self.width, "").into_owned()));
            self.lines.push(above);
        }
        all.extend(spans);
        self.lines.push(Line::from(all));
    }

    /// Sanitizes and wraps a text.
    pub(super) fn text(&mut self, label: &str, what: &str, role: Role) {
        self.text_styled(label, what, self.theme.style(role));
    }

    pub(super) fn text_styled(&mut self, label: &str, what: &str, style: Style) {
        self.hanging(label, "", what, style);
    }

    /// Wraps a text after `head`, with a hanging indent.
    pub(super) fn hanging(&mut self, label: &str, head: &str, what: &str, style: Style) {
        let hang = text::width(head).min(self.room().saturating_sub(8));
        let sanitized = text::sanitized(what);
        for (at, line) in text::wrap(&sanitized, self.room() - hang).into_iter().enumerate() {
            let (label, head) = if at == 0 { (label, head) } else { ("", "") };
            let head = text::align_left(head, hang, "");
            self.line(label, vec![Span::styled(head, self.theme.style(Role::Dim)), Span::styled(line, style)]);
        }
    }

    /// Puts short pieces side by side, as many as fit into a line.
    pub(super) fn pieces(&mut self, label: &str, pieces: impl IntoIterator<Item = (String, Style)>) {
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
