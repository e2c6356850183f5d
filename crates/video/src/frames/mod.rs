//! The frames that a recipe needs from a video: by the fast pass where it is provably exact, else by the plain one.

mod delivery;
mod fast;
mod plain;

use std::path::Path;

use ffmpeg_next as ff;
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::{Damage, Sampling, Transform};
use reeldeck_common::source::SourceStamp;

use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use crate::nvdec::Nvdec;
use crate::sampling::ClipPlan;
use crate::surface::Surface;

/// What is wanted of a video.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which frames.
    pub sampling: Sampling,
    /// Their way to crops.
    pub transform: Transform,
    /// How much damage is bearable.
    pub damage: Damage,
    /// Bounds on what it may cost.
    pub limits: Limits,
}

/// Receives what comes of a video. Returning an error ends the work.
pub trait Sink {
    /// Which frames will come. A second call makes void all that came before it: the fast pass turned out not to be exact.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError>;

    /// The crop of frame `index` (crop × crop × 3 bytes, RGB, row by row). Indices ascend within a plan.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError>;

    /// The picture of frame `index` where it lies on a GPU, for who can make its crop there. False where that cannot be done:
    /// it then comes by [`Sink::frame`].
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn surface(&mut self, _index: u64, _surface: &Surface) -> Result<bool, VideoError> {
        Ok(false)
    }

    /// All frames of the last plan have come by one of the two.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work; where a picture was on a GPU, anything else has the CPU do it all again.
    fn complete(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// The work goes on, also where no frame comes of it for a while. Called for every packet.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What was found out about a video on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extraction {
    /// Frames.
    pub counts: FrameCounts,
    /// Average frame rate as numerator and denominator; 0/1 where it is not known.
    pub fps: [i32; 2],
    /// Width and height as displayed, pixels.
    pub size: [u32; 2],
    /// Size and time of the file.
    pub stamp: SourceStamp,
    /// The plain pass was needed.
    pub plain_pass: bool,
    /// A GPU's decoder decoded it.
    pub nvdec: bool,
    /// Frames that were not decoded because nothing needed them.
    pub skipped: u64,
}

/// Which passes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Fast where it is provably exact, else plain.
    Best,
    /// The reference: one thread, nothing skipped, once to count and once to pick.
    Plain,
}

/// Decodes a video and hands the needed crops to `sink`.
///
/// # Errors
/// Everything that keeps a video from giving pixels, see [`VideoError`].
pub fn extract(path: &Path, request: &Request, pass: Pass, sink: &mut dyn Sink) -> Result<Extraction, VideoError> {
    extract_with(path, request, pass, None, sink)
}

/// The same, on a GPU where one is given and takes the stream; where not, or anything about it is unusual, as without.
///
/// # Errors
/// As [`extract`].
pub fn extract_with(
    path: &Path,
    request: &Request,
    pass: Pass,
    nvdec: Option<&Nvdec>,
    sink: &mut dyn Sink,
) -> Result<Extraction, VideoError> {
    // Before it is opened: what is said of a file that changes meanwhile is neither of the old one nor of the new.
    let stamp = SourceStamp::read(path)?;
    let taken = Media::open(path, &request.limits).and_then(|media| take(path, request, pass, nvdec, media, sink));
    if matches!(taken, Err(VideoError::Stopped)) {
        return taken;
    }
    // Errors too mean nothing when the file is not the one that was opened.
    if SourceStamp::read(path)? != stamp || taken.as_ref().is_ok_and(|facts| facts.stamp != stamp) {
        return Err(VideoError::Changed);
    }
    taken
}

fn take(
    path: &Path,
    request: &Request,
    pass: Pass,
    nvdec: Option<&Nvdec>,
    mut media: Media,
    sink: &mut dyn Sink,
) -> Result<Extraction, VideoError> {
    let index = PacketIndex::scan(&mut media, &request.limits)?;
    drop(media);
    if pass == Pass::Best && index.exact {
        for by in nvdec.map(Some).into_iter().chain([None]) {
            if let Some(facts) = fast::fast(path, request, &index, by, sink)? {
                return Ok(facts);
            }
        }
    }
    plain::plain(path, request, &index, sink)
}

/// The decoder marked the frame as damaged.
pub(crate) fn is_flawed(frame: &ff::frame::Video) -> bool {
    frame.is_corrupt() || frame.has_decode_errors()
}
