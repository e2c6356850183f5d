//! Extracts the frames that a recipe needs from a video: with the fast pass if it is provably exact, otherwise with the plain one.

mod delivery;
mod fast;
mod plain;

use std::path::Path;

use ffmpeg_next as ff;
use reeldeck_common::feature::{ExpectedFrom, FrameCounts};
use reeldeck_common::limits::Limits;
use reeldeck_common::recipe::{Damage, Sampling, Transform};
use reeldeck_common::source::SourceStamp;

use crate::accounting::FrameAccount;
use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use crate::memory;
use crate::nvdec::Nvdec;
use crate::resample::{Timing, resample};
use crate::sampling::ClipPlan;

/// What to extract from a video.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which frames.
    pub sampling: Sampling,
    /// How frames become crops.
    pub transform: Transform,
    /// How much damage is acceptable.
    pub damage: Damage,
    /// Bounds on what the video may cost.
    pub limits: Limits,
}

/// Writes a crop to memory of its size.
pub type Fill<'a> = dyn FnMut(&mut [u8]) -> Result<(), VideoError> + 'a;

/// A crop of this many bytes in memory of its own.
///
/// # Errors
/// If there is no memory, and the errors of `fill`.
pub fn filled(bytes: usize, fill: &mut Fill<'_>) -> Result<Vec<u8>, VideoError> {
    let mut pixels = vec![];
    memory::resize(&mut pixels, bytes)?;
    fill(&mut pixels)?;
    Ok(pixels)
}

/// Receives the crops of a video. An error ends the extraction.
pub trait Sink {
    /// Announces which frames will come. A second call invalidates everything before it: the fast pass turned out not to be exact.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the extraction.
    fn plan(&mut self, plan: ClipPlan) -> Result<(), VideoError>;

    /// The crop of frame `index`: height × width × 3 values, RGB, row by row; bytes, or with the filter `torch-f32` 32-bit numbers in
    /// the processor's order of bytes. Indices ascend within a plan.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the extraction.
    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError>;

    /// The same for a sink with memory of its own for the `bytes` bytes of the crop: `fill` writes all of them.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the extraction, and the errors of `fill`.
    fn frame_into(&mut self, index: u64, bytes: usize, fill: &mut Fill<'_>) -> Result<(), VideoError> {
        self.frame(index, filled(bytes, fill)?)
    }

    /// Called once per packet, also while no needed frame comes.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the extraction.
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What was learned about a video during its extraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extraction {
    /// Frames.
    pub counts: FrameCounts,
    /// Where the number of expected frames comes from.
    pub expected_from: ExpectedFrom,
    /// Average frame rate as numerator and denominator; 0/1 if it is not known.
    pub fps: [i32; 2],
    /// Width and height as displayed, in pixels.
    pub size: [u32; 2],
    /// Size and time of the file.
    pub stamp: SourceStamp,
    /// The plain pass was needed.
    pub plain_pass: bool,
    /// A GPU decoded the video.
    pub nvdec: bool,
    /// Frames that were not decoded because they were not needed.
    pub skipped: u64,
    /// Frames after resampling, if the video was resampled.
    pub resampled: Option<u64>,
}

/// Which passes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The fast pass if it is provably exact, otherwise the plain one.
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

/// Like [`extract`], on a GPU if one is given and accepts the stream. If not, or if anything about it is unusual, on the CPU.
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
    // Read before the file is opened: a result from a file that changes meanwhile belongs to neither version.
    let stamp = SourceStamp::read(path)?;
    let extracted = Media::open(path, &request.limits).and_then(|media| run(path, request, pass, nvdec, media, sink));
    if matches!(extracted, Err(VideoError::Stopped)) {
        return extracted;
    }
    // Errors mean nothing either if the file is not the one that was opened.
    if SourceStamp::read(path)? != stamp || extracted.as_ref().is_ok_and(|extraction| extraction.stamp != stamp) {
        return Err(VideoError::Changed);
    }
    extracted
}

/// Places the clips on the video's frames, after resampling them if the recipe says so. `times` are those of the frames.
fn plan(
    total: u64,
    times: &[i64],
    index: &PacketIndex,
    media: &Media,
    request: &Request,
) -> Result<ClipPlan, VideoError> {
    let Some(fps) = request.sampling.fps() else { return ClipPlan::new(total, &request.sampling) };
    let [numerator, denominator] = media.fps();
    let average = ff::Rational(numerator, denominator);
    let timing = Timing { times, last_duration: index.last_duration, clock: media.clock(), average };
    ClipPlan::resampled(resample(&timing, fps, request.limits.frames)?, &request.sampling)
}

fn run(
    path: &Path,
    request: &Request,
    pass: Pass,
    nvdec: Option<&Nvdec>,
    mut media: Media,
    sink: &mut dyn Sink,
) -> Result<Extraction, VideoError> {
    let account = FrameAccount::open(&mut media, &request.limits, &mut |_| Ok(()))?;
    drop(media);
    if pass == Pass::Best && account.index.exact {
        for decoder in nvdec.map(Some).into_iter().chain([None]) {
            if let Some(extraction) = fast::fast(path, request, &account, decoder, sink)? {
                return Ok(extraction);
            }
        }
    }
    plain::plain(path, request, &account, sink)
}
