//! Hands needed frames over to the sink.

use ffmpeg_next as ff;

use super::{Request, Sink};
use crate::error::VideoError;
use crate::media::Media;
use crate::picture::Cropper;
use crate::sampling::ClipPlan;

/// Picks the needed frames from those that are decoded, in order.
pub(super) struct Delivery<'a> {
    pub(super) plan: ClipPlan,
    /// The next frame that a clip needs; `None` when all were delivered.
    next: Option<u64>,
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
        sink.plan(plan.clone())?;
        let next = plan.next_needed(0);
        let cropper = Cropper::new(request.transform, media.rotation());
        Ok(Self { plan, next, cropper, sink, size: [0, 0] })
    }

    pub(super) fn needs(&self, index: u64) -> bool {
        self.next == Some(index)
    }

    pub(super) fn offer(&mut self, index: u64, frame: &ff::frame::Video) -> Result<(), VideoError> {
        if !self.needs(index) {
            return Ok(());
        }
        let (cropper, size) = (&mut self.cropper, &mut self.size);
        self.next = self.plan.next_needed(index + 1);
        self.sink.frame_into(index, cropper.bytes(), &mut |pixels| {
            *size = cropper.run(frame, pixels)?;
            Ok(())
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        self.next.is_none()
    }
}
