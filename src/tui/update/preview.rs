//! Fetches what the preview shows.

use super::Effect;
use crate::protocol::ToEngine;
use crate::protocol::details::Details;
use crate::protocol::row::Finding;
use crate::tui::app::{App, Dirty, PendingRequest};
use crate::tui::details::DetailsView;
use crate::tui::view::layout;

/// Follows the cursor, after each message.
pub(super) fn follow(app: &mut App) {
    let is_visible = layout::current(app).preview.is_some();
    let video = app.videos.current().filter(|_| is_visible).map(|row| row.video.clone());
    app.preview.follow(app.now, video.as_deref());
}

/// Requests the details, at a tick.
pub(super) fn tick(app: &mut App, effects: &mut Vec<Effect>) {
    let now = app.now;
    let due = app.videos.current().and_then(|row| app.preview.due(now, row));
    if let Some(video) = due {
        app.ask(PendingRequest::Preview(video.clone()), |id| ToEngine::Details { id, video }, effects);
    }
}

pub(super) fn received(app: &mut App, video: &str, details: Box<Details>, effects: &mut Vec<Effect>) {
    if !app.preview.wants(video) {
        return;
    }
    app.touch(Dirty::Soon);
    if let Some(view) = app.preview.view_mut() {
        return view.set(details);
    }
    let mut view = DetailsView::new(details, app.options.zone.clone(), app.options.depth);
    // A still has more bytes than everything else together, and a corrupt file has none.
    let is_corrupt = view.details().row.findings.has(Finding::Corrupt);
    let path = if app.options.low_bandwidth || is_corrupt { None } else { view.load_still() };
    effects.extend(path.map(|path| Effect::Still { video: video.to_owned(), path }));
    app.preview.set(view);
}
