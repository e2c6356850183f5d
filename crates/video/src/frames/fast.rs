//! The fast pass: one decode in which the decoder drops unneeded frames, or a GPU decodes all of them.

use std::path::Path;

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;

use super::delivery::Delivery;
use super::{Extraction, Request, Sink, plan};
use crate::accounting::FrameAccount;
use crate::codec::CodecId;
use crate::decode::{self, Decoded, Visitor, is_flawed};
use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use crate::nal::{self, Framing};
use crate::nvdec::Nvdec;

/// Decodes once. On the CPU, the decoder drops frames that are not needed and that no other frame refers to. `None`: the pass was
/// not exact, or the GPU does not support the stream; the caller must start over.
pub(super) fn fast(
    path: &Path,
    request: &Request,
    account: &FrameAccount,
    nvdec: Option<&Nvdec>,
    sink: &mut dyn Sink,
) -> Result<Option<Extraction>, VideoError> {
    let index = &account.index;
    if !account.undecoded().are_accepted(request.damage) {
        // The plain pass decides about damage; frames from here would be discarded.
        return Ok(None);
    }
    let mut media = Media::open(path, &request.limits)?;
    let plan = plan(index.shown, index.times(), index, &media, request)?;
    let (codec, extradata) = media.codec();
    if nvdec.is_some_and(|nvdec| !nvdec.supports(codec)) {
        return Ok(None);
    }
    // A decoder that learns late how many frames to hold back loses one, which a skipped frame would hide. If it holds back
    // frames but no packet comes early, the times of packets are not those of their frames.
    let held_back = media.reorder();
    let orderly = index.reorder <= held_back && (index.reorder > 0 || held_back == 0);
    let skippable = codec == CodecId::H264 && orderly && index.gapless;
    let framing = (skippable && nvdec.is_none()).then(|| Framing::of(extradata));
    let delivery = Delivery::begin(plan, request, &media, sink)?;
    let on_gpu = nvdec.is_some();
    let mut visitor =
        Fast { index, framing, nvdec, delivery, output: 0, skipped: 0, last: None, first: None, inexact: false };
    let result = decode::run_on(&mut media, nvdec, &mut visitor);
    let complete = visitor.output + visitor.skipped == index.shown && visitor.delivery.is_complete();
    match result {
        _ if visitor.inexact => return Ok(None),
        // The CPU may succeed where a GPU fails, above all for lack of memory.
        Err(error) if on_gpu && !matches!(error, VideoError::Stopped) => return Ok(None),
        ended => ended?,
    }
    let counts = account.decoded(Decoded { output: index.shown, first: visitor.first, ..Decoded::default() });
    Ok(complete.then_some(Extraction {
        counts,
        expected_from: account.source(),
        fps: account.length(&media).1,
        size: visitor.delivery.size,
        stamp: media.stamp(),
        plain_pass: false,
        nvdec: on_gpu,
        skipped: visitor.skipped,
        resampled: visitor.delivery.plan.resampled_total(),
    }))
}

struct Fast<'a> {
    index: &'a PacketIndex,
    framing: Option<Framing>,
    nvdec: Option<&'a Nvdec>,
    delivery: Delivery<'a>,
    output: u64,
    skipped: u64,
    last: Option<u64>,
    /// When the first frame is shown.
    first: Option<i64>,
    inexact: bool,
}

impl Fast<'_> {
    fn give_up(&mut self) -> Result<(), VideoError> {
        self.inexact = true;
        Err(VideoError::Stopped)
    }
}

impl Visitor for Fast<'_> {
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        self.delivery.sink.heartbeat()
    }

    fn may_skip(&mut self, packet: &ff::Packet) -> bool {
        let Some(framing) = self.framing else { return false };
        // SAFETY: the packet is alive; its flags are a plain public field.
        let discarded = unsafe { (*packet.as_ptr()).flags } & ffi::AV_PKT_FLAG_DISCARD != 0;
        let Some(frame) = packet.pts().and_then(|time| self.index.frame_at(time)) else { return false };
        // A decoder that starts in the middle of a stream gives no frame before the first complete one.
        let begun = self.last.is_some_and(|last| last < frame);
        let skip = begun
            && !discarded
            && !self.delivery.plan.needs(frame)
            && packet.data().is_some_and(|data| nal::is_disposable(data, framing));
        self.skipped += u64::from(skip);
        skip
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        let index = frame.pts().and_then(|time| self.index.frame_at(time));
        let Some(index) = index.filter(|index| self.last.is_none_or(|last| last < *index)) else {
            return self.give_up();
        };
        if is_flawed(frame) {
            return self.give_up();
        }
        self.last = Some(index);
        self.first = self.first.or(frame.pts());
        self.output += 1;
        let Some(nvdec) = self.nvdec.filter(|_| self.delivery.needs(index)) else {
            return self.delivery.offer(index, frame);
        };
        match nvdec.download(frame) {
            Some(frame) => self.delivery.offer(index, &frame),
            None => self.give_up(),
        }
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        self.give_up()
    }
}
