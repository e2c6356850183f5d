//! The plain pass: the reference for every other pass.

use std::path::Path;

use ffmpeg_next as ff;

use super::delivery::Delivery;
use super::{Extraction, Request, Sink, plan};
use crate::accounting::FrameAccount;
use crate::decode::{self, Counter, Visitor};
use crate::error::VideoError;
use crate::media::Media;

/// Counts the frames that the decoder gives, then decodes again and picks the needed ones.
pub(super) fn plain(
    path: &Path,
    request: &Request,
    account: &FrameAccount,
    sink: &mut dyn Sink,
) -> Result<Extraction, VideoError> {
    let mut media = Media::open(path, &request.limits)?;
    let mut heartbeat = || sink.heartbeat();
    let mut counter = Counter::new(&mut heartbeat);
    counter.times = request.sampling.fps().map(|_| vec![]);
    decode::run(&mut media, &mut counter)?;
    let (decoded, times) = (counter.decoded, counter.times.unwrap_or_default());
    if decoded.output == 0 {
        return Err(media.no_frames());
    }
    let counts = account.decoded(decoded);
    if !counts.are_accepted(request.damage) {
        let reason = account.reason(counts, Some(decoded));
        return Err(VideoError::Damaged { counts, bearable: request.damage.max_lost, reason });
    }
    let mut media = Media::open(path, &request.limits)?;
    let plan = plan(counts.output, &times, &account.index, &media, request)?;
    let mut picker = Picker { delivery: Delivery::begin(plan, request, &media, sink)?, output: 0 };
    decode::run(&mut media, &mut picker)?;
    if picker.output != counts.output || !picker.delivery.is_complete() {
        return Err(VideoError::Unsteady(format!("{} frames, then {}", counts.output, picker.output)));
    }
    Ok(Extraction {
        counts,
        expected_from: account.source(),
        fps: account.length(&media).1,
        size: picker.delivery.size,
        stamp: media.stamp(),
        plain_pass: true,
        nvdec: false,
        skipped: 0,
        resampled: picker.delivery.plan.resampled_total(),
    })
}

struct Picker<'a> {
    delivery: Delivery<'a>,
    output: u64,
}

impl Visitor for Picker<'_> {
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        self.delivery.sink.heartbeat()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.delivery.offer(self.output, frame)?;
        self.output += 1;
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}
