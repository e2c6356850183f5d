//! The actions of the details, when they are unavailable, and the line that lists their keys.

use ratatui::text::{Line, Span};

use crate::protocol::details::Details;
use crate::protocol::row::RowState;
use crate::tui::action::Action;
use crate::tui::keymap::{Context, Keymap};
use crate::tui::text;
use crate::tui::theme::{Role, Theme};

/// Whether the view handles the action itself.
pub(crate) fn is_details_action(action: Action) -> bool {
    use Action as A;
    matches!(
        action,
        A::Close
            | A::Retry
            | A::Still
            | A::Exclude
            | A::PreviousVideo
            | A::NextVideo
            | A::CopyName
            | A::CopyPath
            | A::CopyReason
            | A::CopyDetails
            | A::Up
            | A::Down
            | A::HalfUp
            | A::HalfDown
            | A::PageUp
            | A::PageDown
            | A::Top
            | A::Bottom
    )
}

/// The exclude key includes the video again.
pub(super) fn is_excluded(details: &Details) -> bool {
    details.row.state == RowState::Excluded
}

/// `None` if the action is available. `is_active`: a run is active.
pub(crate) fn unavailable_reason(action: Action, details: &Details, is_active: bool) -> Option<&'static str> {
    match (action, details.row.state) {
        (Action::Still, state) if !state.is_video() => Some("no picture: it is not a video"),
        (Action::Still, _) if details.path.is_none() => Some("no picture: the file is not on disk"),
        (Action::CopyPath, _) if details.path.is_none() && details.feature.is_none() => {
            Some("no path: the file is not on disk")
        }
        (Action::CopyReason, _) if details.row.reason.is_none() && details.attempts.is_empty() => {
            Some("nothing went wrong with this video")
        }
        (Action::Retry, state) => no_retry(state, is_active),
        _ => None,
    }
}

/// Why a video in this state cannot be extracted again, with `it` for the video.
pub(crate) fn no_retry(state: RowState, is_active: bool) -> Option<&'static str> {
    Some(match state {
        RowState::Missing => "it is missing: download it, then rescan",
        RowState::Refused | RowState::Ignored => "it is not a video that can be used",
        RowState::Running => "it is being extracted now",
        RowState::Queued if is_active => "it is queued already",
        RowState::Excluded => "it is excluded; include it first",
        RowState::LeftOut => "it is not part of this run: beyond the limit",
        RowState::Queued | RowState::Done | RowState::Stale | RowState::Failed => return None,
    })
}

/// What extracting a video in this state is called.
pub(crate) fn retry_word(state: RowState) -> &'static str {
    match state {
        RowState::Done | RowState::Stale => "extract again",
        RowState::Queued => "extract",
        _ => "retry",
    }
}

/// The visible lines and the keys that scroll; empty if all lines are visible.
pub(super) fn place(keymap: &Keymap, from: usize, height: usize, lines: usize) -> String {
    let [down, up] = [Action::Down, Action::Up].map(|action| keymap.key_text(action));
    let to = (from + height).min(lines);
    if lines > height { format!(" {down} {up} scroll: {}-{to} of {lines} ", from + 1) } else { String::new() }
}

/// The keys that do something and fit, in order of importance.
pub(super) fn hints(
    theme: &Theme,
    keymap: &Keymap,
    details: &Details,
    is_active: bool,
    has_picture: bool,
    room: usize,
) -> Line<'static> {
    let (mut spans, mut used) = (vec![], 0);
    for (line, keys) in keymap.footer(Context::Details) {
        let key = keys.to_string();
        let short = match line.action {
            Action::Exclude if is_excluded(details) => "include",
            Action::Retry => retry_word(details.row.state),
            Action::Still if has_picture => "hide picture",
            _ => line.short,
        };
        let wide = text::width(&key) + text::width(short) + 3;
        let is_off = unavailable_reason(line.action, details, is_active).is_some();
        let is_queued = details.row.state == RowState::Queued;
        if used + wide > room || is_off || line.action == Action::Retry && is_queued {
            continue;
        }
        spans.push(Span::styled(format!(" {key} "), theme.style(Role::Key)));
        spans.push(Span::styled(format!("{short} "), theme.style(Role::Base)));
        used += wide;
    }
    Line::from(spans)
}
