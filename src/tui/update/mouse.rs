//! Handles the mouse, if it is enabled: clicks move the cursor, sort by a column and press keys of the footer; the wheel
//! scrolls.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, act, videos};
use crate::protocol::row::Sort;
use crate::tui::action::Action;
use crate::tui::app::{App, Dirty};
use crate::tui::modal::Modal;
use crate::tui::pane::Pane;
use crate::tui::view::{footer, layout, tabs, videos as videos_view};

/// Rows per notch of the wheel.
const NOTCH: isize = 3;

pub(super) fn mouse(app: &mut App, event: MouseEvent, effects: &mut Vec<Effect>) {
    let click = event.kind == MouseEventKind::Down(MouseButton::Left);
    // The card at the end of a run is closed by anything.
    if click && matches!(app.modals.last(), Some(Modal::RunEnd)) {
        app.modals.pop();
        return app.touch(Dirty::Now);
    }
    if !app.modals.is_empty() {
        return;
    }
    let plan = layout::current(app);
    let at = Position::new(event.column, event.row);
    if click && plan.footer.contains(at) {
        if let Some(action) = footer::action_at(app, plan.footer.width, event.column) {
            app.touch(Dirty::Now);
            act::act(app, action, effects);
        }
        return;
    }
    let tabs = plan.alone(app.focus).filter(|area| click && event.row + 1 == area.bottom());
    if let Some(pane) = tabs.and_then(|area| tabs::at(area, event.column)) {
        app.focus = pane;
        return app.touch(Dirty::Now);
    }
    let Some((pane, area)) =
        Pane::ALL.into_iter().filter_map(|pane| Some((pane, plan.pane(pane)?))).find(|(_, area)| area.contains(at))
    else {
        return;
    };
    let by = match event.kind {
        MouseEventKind::ScrollUp => Some(-NOTCH),
        MouseEventKind::ScrollDown => Some(NOTCH),
        MouseEventKind::Down(MouseButton::Left) => None,
        _ => return,
    };
    app.touch(Dirty::Now);
    app.focus = pane;
    if let Some(by) = by {
        return act::move_cursor(app, by);
    }
    if pane == Pane::Videos && event.row == area.y + 1 {
        return sort_by(app, event.column - area.x, usize::from(area.width));
    }
    // The border and, in the table, the header.
    let head = if pane == Pane::Videos { 2 } else { 1 };
    let Some(row) = usize::from(event.row).checked_sub(usize::from(area.y) + head) else { return };
    match pane {
        Pane::Videos => {
            let index = app.videos.top() + row;
            let again = index == app.videos.selected();
            if index < app.videos.total() {
                app.videos.move_to(index);
                if again {
                    act::act(app, Action::Open, effects);
                }
            }
        }
        Pane::Classes => {
            let index = app.classes.top() + row;
            if index < app.classes.len() {
                app.classes.move_to(index);
                act::act(app, Action::Open, effects);
                app.focus = Pane::Classes;
            }
        }
        Pane::Devices => app.device = row,
        Pane::Throughput | Pane::Log => {}
    }
}

/// Sorts by the column under the mouse, or reverses the order. `x` counts from the border of the table.
fn sort_by(app: &mut App, x: u16, width: usize) {
    let mut right = 1;
    for (column, width) in videos_view::columns(app, width.saturating_sub(2)) {
        right += width + 1;
        if usize::from(x) < right {
            let sort = app.videos.sort();
            if let (_, Some(by), _) = column.header() {
                videos::sort_by(app, Sort { by, descending: sort.by == by && !sort.descending });
            }
            return;
        }
    }
}
