//! Rotates, converts, resizes and crops one decoded frame.

use ff::ffi;
use ffmpeg_next as ff;
use reeldeck_common::recipe::Transform;

use crate::convert::{self, Converter, Rgb};
use crate::error::VideoError;
use crate::geometry::Geometry;
use crate::resize::{Resizer, RgbPicture};
use crate::rotate::{self, Rotation};
use crate::yuv::Yuv420;

/// Makes crops of frames. Keeps state that depends only on their size and format.
pub(crate) struct Cropper {
    transform: Transform,
    rotation: Rotation,
    exactly_needed: bool,
    vectored: bool,
    converter: Converter,
    rgb: Rgb,
    resizer: Option<Resizer>,
}

impl Cropper {
    /// For the frames of one stream.
    pub(crate) fn new(transform: Transform, rotation: Rotation) -> Self {
        Self {
            transform,
            rotation,
            exactly_needed: true,
            vectored: true,
            converter: Converter::default(),
            rgb: Rgb::default(),
            resizer: None,
        }
    }

    /// The reference for tests: swscale converts each whole picture.
    #[cfg(test)]
    pub(crate) fn through_swscale(transform: Transform, rotation: Rotation) -> Self {
        Self { exactly_needed: false, ..Self::new(transform, rotation) }
    }

    /// The fast algorithm without vector instructions, for tests.
    #[cfg(test)]
    pub(crate) fn scalar(transform: Transform, rotation: Rotation) -> Self {
        Self { vectored: false, ..Self::new(transform, rotation) }
    }

    /// Bytes of one crop: height × width × 3 values, RGB.
    pub(crate) fn bytes(&self) -> usize {
        self.transform.frame_bytes()
    }

