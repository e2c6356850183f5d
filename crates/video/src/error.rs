//! Why a video gives no pixels, in words for the person whose video it is.

use std::io;

use ffmpeg_next as ff;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::FrameCounts;

/// Why a video gives no pixels.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The file cannot be opened or read.
    #[error("failed to read the file")]
    Io(#[from] io::Error),
    /// Not one byte.
    #[error("the file is empty (0 bytes); download it again")]
    Empty,
    /// No demuxer on the allow-list knows it.
    #[error("not a video file: {0}")]
    NotAVideo(String),
    /// MP4 without its index.
    #[error("the MP4 index (moov) is missing: the file was cut or its recording never finished; download it again")]
    NoIndex,
    /// Demuxed, but nothing to see.
    #[error("the file has no video stream")]
    NoVideoStream,
    /// No decoder.
    #[error("no decoder for the codec {0}")]
    NoDecoder(String),
    /// FFmpeg cannot open or decode it.
    #[error("failed to {action}")]
    Ffmpeg {
        /// What was tried.
        action: &'static str,
        /// FFmpeg's word for it.
        source: ff::Error,
    },
    /// Decoded to the end without one frame.
    #[error("no frame could be decoded")]
    NoFrames,
    /// More damage than the recipe bears.
    #[error(
        "damaged: {} of {} frames lost and {} concealed ({:.1} %, the recipe bears {:.1} %){}",
        counts.lost(), counts.expected, counts.concealed, counts.damage() * 100.0, bearable * 100.0, cut_hint(*cut)
    )]
    Damaged {
        /// What came out.
        counts: FrameCounts,
        /// What the recipe bears, 0 to 1.
        bearable: f64,
        /// The file ends before its index says.
        cut: bool,
    },
    /// Over a limit on size or length.
    #[error("{0}; raise the limit in the config to take it")]
    Limit(String),
    /// The file is not the one it was at the start.
    #[error("the file changed while it was read; it is tried again when it has settled")]
    Changed,
    /// The decoder contradicted itself between two passes.
    #[error("two decodes of the same file disagree: {0}")]
    Unsteady(String),
    /// The memory that this process may use is used up.
    #[error("not enough memory to {0}")]
    NoMemory(&'static str),
    /// CUDA cannot be had.
    #[error("no CUDA: {0}")]
    NoGpu(String),
    /// The receiver wants no more frames.
    #[error("stopped")]
    Stopped,
}

fn cut_hint(cut: bool) -> &'static str {
    if cut { "; the file ends too early: download it again" } else { "" }
}

impl VideoError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Ffmpeg { source: ff::Error::Other { errno }, .. } => match *errno {
                libc::ENOMEM => ErrorKind::OutOfMemory,
                libc::EIO | libc::ESTALE | libc::ETIMEDOUT | libc::ENOTCONN => ErrorKind::Io,
                _ => ErrorKind::Corrupt,
            },
            Self::Limit(_) => ErrorKind::Limit,
            Self::NoMemory(_) => ErrorKind::OutOfMemory,
            Self::NoGpu(_) => ErrorKind::Device,
            Self::Changed => ErrorKind::Io,
            Self::Stopped => ErrorKind::Interrupted,
            Self::Unsteady(_) => ErrorKind::Internal,
            Self::Empty | Self::NotAVideo(_) | Self::NoIndex | Self::NoVideoStream | Self::NoDecoder(_) => {
                ErrorKind::Corrupt
            }
            Self::Ffmpeg { .. } | Self::NoFrames | Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}
