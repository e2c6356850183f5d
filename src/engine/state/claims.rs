//! Which videos may be handed out, because other engines take part.

use super::{State, Status, VideoId};

impl State {
    /// Hands out only videos that are granted.
    pub fn claim_videos(&mut self) {
        self.claims = true;
        self.videos.keys().for_each(|id| self.queue.remove(id));
    }

    /// Lets videos be handed out, or not any more.
    pub(in crate::engine) fn grant(&mut self, videos: &[VideoId], granted: bool) {
        for id in videos {
            let Some(video) = self.videos.get_mut(*id) else { continue };
            video.granted = granted;
            match (granted, &video.status) {
                (true, Status::Queued) => self.queue.push_back(*id, video.lane()),
                (true, _) => {}
                (false, _) => self.queue.remove(*id),
            }
        }
    }
}
