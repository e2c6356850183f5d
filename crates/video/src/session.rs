//! A thread's use of a GPU's decoder: what was opened for one video is kept for the next one that is encoded alike, because a
//! GPU takes long to make a decoder and its pictures' memory.

use std::sync::Arc;

use crate::decoder::Decoder;
use crate::error::VideoError;
use crate::media::{Encoding, Media};
use crate::nvdec::Nvdec;

/// A GPU's decoder and what is open on it. Belongs to one thread.
pub struct Session {
    nvdec: Arc<Nvdec>,
    kept: Option<(Encoding, Decoder)>,
    opened: usize,
}

impl Session {
    /// With nothing open.
    pub fn new(nvdec: Arc<Nvdec>) -> Self {
        Self { nvdec, kept: None, opened: 0 }
    }

    /// The GPU.
    pub fn nvdec(&self) -> &Nvdec {
        &self.nvdec
    }

    /// Decoders opened so far.
    pub fn opened(&self) -> usize {
        self.opened
    }

    /// A decoder for this video, as good as new.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn decoder(&mut self, media: &Media) -> Result<Decoder, VideoError> {
        let kept = self.kept.take();
        if let Some((_, mut decoder)) = kept.filter(|(encoding, _)| media.encoding().as_ref() == Some(encoding)) {
            media.again(&mut decoder);
            return Ok(decoder);
        }
        self.opened += 1;
        media.decoder(Some(&self.nvdec))
    }

    /// Keeps what has decoded a video to its end, without fault.
    pub(crate) fn keep(&mut self, media: &Media, decoder: Decoder) {
        self.kept = media.encoding().map(|encoding| (encoding, decoder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    use reeldeck_contract::limits::Limits;
    use reeldeck_contract::recipe::{Damage, Sampling, Transform};

    use crate::frames::{self, Facts, Pass, Request, Sink};
    use crate::sampling::Plan;
    use crate::synth::{self, Synth};

    #[derive(Default)]
    struct Collect(Vec<(u64, Vec<u8>)>);

    impl Sink for Collect {
        fn plan(&mut self, _plan: Plan) -> Result<(), VideoError> {
            self.0.clear();
            Ok(())
        }

        fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError> {
            self.0.push((index, pixels));
            Ok(())
        }
    }

    fn all(path: &Path, session: Option<&mut Session>) -> (Facts, Vec<(u64, Vec<u8>)>) {
        let request = Request {
            sampling: Sampling { clips: 20, length: 8, interval: 1 },
            transform: Transform { short_side: 64, crop: 64, mean: [0.0; 3], std: [1.0; 3] },
            damage: Damage { max_lost: 0.5 },
            limits: Limits::default(),
        };
        let mut collect = Collect::default();
        let facts = frames::extract_with(path, &request, Pass::Best, session, &mut collect).unwrap();
        (facts, collect.0)
    }

    fn video(folder: &Path, name: &str, synth: &Synth, options: &[(&str, &str)]) -> PathBuf {
        let path = folder.join(name);
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        synth::write(&path, &Synth { options, ..synth.clone() }).unwrap();
        path
    }

    /// By the decoder on the CPU, which forgets and goes on by the same calls.
    #[test]
    fn what_is_kept_gives_what_a_new_one_gives() {
        let folder = tempfile::tempdir().unwrap();
        let synth = Synth { width: 96, height: 80, frames: 70, ..Synth::default() };
        let other = Synth { seed: 7, frames: 41, ..synth.clone() };
        let b_frames = [("bf", "3"), ("g", "25"), ("preset", "ultrafast")];
        let plain = [("bf", "0"), ("g", "12"), ("preset", "ultrafast")];
        let first = video(folder.path(), "a.mp4", &synth, &b_frames);
        let second = video(folder.path(), "b.mp4", &other, &b_frames);
        let third = video(folder.path(), "c.mp4", &synth, &plain);
        let wider = video(folder.path(), "d.mp4", &Synth { width: 128, ..synth.clone() }, &b_frames);
        // The last third of its pictures is noise, and its length the same.
        let (broken, mut bytes) = (folder.path().join("e.mp4"), fs::read(&first).unwrap());
        let from = bytes.windows(4).position(|four| four == b"mdat").unwrap() + 4;
        let noise = (from + bytes.len()) / 2;
        bytes[noise..noise + 400].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
        fs::write(&broken, bytes).unwrap();
        let mut session = Session::new(Arc::new(Nvdec::in_memory()));
        // How many were opened in all when the video is done. What has met damage is not kept.
        for (path, opened) in [
            (&first, 1),
            (&second, 1),
            (&first, 1),
            (&third, 2),
            (&third, 2),
            (&wider, 3),
            (&first, 4),
            (&broken, 4),
            (&second, 5),
            (&first, 5),
        ] {
            let (facts, frames) = all(path, None);
            let (by_session, kept) = all(path, Some(&mut session));
            assert!(frames == kept, "{path:?}: the crops differ");
            assert_eq!((facts.counts, facts.size), (by_session.counts, by_session.size), "{path:?}");
            assert_eq!((by_session.nvdec, session.opened()), (!facts.plain_pass, opened), "{path:?}");
        }
    }
}
