//! A short video of each common codec with the checksum of its pixels, to verify that this FFmpeg decodes it correctly.
//! Made by `reeldeck-probe synth` with the encoders of Debian 12, 60 pictures of 128×96 each.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};
use reeldeck_common::limits::Limits;
use reeldeck_video::full_decode;

/// A sample.
pub(crate) struct Sample {
    /// FFmpeg's name of the codec.
    pub codec: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// MD5 of all its pictures, one after another, as RGB24.
    pub md5: &'static str,
}

/// All samples.
pub(crate) const SAMPLES: &[Sample] = &[
    Sample {
        codec: "h264",
        bytes: include_bytes!("../../../assets/samples/h264.mp4"),
        md5: "5a7fda6dfa38d83240b948d310e0cf89",
    },
    Sample {
        codec: "hevc",
        bytes: include_bytes!("../../../assets/samples/hevc.mkv"),
        md5: "4d232fa8dc6dcfcbd0ebc16475a39edf",
    },
    Sample {
        codec: "vp8",
        bytes: include_bytes!("../../../assets/samples/vp8.webm"),
        md5: "aeff2dc6a4d9dfc5d6aad26a6ffa2fa6",
    },
    Sample {
        codec: "vp9",
        bytes: include_bytes!("../../../assets/samples/vp9.webm"),
        md5: "e084b26c09c2107e15bd9dfedd852367",
    },
    Sample {
        codec: "av1",
        bytes: include_bytes!("../../../assets/samples/av1.mp4"),
        md5: "3304b42a810e0fbe58cb1e37276770d8",
    },
];

/// The sample of a codec.
pub(crate) fn find(codec: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.codec == codec)
}

impl Sample {
    /// Decodes it.
    ///
    /// # Errors
    /// If it gives no pixels or wrong ones.
    pub(crate) fn check(&self) -> Result<()> {
        // In memory, because `doctor` must also work when the disk is full.
        let memory = rustix::fs::memfd_create(self.codec, rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = File::from(memory);
        file.write_all(self.bytes).context("failed to write the sample")?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut hash = Md5::new();
        full_decode::for_each_frame(Path::new(&path), &Limits::default(), &mut |picture| {
            hash.update(picture.rgb);
            Ok(())
        })?;
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(found == self.md5, "its pixels are wrong (MD5 {found}, not {})", self.md5);
        Ok(())
    }
}
