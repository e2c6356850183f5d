//! Which lines the toasts take.

use crate::protocol::words::Level;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::toast::Toast;

/// Longer messages are cut: the log has all of them.
const MAX_LINES: usize = 8;

/// The columns beside a text: the bar, the sign, a space, and one at the right.
pub(super) const FRAME: usize = 5;

/// A message, or a line of a long one.
pub(super) struct Words {
    pub text: String,
    pub level: Level,
    /// The message begins here.
    pub is_first: bool,
}

/// The columns that a line takes.
pub(super) fn width(line: &[Words]) -> u16 {
    line.iter().map(|words| (text::width(&words.text) + FRAME) as u16).sum()
}

/// The lines from top to bottom in a pane of this width, each from right to left. Problems come first, and then the newest
/// messages. Short messages share a line.
pub(super) fn arranged(app: &App, width: u16) -> Vec<Vec<Words>> {
    let room = usize::from(width).saturating_sub(FRAME + 2).max(1);
    let (problems, others): (Vec<&Toast>, Vec<&Toast>) =
        app.toasts.shown().iter().rev().partition(|toast| toast.level == Level::Problem);
    let mut lines: Vec<Vec<Words>> = vec![];
    let mut left = 0;
    for toast in problems.into_iter().chain(others) {
        let counted = if toast.count > 1 { format!(" (and {} more)", toast.count - 1) } else { String::new() };
        let text = format!("{}{counted}", text::sanitized(&toast.text));
        let wide = text::width(&text);
        if let Some(line) = lines.last_mut().filter(|_| wide + FRAME <= left) {
            left -= wide + FRAME;
            line.push(Words { text, level: toast.level, is_first: true });
            continue;
        }
        let wrapped = text::wrap(&text, room);
        // The lines of a long message are aligned.
        let widest =
            if wrapped.len() > 1 { wrapped.iter().map(|line| text::width(line)).max().unwrap_or(0) } else { wide };
        left = if wrapped.len() > 1 { 0 } else { room.saturating_sub(wide) };
        lines.extend(wrapped.iter().enumerate().map(|(number, words)| {
            vec![Words { text: text::align_left(words, widest, ""), level: toast.level, is_first: number == 0 }]
        }));
    }
    lines.truncate(MAX_LINES);
    lines
}
