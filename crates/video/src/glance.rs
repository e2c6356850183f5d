//! What a video costs a decoder, as far as its header says: the codec, and how large its pictures are.

use std::path::Path;

use reeldeck_common::limits::Limits;

use crate::media::Media;

/// Videos that cost about the same for each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// FFmpeg's number of the codec.
    pub codec: u32,
    /// Pixels of a picture, as the power of two that they reach: 256p, 360p, 480p, 720p and 1080p are five.
    pub size: u32,
}

/// Looks at the header of a video. `None` where there is nothing to be seen.
pub fn glance(path: &Path, limits: &Limits) -> Option<Kind> {
    let media = Media::open(path, limits).ok()?;
    let (width, height) = media.coded_size();
    let pixels = u64::try_from(i64::from(width) * i64::from(height)).ok()?;
    Some(Kind { codec: media.codec().0 as u32, size: pixels.checked_ilog2()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::{self, Synth};
    use std::fs;

    #[test]
    fn codec_and_size_are_told_apart_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, synth: Synth| {
            let path = folder.path().join(name);
            synth::write(&path, &Synth { frames: 3, ..synth }).unwrap();
            glance(&path, &Limits::default()).unwrap()
        };
        let h264 = |width, height, seed| Synth { width, height, seed, ..Synth::default() };
        let small = kind("a.mp4", h264(340, 256, 1));
        assert_eq!(kind("b.mkv", h264(340, 256, 2)), small);
        let larger = kind("c.mp4", h264(640, 360, 1));
        assert_eq!((larger.codec, larger.size), (small.codec, small.size + 1));
        let other = kind("d.mp4", Synth { encoder: "mpeg4".into(), ..h264(340, 256, 1) });
        assert_eq!((other.codec == small.codec, other.size), (false, small.size));
        let text = folder.path().join("e.mp4");
        fs::write(&text, "not a video").unwrap();
        assert_eq!(glance(&text, &Limits::default()), None);
        assert_eq!(glance(&folder.path().join("none.mp4"), &Limits::default()), None);
    }
}
