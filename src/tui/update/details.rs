//! Opens and refreshes the details of a video, and runs their actions.

use super::{Effect, videos};
use crate::protocol::ToEngine;
use crate::protocol::details::Details;
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::{App, Dirty, PendingRequest};
use crate::tui::details::{DetailsView, Outcome, is_details_action};
use crate::tui::modal::Modal;
use crate::tui::picture::Rgb;
use crate::tui::text;
use crate::tui::window_words::in_window;

/// The view, if it is the topmost overlay.
fn view(app: &mut App) -> Option<&mut DetailsView> {
    match app.modals.last_mut() {
        Some(Modal::Details(view)) => Some(view),
        _ => None,
    }
}

/// Requests the details of a video. They open when the answer arrives.
pub(super) fn open(app: &mut App, video: String, effects: &mut Vec<Effect>) {
    app.ask(PendingRequest::Details(video.clone()), |id| ToEngine::Details { id, video }, effects);
}

/// Requests the shown details again if videos have changed.
pub(super) fn refresh(app: &mut App, effects: &mut Vec<Effect>) {
    if !std::mem::take(&mut app.details_stale) {
        return;
    }
    if let Some(video) = view(app).map(|view| view.video().to_owned()) {
        app.ask(PendingRequest::RefreshedDetails(video.clone()), |id| ToEngine::Details { id, video }, effects);
    }
}

/// The answer to [`refresh`]. Meanwhile the user may have closed the view or opened another video.
pub(super) fn refreshed(app: &mut App, video: &str, details: Box<Details>) {
    if let Some(view) = view(app).filter(|view| view.video() == video) {
        view.set(details);
        app.touch(Dirty::Soon);
    }
}

/// The answer to [`open`].
pub(super) fn received(app: &mut App, video: &str, details: Box<Details>) {
    if let Some(view) = view(app) {
        let same = view.video() == video;
        view.set(details);
        return app.touch(if same { Dirty::Soon } else { Dirty::Now });
    }
    // Otherwise another overlay was opened in the meantime.
    if app.modals.is_empty() {
        let options = &app.options;
        let view = DetailsView::new(details, options.zone.clone(), options.depth);
        let view = view.with_pixels(options.pictures.is_some());
        app.modals.push(Modal::Details(Box::new(view)));
        app.touch(Dirty::Now);
    }
}

pub(super) fn still(app: &mut App, video: &str, still: Result<Rgb, String>) {
    app.touch(Dirty::Now);
    if let Some(preview) = app.preview.view_mut() {
        preview.set_still(video, still.clone());
    }
    if let Some(view) = view(app) {
        view.set_still(video, still);
    }
}

/// Opens the details of the video under the cursor after the cursor has moved to it.
pub(super) fn follow_cursor(app: &mut App, effects: &mut Vec<Effect>) {
    if !app.details_follow_cursor {
        return;
    }
    if let Some(video) = app.videos.current().map(|row| row.video.clone()) {
        app.details_follow_cursor = false;
        open(app, video, effects);
    }
}

/// Runs an action of the details; false if they are not on top or the action is not theirs.
pub(super) fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) -> bool {
    let Some(view) = view(app).filter(|_| is_details_action(action)) else { return false };
    let outcome = view.act(action);
    let (video, state) = (view.video().to_owned(), view.details().row.state);
    let has_feature = view.details().row.has_feature || view.details().feature.is_some();
    match outcome {
        Outcome::Moved | Outcome::Ignored => {}
        Outcome::Close => drop(app.modals.pop()),
        Outcome::Previous => open_neighbour(app, -1),
        Outcome::Next => open_neighbour(app, 1),
        Outcome::Retry => videos::retry_one(app, video, state, has_feature, effects),
        Outcome::Exclude { undo } => videos::exclude_one(app, video, undo, effects),
        Outcome::Copy(text) => {
            let shown = text::sanitized(&text).into_owned();
            app.copy(&shown, text, effects);
        }
        Outcome::CopyNamed { what, text } => app.copy(what, text, effects),
        Outcome::Still(path) => effects.push(Effect::Still { video, path }),
        Outcome::Refused(why) => {
            let why = in_window(&app.keymap, why).into_owned();
            app.say(Level::Info, why);
        }
    }
    true
}

fn open_neighbour(app: &mut App, by: isize) {
    let before = app.videos.selected();
    app.videos.move_by(by);
    app.details_follow_cursor = app.videos.selected() != before;
}
