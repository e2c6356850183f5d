//! Pictures that stay on a GPU: where they lie there, and by what numbers they become crops. Who has the GPU compute does that.

use ff::ffi;
use ffmpeg_next as ff;
use reeldeck_common::recipe::Transform;

use crate::coefficients::Coefficients;
use crate::convert;
use crate::ffi_enums;
use crate::geometry::Geometry;
use crate::resize::{Tap, horizontal_taps, vertical_taps};

/// All that makes a crop of a picture besides its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formula {
    /// Sizes, in pixels.
    pub geometry: Geometry,
    /// From YUV to RGB.
    pub coefficients: Coefficients,
}

impl Formula {
    /// For each column of the crop, the columns of the picture that it is made of. Also where pixels are copied or halved: the
    /// weights then give the same.
    pub fn columns(&self) -> Vec<Tap> {
        horizontal_taps(self.geometry)
    }

    /// The same of rows.
    pub fn rows(&self) -> Vec<Tap> {
        vertical_taps(self.geometry)
    }
}

/// A picture of 8-bit 4:2:0 where it lies: luma, and U and V in one plane by turns. It lies there only as long as the call lasts
/// that gives it.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// What is to become of it.
    pub formula: Formula,
    /// Addresses of the two planes' first rows, in the memory of the GPU; of the host, for [`crate::nvdec::Nvdec::emulated`].
    pub planes: [*const u8; 2],
    /// Bytes from one row to the next, of each.
    pub strides: [usize; 2],
}

impl Surface {
    /// Where this frame lies, if it is of that kind. Odd heights go the way of swscale, which only the host has.
    pub(crate) fn of(frame: &ff::frame::Video, transform: &Transform) -> Option<Self> {
        // SAFETY: the frame is alive; these are plain public fields. A frame of a GPU points to what describes its buffers.
        let (planes, strides) = unsafe {
            let raw = frame.as_ptr();
            let format = match (*raw).hw_frames_ctx.as_ref() {
                Some(frames) if (*raw).format == ffi::AVPixelFormat::AV_PIX_FMT_CUDA as i32 => {
                    ffi_enums::read(&raw const (*frames.data.cast::<ffi::AVHWFramesContext>()).sw_format)
                }
                _ => (*raw).format,
            };
            // FFmpeg cuts the lower and right edges of pictures on a GPU, and leaves the others to us.
            let whole = (*raw).crop_left == 0 && (*raw).crop_top == 0;
            let (width, height, strides) = ((*raw).width, (*raw).height, (*raw).linesize);
            let fits = height > 0 && height % 2 == 0 && width > 0 && strides[..2].iter().all(|s| *s > 0);
            if format != ffi::AVPixelFormat::AV_PIX_FMT_NV12 as i32 || !whole || !fits {
                return None;
            }
            ([(*raw).data[0].cast_const(), (*raw).data[1].cast_const()], [strides[0] as usize, strides[1] as usize])
        };
        let geometry = Geometry::new(frame.width() as usize, frame.height() as usize, transform);
        let formula = Formula { geometry, coefficients: convert::coefficients(frame) };
        planes.iter().all(|plane| !plane.is_null()).then_some(Self { formula, planes, strides })
    }
}
