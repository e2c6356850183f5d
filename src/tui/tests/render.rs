//! Renders buffers as text for snapshots.

use std::fmt::Write;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use crate::tui::theme::{Role, Theme};

/// Draws on an empty screen.
pub(crate) fn screen(theme: &Theme, width: u16, height: u16, draw: impl FnOnce(Rect, &mut Buffer)) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    buffer.set_style(area, theme.style(Role::Base));
    draw(area, &mut buffer);
    theme.downgrade(&mut buffer);
    buffer
}

/// One line per row, without trailing spaces.
pub(crate) fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width.max(1))) {
        let mut line = String::new();
        let mut covered = 0;
        for cell in row {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            covered = cell.symbol().width().saturating_sub(1);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The text, followed by the styles of its runs.
pub(crate) fn styled(buffer: &Buffer) -> String {
    let mut out = text(buffer);
    for (y, row) in buffer.content.chunks(usize::from(buffer.area.width.max(1))).enumerate() {
        let mut from = 0;
        for run in row.chunk_by(|a, b| (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)) {
            let (first, to) = (&run[0], from + run.len());
            if (first.fg, first.bg, first.modifier) != (Color::Reset, Color::Reset, Modifier::empty()) {
                let words: String = run.iter().map(|cell| cell.symbol()).collect();
                let _ = writeln!(
                    out,
                    "{y}:{from}-{to} {:?} on {:?} {:?} {:?}",
                    first.fg,
                    first.bg,
                    first.modifier,
                    words.trim()
                );
            }
            from = to;
        }
    }
    out
}
