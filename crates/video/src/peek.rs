//! Estimates what a video costs a decoder from its header: the codec and the size of its frames.

use std::path::Path;

use reeldeck_common::limits::Limits;

use crate::codec::CodecId;
use crate::media::Media;

/// A class of videos whose frames cost about the same to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CostClass {
    /// The codec.
    pub codec: CodecId,
    /// Base-2 logarithm of the pixels of a frame, rounded down. 256p, 360p, 480p, 720p and 1080p have different values.
    pub size: u32,
}

/// Reads the header of a video. `None` if it cannot be opened or names no size.
pub fn peek(path: &Path, limits: &Limits) -> Option<CostClass> {
    let media = Media::open(path, limits).ok()?;
    let (width, height) = media.coded_size();
    let pixels = u64::try_from(i64::from(width) * i64::from(height)).ok()?;
    Some(CostClass { codec: media.codec().0, size: pixels.checked_ilog2()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::{self, Synth};
    use std::fs;

    #[test]
    fn codec_and_size_make_the_class() {
        let folder = tempfile::tempdir().unwrap();
        let class = |name: &str, synth: Synth| {
            let path = folder.path().join(name);
            synth::write(&path, &Synth { frames: 3, ..synth }).unwrap();
            peek(&path, &Limits::default()).unwrap()
        };
        let h264 = |width, height, seed| Synth { width, height, seed, ..Synth::default() };
        let small = class("a.mp4", h264(340, 256, 1));
        assert_eq!(class("b.mkv", h264(340, 256, 2)), small);
        let larger = class("c.mp4", h264(640, 360, 1));
        assert_eq!((larger.codec, larger.size), (small.codec, small.size + 1));
        let other = class("d.mp4", Synth { encoder: "mpeg4".into(), ..h264(340, 256, 1) });
        assert_eq!((other.codec == small.codec, other.size), (false, small.size));
        let text = folder.path().join("e.mp4");
        fs::write(&text, "not a video").unwrap();
        assert_eq!(peek(&text, &Limits::default()), None);
        assert_eq!(peek(&folder.path().join("none.mp4"), &Limits::default()), None);
    }
}
