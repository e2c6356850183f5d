//! One decoded frame to the pixels of the crop: turned, converted, resized, cut out.

use ff::ffi;
use ffmpeg_next as ff;
use reeldeck_contract::recipe::Transform;

use crate::convert::{self, Converter, Rgb};
use crate::error::VideoError;
use crate::geometry::Geometry;
use crate::media::Rotation;
use crate::resize::{Resizer, RgbPicture};
use crate::rotate;
use crate::yuv::Yuv420;

/// Makes crops of frames, keeping what depends only on their size and format.
pub struct Cropper {
    transform: Transform,
    rotation: Rotation,
    exactly_needed: bool,
    converter: Converter,
    rgb: Rgb,
    resizer: Option<Resizer>,
}

impl Cropper {
    /// For the frames of one stream.
    pub fn new(transform: Transform, rotation: Rotation) -> Self {
        Self { transform, rotation, exactly_needed: true, converter: Converter::default(), rgb: Rgb::default(), resizer: None }
    }

    /// The same by the plain way: every picture is converted whole by swscale. For tests.
    #[cfg(test)]
    pub fn plain(transform: Transform, rotation: Rotation) -> Self {
        Self { exactly_needed: false, ..Self::new(transform, rotation) }
    }

    /// Bytes of one crop: side × side × 3, RGB.
    pub fn bytes(&self) -> usize {
        self.transform.crop * self.transform.crop * 3
    }

    /// Fills `out` with the crop of this frame, and says how large the whole picture is as displayed.
    ///
    /// # Errors
    /// Pixel formats that swscale does not know, and lack of memory.
    pub fn run(&mut self, frame: &ff::frame::Video, out: &mut [u8]) -> Result<[u32; 2], VideoError> {
        let turned = match self.rotation {
            Rotation::None => None,
            rotation => rotate::turn_frame(frame, rotation)?,
        };
        let turn_later = self.rotation != Rotation::None && turned.is_none();
        let frame = turned.as_ref().unwrap_or(frame);
        if self.exactly_needed && !turn_later && let Some(mut picture) = planes(frame) {
            let size = (frame.width() as usize, frame.height() as usize);
            self.resizer(size).run(&mut picture, out);
            return Ok([frame.width(), frame.height()]);
        }
        self.converter.run(frame, &mut self.rgb)?;
        if turn_later {
            self.rgb = rotate::turn_rgb(&self.rgb, self.rotation);
        }
        let (size, rgb) = ((self.rgb.width, self.rgb.height), std::mem::take(&mut self.rgb));
        self.resizer(size).run(&mut RgbPicture { data: &rgb.data, stride: rgb.stride }, out);
        self.rgb = rgb;
        Ok([size.0 as u32, size.1 as u32])
    }

    fn resizer(&mut self, (width, height): (usize, usize)) -> &mut Resizer {
        let geometry = Geometry::new(width, height, &self.transform);
        if self.resizer.as_ref().is_some_and(|resizer| resizer.geometry() != geometry) {
            self.resizer = None;
        }
        self.resizer.get_or_insert_with(|| Resizer::new(geometry))
    }
}

/// The planes of a frame that can be converted pixel by pixel: 8-bit 4:2:0 of even height, where swscale's fast converter
/// is the one that counts.
fn planes(frame: &ff::frame::Video) -> Option<Yuv420<'_>> {
    // SAFETY: the frame is alive and borrowed by the result. A decoded 4:2:0 frame has three planes whose rows lie
    // `linesize` bytes apart; each slice ends with the last pixel of the last row, so it stays within the plane's buffer.
    unsafe {
        let raw = &*frame.as_ptr();
        let formats = [ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as i32, ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32];
        let fits = formats.contains(&raw.format) && raw.height % 2 == 0 && raw.height > 0 && raw.width > 0;
        if !fits || raw.linesize[..3].iter().any(|stride| *stride <= 0) || raw.data[..3].iter().any(|p| p.is_null()) {
            return None;
        }
        let (width, height) = (raw.width as usize, raw.height as usize);
        let plane = |i: usize| {
            let (width, height) = if i == 0 { (width, height) } else { (width.div_ceil(2), height / 2) };
            std::slice::from_raw_parts(raw.data[i], (height - 1) * raw.linesize[i] as usize + width)
        };
        let stride = |i: usize| raw.linesize[i] as usize;
        Some(Yuv420 {
            planes: [plane(0), plane(1), plane(2)],
            strides: [stride(0), stride(1), stride(2)],
            coefficients: convert::coefficients(frame),
        })
    }
}
