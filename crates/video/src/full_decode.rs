//! Decodes all pictures of a video to RGB24 with the plain pass, for checks and tests.

use std::path::Path;

use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;

use crate::convert::{Converter, Rgb};
use crate::decode::{self, Visitor};
use crate::error::VideoError;
use crate::media::Media;
use crate::memory;
use crate::rotate::{self, Rotation};

/// A whole picture as displayed.
pub struct RgbFrame<'a> {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// RGB, rows without gaps.
    pub rgb: &'a [u8],
}

/// Decodes the whole video with one thread and hands over every picture in order.
///
/// # Errors
/// If the video cannot be decoded, see [`VideoError`], and what `each` returns.
pub fn for_each_frame(
    path: &Path,
    limits: &Limits,
    each: &mut dyn FnMut(RgbFrame<'_>) -> Result<(), VideoError>,
) -> Result<(), VideoError> {
    let mut media = Media::open(path, limits)?;
    let rotation = media.rotation();
    let mut visitor = Whole { rotation, converter: Converter::default(), rgb: Rgb::default(), tight: vec![], each };
    decode::run(&mut media, &mut visitor)
}

/// Decodes the whole video with one thread, discards the pictures and returns their number. Benchmarks use it to measure FFmpeg alone.
///
/// # Errors
/// If the video cannot be decoded, see [`VideoError`].
pub fn count_frames(path: &Path, limits: &Limits) -> Result<u64, VideoError> {
    let mut visitor = Count(0);
    decode::run(&mut Media::open(path, limits)?, &mut visitor)?;
    Ok(visitor.0)
}

struct Count(u64);

impl Visitor for Count {
    fn frame(&mut self, _frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.0 += 1;
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

struct Whole<'a> {
    rotation: Rotation,
    converter: Converter,
    rgb: Rgb,
    tight: Vec<u8>,
    each: &'a mut dyn FnMut(RgbFrame<'_>) -> Result<(), VideoError>,
}

impl Visitor for Whole<'_> {
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        let turned = match self.rotation {
            Rotation::None => None,
            rotation => rotate::turn_frame(frame, rotation)?,
        };
        self.converter.run(turned.as_ref().unwrap_or(frame), &mut self.rgb)?;
        if self.rotation != Rotation::None && turned.is_none() {
            self.rgb = rotate::turn_rgb(&self.rgb, self.rotation)?;
        }
        let line = self.rgb.width * 3;
        memory::resize(&mut self.tight, line * self.rgb.height)?;
        let rows = self.rgb.data.chunks_exact(self.rgb.stride);
        for (tight, row) in self.tight.chunks_exact_mut(line).zip(rows) {
            tight.copy_from_slice(&row[..line]);
        }
        (self.each)(RgbFrame { width: self.rgb.width, height: self.rgb.height, rgb: &self.tight })
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}
