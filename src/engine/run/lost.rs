//! The output folder is back after a hold: finds the videos whose results were lost with it.

use super::{Engine, Event, Incoming, JournalEntry, Status, Video, VideoId};

impl Engine {
    /// The output folder can be written to again; the results of these videos are lost.
    pub(super) fn back(&mut self, lost: Vec<VideoId>) {
        self.journal_writer.write(JournalEntry::TryAgain);
        self.handle(Event::OutputBack(lost));
    }

    /// Finds the videos whose results were lost with the output folder.
    pub(super) fn find_lost(&mut self) {
        self.journal_writer.write(JournalEntry::TryAgain);
        let wrote = |(id, video): (VideoId, &Video)| match video.status {
            Status::Done { .. } => Some((id, true)),
            Status::Failed { .. } => Some((id, false)),
            _ => None,
        };
        let wrote: Vec<(VideoId, bool)> = self.state.videos.iter_enumerated().filter_map(wrote).collect();
        let (files, layout, sender) = (self.state.files.clone(), self.plan.layout.clone(), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            let lost = |(id, done): (VideoId, bool)| {
                let name = &files.get(id)?.name;
                let path = if done { layout.feature(name) } else { layout.failure(name) };
                // After a read error, the file may exist.
                matches!(path.try_exists(), Ok(false)).then_some(id)
            };
            let _ = sender.send(Incoming::Lost(wrote.into_iter().filter_map(lost).collect()));
        });
    }
}
