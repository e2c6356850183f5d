//! The preview beside the table. Details and still are fetched when the cursor rests on a video, so that moving stays fast.

use std::time::Duration;

use super::details::DetailsView;
use crate::protocol::row::Row;

/// The cursor rests after this time.
const REST: Duration = Duration::from_millis(150);

/// A changed video is fetched again at most this often.
const REFRESH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Preview {
    /// The video under the cursor, and when the cursor came to it.
    at: Option<(String, Duration)>,
    /// When its details were requested.
    asked: Option<Duration>,
    view: Option<DetailsView>,
}

impl Preview {
    /// The cursor is on this video.
    pub(super) fn follow(&mut self, now: Duration, video: Option<&str>) {
        if self.at.as_ref().map(|(video, _)| video.as_str()) != video {
            self.at = video.map(|video| (video.to_owned(), now));
            self.asked = None;
        }
    }

    /// The video whose details should be requested now; counts as requested.
    pub(super) fn due(&mut self, now: Duration, row: &Row) -> Option<String> {
        let (video, since) = self.at.as_ref().filter(|(video, _)| *video == row.video)?;
        let is_due = match (self.asked, self.view()) {
            (None, _) => now >= *since + REST,
            (Some(asked), Some(view)) => view.details().row != *row && now >= asked + REFRESH,
            (Some(_), None) => false,
        };
        if !is_due {
            return None;
        }
        self.asked = Some(now);
        Some(video.clone())
    }

    /// Whether the details of this video are still wanted.
    pub(super) fn wants(&self, video: &str) -> bool {
        self.at.as_ref().is_some_and(|(wanted, _)| wanted == video)
    }

    pub(super) fn set(&mut self, view: DetailsView) {
        self.view = Some(view);
    }

    /// The details of the video under the cursor, if they are here.
    pub(super) fn view(&self) -> Option<&DetailsView> {
        self.view.as_ref().filter(|view| self.wants(view.video()))
    }

    pub(super) fn view_mut(&mut self) -> Option<&mut DetailsView> {
        let wanted = self.at.as_ref().map(|(video, _)| video.as_str());
        self.view.as_mut().filter(|view| Some(view.video()) == wanted)
    }
}