    /// Fills `out` with the crop of this frame, and returns width and height of the whole picture as displayed.
    ///
    /// # Errors
    /// If swscale does not know the pixel format, or memory runs out.
    pub(crate) fn run(&mut self, frame: &ff::frame::Video, out: &mut [u8]) -> Result<[u32; 2], VideoError> {
        let turned = match self.rotation {
            Rotation::None => None,
            rotation => rotate::turn_frame(frame, rotation)?,
        };
        let turn_later = self.rotation != Rotation::None && turned.is_none();
        let frame = turned.as_ref().unwrap_or(frame);
        if self.exactly_needed
            && !turn_later
            && let Some(mut picture) = planes(frame)
        {
            let size = (frame.width() as usize, frame.height() as usize);
            self.resizer(size).run(&mut picture, out);
            return Ok([frame.width(), frame.height()]);
        }
        self.converter.run(frame, &mut self.rgb)?;
        if turn_later {
            self.rgb = rotate::turn_rgb(&self.rgb, self.rotation)?;
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
        let (filter, vectored) = (self.transform.filter, self.vectored);
        let new = if vectored { Resizer::new } else { Resizer::scalar };
        self.resizer.get_or_insert_with(|| new(geometry, filter))
    }
}

/// The planes of a frame that can be converted pixel by pixel: 8-bit 4:2:0 of even height, for which swscale uses its fast converter.
fn planes(frame: &ff::frame::Video) -> Option<Yuv420<'_>> {
    // SAFETY: the frame is alive and borrowed by the result. A decoded 4:2:0 frame has three planes whose rows lie
    // `linesize` bytes apart; each slice ends with the last pixel of the last row, so it stays within the plane's buffer.
    unsafe {
        let raw = frame.as_ptr();
        let (width, height, strides, data) = ((*raw).width, (*raw).height, (*raw).linesize, (*raw).data);
        let formats = [ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as i32, ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32];
        let fits = formats.contains(&(*raw).format) && height % 2 == 0 && height > 0 && width > 0;
        if !fits || strides[..3].iter().any(|stride| *stride <= 0) || data[..3].iter().any(|p| p.is_null()) {
            return None;
        }
        let (width, height) = (width as usize, height as usize);
        let plane = |i: usize| {
            let (width, height) = if i == 0 { (width, height) } else { (width.div_ceil(2), height / 2) };
            std::slice::from_raw_parts(data[i], (height - 1) * strides[i] as usize + width)
        };
        let stride = |i: usize| strides[i] as usize;
        Some(Yuv420 {
            planes: [plane(0), plane(1), plane(2)],
            strides: [stride(0), stride(1), stride(2)],
            coefficients: convert::coefficients(frame),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resize::RgbRows;
    use ff::color::{Range, Space};
    use ff::format::Pixel;
    use proptest::prelude::*;
    use reeldeck_common::recipe::Filter;

    /// Every matrix that swscale distinguishes, and some that it treats as BT.601.
    const MATRICES: [Space; 9] = [
        Space::Unspecified,
        Space::BT709,
        Space::SMPTE170M,
        Space::BT470BG,
        Space::FCC,
        Space::SMPTE240M,
        Space::BT2020NCL,
        Space::YCGCO,
        Space::ICTCP,
    ];

    /// A picture of noise, also in the padding at the ends of its rows.
    fn noise(pixel: Pixel, (width, height): (u32, u32), seed: u64) -> ff::frame::Video {
        crate::ffmpeg_info::init();
        let mut frame = ff::frame::Video::new(pixel, width, height);
        let wide = format!("{pixel:?}").contains("10LE");
        let mut state = seed | 1;
        for plane in 0..frame.planes() {
            for (i, byte) in frame.data_mut(plane).iter_mut().enumerate() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                *byte = (state >> 56) as u8;
                if wide && i % 2 == 1 {
                    *byte &= 3; // Ten bits have no more.
                }
            }
        }
        if pixel == Pixel::PAL8 {
            // SAFETY: the second plane of a fresh frame with a palette is the palette, 256 colours of four bytes.
            let palette = unsafe { std::slice::from_raw_parts_mut((*frame.as_mut_ptr()).data[1], 1024) };
            palette.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
        }
        frame
    }

    fn tag(frame: &mut ff::frame::Video, matrix: Space, full: bool) {
        frame.set_color_space(matrix);
        frame.set_color_range(if full { Range::JPEG } else { Range::Unspecified });
    }

    /// Rows without gaps.
    fn tight(rgb: &Rgb) -> Vec<u8> {
        rgb.data.chunks_exact(rgb.stride).take(rgb.height).flat_map(|row| row[..rgb.width * 3].to_vec()).collect()
    }

    fn by_swscale(frame: &ff::frame::Video) -> Vec<u8> {
        let mut rgb = Rgb::default();
        Converter::default().run(frame, &mut rgb).unwrap();
        assert_eq!((rgb.width, rgb.height), (frame.width() as usize, frame.height() as usize));
        tight(&rgb)
    }

    /// Every pixel by our own arithmetic; `None` if only swscale can convert the picture.
    fn by_ourselves(frame: &ff::frame::Video) -> Option<Vec<u8>> {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        let mut picture = planes(frame)?;
        let mut out = vec![0; width * height * 3];
        for (y, row) in out.chunks_exact_mut(width * 3).enumerate() {
            picture.row(y, 0, width, row);
        }
        Some(out)
    }

    fn transform(short_side: usize, crop: usize) -> Transform {
        Transform::short_side(short_side, crop, [0.0; 3], [1.0; 3])
    }

    fn crop(mut cropper: Cropper, frame: &ff::frame::Video) -> ([u32; 2], Vec<u8>) {
        let mut out = vec![0; cropper.bytes()];
        let size = cropper.run(frame, &mut out).unwrap();
        (size, out)
    }

    fn compare(pixel: Pixel, size: (u32, u32), matrix: Space, full: bool, seed: u64) {
        let mut frame = noise(pixel, size, seed);
        tag(&mut frame, matrix, full);
        let words = format!("{pixel:?} {size:?} {matrix:?} full {full}");
        let ours = by_ourselves(&frame);
        assert_eq!(ours.is_some(), size.1.is_multiple_of(2), "{words}: which way it goes");
        let ours = ours.unwrap_or_else(|| by_swscale(&frame));
        let reference = by_swscale(&frame);
        if let Some(at) = ours.iter().zip(&reference).position(|(a, b)| a != b) {
            let (x, y) = (at / 3 % size.0 as usize, at / 3 / size.0 as usize);
            panic!("{words}: pixel {x},{y} channel {} is {}, swscale says {}", at % 3, ours[at], reference[at]);
        }
    }

    #[test]
    fn every_small_size_equals_swscale() {
        for width in 1..=40 {
            for height in [1, 2, 3, 4, 6, 10, 31, 32] {
                compare(Pixel::YUV420P, (width, height), Space::Unspecified, false, 7);
                compare(Pixel::YUVJ420P, (width, height), Space::BT709, true, 8);
            }
        }
    }

    #[test]
    fn every_colour_there_is_equals_swscale_in_every_matrix_and_range() {
        // 512 × 512 pixels have room for every pair of chroma values, each with four of luma.
        let mut frame = noise(Pixel::YUV420P, (512, 512), 9);
        for plane in [1, 2] {
            let stride = frame.stride(plane);
            for (v, row) in frame.data_mut(plane).chunks_exact_mut(stride).enumerate() {
                row.iter_mut().enumerate().for_each(|(u, byte)| *byte = if plane == 1 { u as u8 } else { v as u8 });
            }
        }
        for quarter in 0..64 {
            let stride = frame.stride(0);
            for (y, row) in frame.data_mut(0).chunks_exact_mut(stride).enumerate() {
                row.iter_mut().enumerate().for_each(|(x, byte)| *byte = (quarter * 4 + y % 2 * 2 + x % 2) as u8);
            }
            for matrix in [Space::SMPTE170M, Space::BT709, Space::FCC, Space::SMPTE240M, Space::BT2020NCL] {
                for full in [false, true] {
                    tag(&mut frame, matrix, full);
                    assert!(by_ourselves(&frame).unwrap() == by_swscale(&frame), "{matrix:?} full {full} {quarter}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn any_size_matrix_and_range_equals_swscale(
            (width, height) in (1..300u32, 1..150u32), matrix in 0..9usize, full: bool, jpeg: bool, seed: u64,
        ) {
            let pixel = if jpeg { Pixel::YUVJ420P } else { Pixel::YUV420P };
            compare(pixel, (width, height), MATRICES[matrix], full, seed);
        }

        #[test]
        fn any_crop_equals_the_crop_of_the_whole_picture(
            (width, height) in (1..300u32, 1..150u32), (side, less) in (32..160usize, 0..64usize), turn in 0..4usize,
            stay: bool, floats: bool, matrix in 0..9usize, full: bool, seed: u64,
        ) {
            let rotation = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters][turn];
            // If the short side keeps its length, the pixels are copied unchanged.
            let side = if stay { (width.min(height) as usize).max(32) } else { side };
            let mut transform = transform(side, side.saturating_sub(less).max(32));
            if floats {
                transform.filter = Filter::TorchF32;
            }
            let mut frame = noise(Pixel::YUV420P, (width, height), seed);
            tag(&mut frame, MATRICES[matrix], full);
            let exact = crop(Cropper::new(transform, rotation), &frame);
            let plain = crop(Cropper::through_swscale(transform, rotation), &frame);
            prop_assert_eq!(exact.0, if turn % 2 == 0 { [width, height] } else { [height, width] });
            prop_assert_eq!(exact.0, plain.0);
            prop_assert!(exact.1 == plain.1, "the pixels differ");
        }
    }

    #[test]
    fn one_cropper_takes_frames_of_changing_size_format_and_colour() {
        let transform = transform(40, 40);
        let mut cropper = Cropper::new(transform, Rotation::None);
        let mut out = vec![0; cropper.bytes()];
        for (i, (pixel, size, matrix)) in [
            (Pixel::YUV420P, (64, 48), Space::BT709),
            (Pixel::YUV420P, (64, 48), Space::Unspecified),
            (Pixel::YUV420P, (50, 90), Space::Unspecified),
            (Pixel::YUV444P, (50, 90), Space::Unspecified),
            (Pixel::YUV444P, (50, 90), Space::BT709),
            (Pixel::YUV420P, (33, 41), Space::BT709),
            (Pixel::RGB24, (33, 41), Space::Unspecified),
            (Pixel::YUV420P, (64, 48), Space::BT709),
        ]
        .into_iter()
        .enumerate()
        {
            let mut frame = noise(pixel, size, i as u64);
            frame.set_color_space(matrix);
            assert_eq!(cropper.run(&frame, &mut out).unwrap(), [size.0, size.1]);
            assert!(out == crop(Cropper::through_swscale(transform, Rotation::None), &frame).1, "number {i}");
        }
    }

    #[test]
    fn rare_pixel_formats_go_through_in_every_position() {
        use Pixel::*;
        let formats = [
            YUV422P,
            YUV444P,
            YUV440P,
            YUV411P,
            YUV410P,
            YUVJ422P,
            YUVJ444P,
            YUVA420P,
            YUVA444P,
            YUV420P10LE,
            YUV422P10LE,
            YUV444P10LE,
            P010LE,
            NV12,
            NV21,
            GBRP,
            GBRP10LE,
            GBRAP,
            GRAY8,
            GRAY10LE,
            YA8,
            RGB24,
            BGR24,
            RGBA,
            BGRA,
            ZRGB,
            RGB565LE,
            YUYV422,
            UYVY422,
            PAL8,
            MonoBlack,
        ];
        for pixel in formats {
            for size in [(64, 48), (37, 51), (2, 2)] {
                let frame = noise(pixel, size, 3);
                let upright = by_swscale(&frame);
                for rotation in [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
                    let (shown, pixels) = crop(Cropper::new(transform(32, 32), rotation), &frame);
                    let turned = matches!(rotation, Rotation::Quarter | Rotation::ThreeQuarters);
                    assert_eq!(shown, if turned { [size.1, size.0] } else { [size.0, size.1] }, "{pixel:?}");
                    assert!(pixels.iter().any(|v| *v != pixels[0]), "{pixel:?} {size:?} {rotation:?} is blank");
                }
                let unturned = crop(Cropper::new(transform(size.0.min(size.1) as usize, 2), Rotation::None), &frame).1;
                let (x, y) = ((size.0 as usize - 2) / 2, (size.1 as usize - 2) / 2);
                let start = (y * size.0 as usize + x) * 3;
                assert_eq!(unturned[..6], upright[start..start + 6], "{pixel:?} {size:?}");
            }
        }
    }

    #[test]
    fn turning_before_the_conversion_equals_turning_after_it_where_chroma_is_not_halved() {
        for pixel in [Pixel::YUV444P, Pixel::YUV444P10LE, Pixel::GRAY8, Pixel::GRAY10LE] {
            for rotation in [Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters] {
                let frame = noise(pixel, (37, 22), 5);
                let before = rotate::turn_frame(&frame, rotation).unwrap().unwrap();
                let mut rgb = Rgb::default();
                Converter::default().run(&frame, &mut rgb).unwrap();
                assert!(
                    by_swscale(&before) == tight(&rotate::turn_rgb(&rgb, rotation).unwrap()),
                    "{pixel:?} {rotation:?}"
                );
            }
        }
    }
}
