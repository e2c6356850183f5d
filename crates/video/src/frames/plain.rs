//! The plain pass: what everything else is measured against.

use std::path::Path;

use ffmpeg_next as ff;
use reeldeck_common::feature::FrameCounts;
use reeldeck_common::recipe::Damage;

use super::delivery::Delivery;
use super::{Extraction, Request, Sink, is_flawed};
use crate::decode::{self, Visitor};
use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use crate::sampling::ClipPlan;

fn check_damage(counts: FrameCounts, damage: Damage, cut: bool) -> Result<(), VideoError> {
    if counts.damage() > damage.max_lost {
        return Err(VideoError::Damaged { counts, bearable: damage.max_lost, cut });
    }
    Ok(())
}

/// The reference for everything unusual: counts the frames that really come out, then decodes again and picks.
pub(super) fn plain(
    path: &Path,
    request: &Request,
    index: &PacketIndex,
    sink: &mut dyn Sink,
) -> Result<Extraction, VideoError> {
    let mut media = Media::open(path, &request.limits)?;
    let mut counter = Count { sink, output: 0, concealed: 0 };
    decode::run(&mut media, &mut counter)?;
    let Count { sink, output, concealed } = counter;
    if output == 0 {
        return Err(media.no_frames());
    }
    let counts = FrameCounts { expected: index.expected, output, concealed };
    check_damage(counts, request.damage, media.is_cut())?;
    let mut media = Media::open(path, &request.limits)?;
    let plan = ClipPlan::new(counts.output, &request.sampling);
    let mut picker = Pick { delivery: Delivery::begin(plan, request, &media, sink)?, output: 0 };
    decode::run(&mut media, &mut picker)?;
    if picker.output != counts.output || !picker.delivery.is_complete() {
        return Err(VideoError::Unsteady(format!("{} frames, then {}", counts.output, picker.output)));
    }
    picker.delivery.sink.complete()?;
    let (fps, size, stamp) = (media.fps(), picker.delivery.size, media.stamp());
    Ok(Extraction { counts, fps, size, stamp, plain_pass: true, nvdec: false, skipped: 0 })
}

struct Count<'a> {
    sink: &'a mut dyn Sink,
    output: u64,
    concealed: u64,
}

impl Visitor for Count<'_> {
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        self.sink.heartbeat()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.output += 1;
        self.concealed += u64::from(is_flawed(frame));
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

struct Pick<'a> {
    delivery: Delivery<'a>,
    output: u64,
}

impl Visitor for Pick<'_> {
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
