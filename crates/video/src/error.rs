//! Why a video cannot be decoded, with messages for the user.

use std::io;

use ffmpeg_next as ff;
use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::FrameCounts;

/// Why a video cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The file cannot be opened or read.
    #[error("failed to read the file")]
    Io(#[from] io::Error),
    /// The file has no content.
    #[error("the file is empty (0 bytes); download it again")]
    Empty,
    /// No demuxer recognises it.
    #[error("not a video file: {0}")]
    NotAVideo(String),
    /// A video with an invalid header.
    #[error("the header is damaged: {0}; if the source plays without faults, download it again")]
    DamagedHeader(String),
    /// MP4 without its index.
    #[error(
        "the MP4 index (moov) is missing: the file was cut, or its recording never finished; if the source plays without faults, download it again"
    )]
    NoIndex,
    /// MP4 with a part of its index.
    #[error("the file ends inside its index (moov); download it again")]
    IndexCut,
    /// MP4 with its index and nothing else.
    #[error("the file has headers and no frames, like the first segment of a stream; join the segments of the stream")]
    OnlyHeaders,
    /// The container has no stream with frames.
    #[error("the file has no video stream")]
    NoVideoStream,
    /// FFmpeg has no decoder for the codec.
    #[error("no decoder for the codec {0}; convert the video to H.264")]
    NoDecoder(String),
    /// The frames are encrypted.
    #[error("encrypted ({0}): the key is not in the file")]
    Encrypted(String),
    /// FFmpeg cannot open or decode it.
    #[error("failed to {action}")]
    Ffmpeg {
        /// The failed action.
        action: &'static str,
        /// FFmpeg's error.
        source: ff::Error,
    },
    /// Decoded to the end without one frame.
    #[error("no frame could be decoded; if the source plays without faults, download it again")]
    NoFrames,
    /// More damage than the recipe allows.
    #[error(
        "damaged: {} of {} frames lost and {} concealed ({:.1} %, the recipe allows {:.1} %): {reason}",
        counts.lost(), counts.expected, counts.concealed, counts.damage() * 100.0, bearable * 100.0
    )]
    Damaged {
        /// Expected, decoded and concealed frames.
        counts: FrameCounts,
        /// The ratio of damage that the recipe allows, 0 to 1.
        bearable: f64,
        /// The cause and the next step.
        reason: String,
    },
    /// It has fewer frames than a window.
    #[error(
        "too short: it has {frames} frames, and a clip spans {span}{}",
        if *can_repeat { "; set short = \"repeat-last\" under [sampling] in the recipe to repeat its last frame" } else { "" }
    )]
    Short {
        /// Its frames, after resampling.
        frames: u64,
        /// Frames from the first to the last of a clip.
        span: u64,
        /// The recipe can be changed to repeat its last frame.
        can_repeat: bool,
    },
    /// Over a limit on size or length.
    #[error("{0}; raise the limit in the configuration to accept it")]
    Limit(String),
    /// The file is not the one that was opened.
    #[error("the file changed while it was read; it is retried once it stops changing")]
    Changed,
    /// Two passes of the decoder gave different results.
    #[error("two decodes of the same file disagree: {0}")]
    Unsteady(String),
    /// There is no memory left for this process.
    #[error("not enough memory to {0}")]
    NoMemory(&'static str),
    /// CUDA is not available.
    #[error("no CUDA: {0}")]
    NoGpu(String),
    /// The receiver needs no more frames.
    #[error("stopped")]
    Stopped,
}

impl VideoError {
    /// The kind of failure, which decides about retries.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => ErrorKind::of_io(error),
            Self::Ffmpeg { source: ff::Error::Other { errno: libc::ENOMEM }, .. } => ErrorKind::OutOfMemory,
            Self::Limit(_) | Self::Short { .. } => ErrorKind::Limit,
            Self::NoMemory(_) => ErrorKind::OutOfMemory,
            Self::NoGpu(_) => ErrorKind::Device,
            Self::Changed => ErrorKind::Io,
            Self::Stopped => ErrorKind::Interrupted,
            Self::Unsteady(_) => ErrorKind::Internal,
            Self::Empty
            | Self::NotAVideo(_)
            | Self::DamagedHeader(_)
            | Self::NoIndex
            | Self::IndexCut
            | Self::NoVideoStream => ErrorKind::Corrupt,
            Self::NoDecoder(_) | Self::Encrypted(_) | Self::OnlyHeaders => ErrorKind::Corrupt,
            // Reading fails as `Io`; what FFmpeg reports otherwise is damage.
            Self::Ffmpeg { .. } | Self::NoFrames | Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}
