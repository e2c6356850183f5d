//! Pictures: those in pixels on the screen, and stills of videos.

use std::path::PathBuf;

use ratatui::layout::Rect;

use super::Window;
use crate::discovery;
use crate::tui::details::STILL;
use crate::tui::modal::Modal;
use crate::tui::picture::Rgb;
use crate::tui::still;
use crate::tui::update::Msg;

impl Window {
    /// The picture in pixels that should be on the screen.
    pub(super) fn picture(&self) -> Option<(String, Rect, &Rgb)> {
        let Some(Modal::Details(view)) = self.app.modals.last() else { return None };
        let (area, picture) = view.pixels()?;
        Some((view.video().to_owned(), area, picture))
    }

    pub(super) fn take_picture_away(&mut self) -> anyhow::Result<()> {
        let (Some(protocol), Some((video, area))) = (self.app.options.pictures, self.shown.take()) else {
            return Ok(());
        };
        if self.picture().is_some_and(|(other, place, _)| other == video && place == area) {
            self.shown = Some((video, area));
            return Ok(());
        }
        self.screen.raw(protocol.clear())?;
        // The cells below the picture are no longer what they were.
        self.screen.redraw();
        Ok(())
    }

    pub(super) fn put_picture(&mut self) -> std::io::Result<()> {
        let (Some(protocol), None) = (self.app.options.pictures, &self.shown) else { return Ok(()) };
        let Some((video, area, picture)) = self.picture() else { return Ok(()) };
        let bytes = protocol.draw(picture, area, self.screen.cell());
        self.screen.raw(&bytes)?;
        self.shown = Some((video, area));
        Ok(())
    }

    /// Fetches a still and cancels the previous request, which is no longer needed.
    pub(super) fn fetch_still(&mut self, video: String, path: PathBuf) {
        if let Some(before) = self.still.take() {
            before.abort();
        }
        let done = self.done.clone();
        self.still = Some(tokio::spawn(async move {
            let fetched = match discovery::probe() {
                Ok(probe) => still::still(&probe, &path, STILL, still::TIMEOUT).await.map_err(|e| e.to_string()),
                Err(error) => Err(format!("{error:#}")),
            };
            let _ = done.send(Msg::Still { video, still: fetched });
        }));
    }
}
