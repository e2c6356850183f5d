//! The pane of throughput over time, with the stage that limits it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::{line, pane};
use crate::protocol::snapshot::{Bound, Phase};
use crate::tui::app::App;
use crate::tui::gauge;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let snapshot = app.snapshot();
    let stages = snapshot.and_then(|snapshot| snapshot.stages);
    let bound = stages.map(|stages| match stages.bound {
        Bound::Decode => "decode-bound",
        Bound::Model => "model-bound",
        Bound::Disk => "disk-bound",
    });
    let title = vec![Span::styled("Throughput ", theme.style(Role::Title))];
    let right = bound.map(|bound| Span::styled(format!(" {bound} "), theme.style(Role::Warn))).into_iter().collect();
    let inner = pane(app, Pane::Throughput, title, right, area, buffer);
    let room = usize::from(inner.width);
    if inner.height == 0 {
        return;
    }
    let running = app.phase() == Some(Phase::Running);
    let rate = snapshot.filter(|_| running).and_then(|snapshot| snapshot.clips_per_s);
    let videos = snapshot.filter(|_| running).and_then(|snapshot| snapshot.videos_per_s);
    let mut first = text::rate(rate, "clips");
    if let Some(videos) = videos {
        first = format!("{first}{}{}", theme.separator(), text::rate(Some(videos), "videos"));
    }
    line(buffer, inner.x, inner.y, room, vec![Span::styled(first, theme.style(Role::Base))], theme);
    let mut used = 1;
    if let Some(stages) = stages.filter(|_| inner.height >= 3) {
        let percent = |share: f32| text::percent(Some(f64::from(share) * 100.0));
        let dot = theme.separator();
        let text = format!(
            "decode {}{dot}model {}{dot}write {}",
            percent(stages.decode),
            percent(stages.model),
            percent(stages.write)
        );
        line(buffer, inner.x, inner.y + 1, room, vec![Span::styled(text, theme.style(Role::Dim))], theme);
        used += 1;
    }
    let values = &app.history.clips_per_s;
    let axis = u16::from(inner.height >= used + 3 && !values.is_empty());
    let height = inner.height.saturating_sub(used + axis);
    let shown = values.get(values.len().saturating_sub(room)..).unwrap_or_default();
    for (row, text) in gauge::chart(shown, room, height.into(), 0.0, theme.is_ascii()).into_iter().enumerate() {
        buffer.set_string(inner.x, inner.y + used + row as u16, text, theme.style(Role::Chart));
    }
    if axis > 0 {
        let from = format!("{} ago", text::duration((shown.len() as f32 * app.history.every_s).into()));
        let y = inner.bottom() - 1;
        line(buffer, inner.x, y, room, vec![Span::styled(from, theme.style(Role::Dim))], theme);
        let now = "now";
        if room > 24 {
            buffer.set_string(inner.right() - now.len() as u16, y, now, theme.style(Role::Dim));
        }
    }
}
