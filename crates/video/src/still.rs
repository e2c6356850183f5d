//! A small picture of a video for people. It is from about a third of the video, where titles and black pictures are rare.

use std::path::Path;

use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;

use crate::convert::{Converter, Rgb};
use crate::decode::{DecodeSession, Visitor};
use crate::error::VideoError;
use crate::media::Media;
use crate::rotate::{self, Rotation};

/// The largest number of frames decoded between a keyframe and the wanted time.
const MOST_FRAMES: u64 = 300;

/// A picture in RGB24, rows without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Still {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Three bytes a pixel.
    pub rgb: Vec<u8>,
}

/// The picture, scaled down to fit into `width` × `height` pixels. If seeking fails or gives no picture, the first picture that can be
/// decoded.
///
/// # Errors
/// If no picture can be decoded, see [`VideoError`].
pub fn still(path: &Path, limits: &Limits, width: usize, height: usize) -> Result<Still, VideoError> {
    let mut media = Media::open(path, limits)?;
    let place = media.length().map(|(start, length)| start + length / 3.0);
    if let Some(place) = place
        && media.seek(place)
        && let Some(picture) = first(&mut media, Some(place))?
    {
        return fit(&picture, width, height);
    }
    let mut media = Media::open(path, limits)?;
    match first(&mut media, place)? {
        Some(picture) => fit(&picture, width, height),
        None => Err(media.no_frames()),
    }
}

/// The picture at `place`, or the last one decoded before it. `None` if none can be decoded.
fn first(media: &mut Media, place: Option<f64>) -> Result<Option<Rgb>, VideoError> {
    let mut taker = StillVisitor {
        place,
        tick: media.tick(),
        rotation: media.rotation(),
        converter: Converter::default(),
        frames: 0,
        taken: None,
    };
    let mut session = DecodeSession::start(media)?;
    let mut packet = ff::Packet::empty();
    let mut packets = 0;
    let mut decode = || {
        // Gives up early on a stream of which nothing can be decoded.
        while packets < MOST_FRAMES * 2 && media.read(&mut packet)? {
            packets += 1;
            session.packet(&packet, &mut taker)?;
        }
        session.end(&mut taker)
    };
    match decode() {
        // The visitor returns `Stopped` once it has its picture.
        Ok(()) | Err(VideoError::Stopped) => Ok(taker.taken),
        Err(error) => Err(error),
    }
}

struct StillVisitor {
    place: Option<f64>,
    tick: f64,
    rotation: Rotation,
    converter: Converter,
    frames: u64,
    taken: Option<Rgb>,
}

impl Visitor for StillVisitor {
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.frames += 1;
        let time = frame.pts().map(|ticks| ticks as f64 * self.tick);
        // Without times, the first picture is taken.
        let arrived = match (self.place, time) {
            (Some(place), Some(time)) => time + self.tick / 2.0 >= place,
            _ => true,
        };
        let last = arrived || self.frames >= MOST_FRAMES;
        // Keeps the first picture in case the wanted time is never reached.
        if last || self.taken.is_none() {
            self.taken = Some(self.convert(frame)?);
        }
        if last { Err(VideoError::Stopped) } else { Ok(()) }
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

impl StillVisitor {
    fn convert(&mut self, frame: &ff::frame::Video) -> Result<Rgb, VideoError> {
        let turned = match self.rotation {
            Rotation::None => None,
            rotation => rotate::turn_frame(frame, rotation)?,
        };
        let mut rgb = Rgb::default();
        self.converter.run(turned.as_ref().unwrap_or(frame), &mut rgb)?;
        match self.rotation != Rotation::None && turned.is_none() {
            true => rotate::turn_rgb(&rgb, self.rotation),
            false => Ok(rgb),
        }
    }
}

/// Scales down: each pixel of the result is the mean of the source pixels that it covers.
fn fit(source: &Rgb, width: usize, height: usize) -> Result<Still, VideoError> {
    if source.width == 0 || source.height == 0 {
        return Err(VideoError::NoFrames);
    }
    let scale = (width as f64 / source.width as f64).min(height as f64 / source.height as f64).min(1.0);
    let side = |own: usize, most: usize| ((own as f64 * scale).round() as usize).clamp(1, most.max(1));
    let (width, height) = (side(source.width, width), side(source.height, height));
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = part(source.height, height, y);
        for x in 0..width {
            let columns = part(source.width, width, x);
            let count = rows.len() * columns.len();
            let mut sums = [count / 2; 3];
            for row in rows.clone() {
                let row = source.data.get(row * source.stride..).unwrap_or_default();
                let pixels = row.get(columns.start * 3..columns.end * 3).unwrap_or_default();
                for pixel in pixels.as_chunks::<3>().0 {
                    sums.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += usize::from(*channel));
                }
            }
            rgb.extend(sums.map(|sum| (sum / count) as u8));
        }
    }
    Ok(Still { width, height, rgb })
}

/// The range of `own` rows or columns that row or column `at` of `count` covers. `own` is at least `count`.
fn part(own: usize, count: usize, at: usize) -> std::ops::Range<usize> {
    at * own / count..(at + 1) * own / count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(width: usize, height: usize, colour: [u8; 3]) -> Rgb {
        // Rows are longer than the picture, and their ends must not be visible.
        let row = [colour.repeat(width), vec![77; 5]].concat();
        Rgb { data: row.repeat(height), stride: row.len(), width, height }
    }

    #[test]
    fn means_are_taken_of_what_falls_on_a_pixel() {
        let source = Rgb { data: vec![0, 0, 0, 10, 20, 30, 20, 0, 0, 30, 41, 1], stride: 6, width: 2, height: 2 };
        assert_eq!(fit(&source, 1, 1).unwrap(), Still { width: 1, height: 1, rgb: vec![15, 15, 8] });
        assert_eq!(fit(&source, 9, 9).unwrap().rgb, source.data, "never enlarged");
    }

    proptest! {
        #[test]
        fn any_size_fits_its_box_and_keeps_its_colour(
            (w, h) in (1..200_usize, 1..200_usize), (bw, bh) in (1..90_usize, 1..90_usize), colour: [u8; 3],
        ) {
            let still = fit(&plain(w, h, colour), bw, bh).unwrap();
            prop_assert!(still.width <= bw.min(w) && still.height <= bh.min(h));
            prop_assert!(still.width == bw.min(w) || still.height == bh.min(h));
            prop_assert!(still.rgb == colour.repeat(still.width * still.height));
        }
    }
}
