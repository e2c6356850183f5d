//! Handles the mouse, if it is enabled: clicks move the cursor, the wheel scrolls.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{Effect, act};
use crate::tui::action::Action;
use crate::tui::app::{App, Dirty};
use crate::tui::pane::Pane;
use crate::tui::view::layout;

/// Rows per notch of the wheel.
const NOTCH: isize = 3;

pub(super) fn mouse(app: &mut App, event: MouseEvent, effects: &mut Vec<Effect>) {
    if !app.modals.is_empty() {
        return;
    }
    let plan = layout::current(app);
    let at = Position::new(event.column, event.row);
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
