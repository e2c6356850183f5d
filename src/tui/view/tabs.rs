//! The names and numbers of the panes, in the lower border of a pane that is shown alone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::theme::Role;

/// The label of each pane with its column. Only numbers if there is no room for names.
fn labels(area: Rect) -> Vec<(Pane, u16, String)> {
    let room = usize::from(area.width.saturating_sub(4));
    let long: Vec<String> = Pane::ALL.iter().map(|pane| format!(" {} {} ", pane.number(), pane.title())).collect();
    let fits = long.iter().map(|label| text::width(label)).sum::<usize>() <= room;
    let mut x = area.x + 2;
    let place = |(pane, long): (Pane, String)| {
        let label = if fits { long } else { format!(" {} ", pane.number()) };
        let at = x;
        x += text::width(&label) as u16;
        (pane, at, label)
    };
    Pane::ALL.into_iter().zip(long).map(place).collect()
}

/// The columns up to the end of the last label.
pub(super) fn width(area: Rect) -> u16 {
    labels(area).last().map_or(0, |(_, x, label)| x + text::width(label) as u16 - area.x)
}

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    for (pane, x, label) in labels(area) {
        let role = if pane == app.focus { Role::Focus } else { Role::Dim };
        buffer.set_string(x, area.bottom() - 1, label, theme.style(role));
    }
}

/// The pane whose label is at this column of the lower border.
pub(crate) fn at(area: Rect, column: u16) -> Option<Pane> {
    let found = labels(area).into_iter().find(|(_, x, label)| (*x..*x + text::width(label) as u16).contains(&column));
    found.map(|(pane, ..)| pane)
}
