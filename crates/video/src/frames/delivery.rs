//! Hands needed frames over to the sink.

use ffmpeg_next as ff;

use super::{Request, Sink};
use crate::error::VideoError;
use crate::media::Media;
use crate::memory;
use crate::picture::Cropper;
use crate::sampling::ClipPlan;

/// Picks the needed frames from those that are decoded, in order.
pub(super) struct Delivery<'a> {
    pub(super) needed: Vec<u64>,
    delivered: usize,
    cropper: Cropper,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) size: [u32; 2],
}

impl<'a> Delivery<'a> {
    pub(super) fn begin(
        plan: ClipPlan,
        request: &Request,
        media: &Media,
        sink: &'a mut dyn Sink,
    ) -> Result<Self, VideoError> {
        let needed = plan.frames.clone();
        sink.plan(plan)?;
        let cropper = Cropper::new(request.transform, media.rotation());
        Ok(Self { needed, delivered: 0, cropper, sink, size: [0, 0] })
    }

    pub(super) fn needs(&self, index: u64) -> bool {
        self.needed.get(self.delivered) == Some(&index)
    }

    pub(super) fn offer(&mut self, index: u64, frame: &ff::frame::Video) -> Result<(), VideoError> {
        if !self.needs(index) {
            return Ok(());
        }
        let mut pixels = vec![];
        memory::resize(&mut pixels, self.cropper.bytes())?;
        self.size = self.cropper.run(frame, &mut pixels)?;
        self.delivered += 1;
        self.sink.frame(index, pixels)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.delivered == self.needed.len()
    }
}
