//! Converts NV12, which NVDEC gives (U and V alternating in one plane), to three planes.
//!
//! Only the chroma is copied, which is a third of a frame. Rotation, odd heights and the conversion to RGB then need no second
//! implementation, and the pixels are the same as from the decoder on the CPU.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use ff::ffi;
use ffmpeg_next as ff;

/// Extra bytes at the end of chroma buffers and rows, because FFmpeg reads and writes a little beyond them.
const PADDING: usize = 64;

/// The frame with U and V in separate planes and shared luma. `None` for other formats than NV12, and without memory.
pub(crate) fn to_planar(frame: &ff::frame::Video) -> Option<ff::frame::Video> {
    let mut out = ff::frame::Video::empty();
    // SAFETY: the frame is alive and NV12: a plane of `height` rows of luma, and a plane of half as many rows, rounded up, of
    // pairs. `out` is a new frame. It owns a reference to the luma's buffer, and a buffer with room for both chroma planes.
    unsafe {
        let (from, to) = (frame.as_ptr(), out.as_mut_ptr());
        let (lines, data) = ((*from).linesize, (*from).data);
        let upright = lines[0] > 0 && lines[1] > 0 && (*from).width > 0 && (*from).height > 0;
        if (*from).format != ffi::AVPixelFormat::AV_PIX_FMT_NV12 as i32 || !upright || (*from).buf[0].is_null() {
            return None;
        }
        let (width, height) = chroma_size(from);
        let stride = width.next_multiple_of(64) + PADDING;
        let plane = stride * height;
        let chroma = share_luma(from, to, ffi::AVPixelFormat::AV_PIX_FMT_YUV420P, plane * 2)?;
        ((*to).data[1], (*to).data[2]) = (chroma, chroma.add(plane));
        ((*to).linesize[1], (*to).linesize[2]) = (stride as i32, stride as i32);
        let pairs = from_raw_parts(data[1], (height - 1) * lines[1] as usize + width * 2);
        let (u, v) = from_raw_parts_mut(chroma, plane * 2).split_at_mut(plane);
        let rows = u.chunks_exact_mut(stride).zip(v.chunks_exact_mut(stride));
        for (pairs, (u, v)) in pairs.chunks(lines[1] as usize).zip(rows) {
            split(&pairs[..width * 2], &mut u[..width], &mut v[..width]);
        }
    }
    Some(out)
}

/// Width and height of the chroma of a 4:2:0 frame.
///
/// # Safety
/// The frame is alive.
unsafe fn chroma_size(frame: *const ffi::AVFrame) -> (usize, usize) {
    // SAFETY: see above.
    unsafe { (((*frame).width as usize).div_ceil(2), ((*frame).height as usize).div_ceil(2)) }
}

/// Turns an empty frame into one of this format that shares the luma of another frame, and returns a chroma buffer of this
/// many bytes. `None` without memory.
///
/// # Safety
/// `from` is a frame with a buffer for its luma, and `to` is empty.
unsafe fn share_luma(
    from: *const ffi::AVFrame,
    to: *mut ffi::AVFrame,
    format: ffi::AVPixelFormat,
    bytes: usize,
) -> Option<*mut u8> {
    // SAFETY: see above. The planes of a frame may share a buffer or have one each; only the luma's buffer is needed.
    unsafe {
        (*to).buf[0] = ffi::av_buffer_ref((*from).buf[0]);
        (*to).buf[1] = ffi::av_buffer_allocz(bytes + PADDING);
        if (*to).buf[0].is_null() || (*to).buf[1].is_null() || ffi::av_frame_copy_props(to, from) < 0 {
            return None;
        }
        ((*to).width, (*to).height, (*to).format) = ((*from).width, (*from).height, format as i32);
        ((*to).data[0], (*to).linesize[0]) = ((*from).data[0], (*from).linesize[0]);
        Some((*(*to).buf[1]).data)
    }
}

/// Splits pairs. The compiler vectorises this loop.
fn split(pairs: &[u8], u: &mut [u8], v: &mut [u8]) {
    for ((pair, u), v) in pairs.as_chunks::<2>().0.iter().zip(u).zip(v) {
        (*u, *v) = (pair[0], pair[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffmpeg_info::init;
    use crate::picture::Cropper;
    use crate::rotate::Rotation;
    use ff::color::{Range, Space};
    use ff::format::Pixel;
    use proptest::prelude::*;
    use reeldeck_common::recipe::Transform;

    /// The same noise in both layouts, with different noise beyond the ends of rows.
    fn both((width, height): (u32, u32), seed: u64) -> [ff::frame::Video; 2] {
        init();
        let mut frames = [Pixel::YUV420P, Pixel::NV12].map(|pixel| ff::frame::Video::new(pixel, width, height));
        let mut state = seed | 1;
        let mut noise = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        for frame in &mut frames {
            (0..frame.planes()).for_each(|plane| frame.data_mut(plane).iter_mut().for_each(|byte| *byte = noise()));
        }
        let [planar, paired] = &mut frames;
        let (rows, columns) = (height.div_ceil(2) as usize, width.div_ceil(2) as usize);
        for y in 0..height as usize {
            let row = y * planar.stride(0);
            let luma = &planar.data(0)[row..row + width as usize];
            let at = y * paired.stride(0);
            paired.data_mut(0)[at..at + luma.len()].copy_from_slice(luma);
        }
        for y in 0..rows {
            for x in 0..columns {
                let pair = [1, 2].map(|plane| planar.data(plane)[y * planar.stride(plane) + x]);
                let at = y * paired.stride(1) + x * 2;
                paired.data_mut(1)[at..at + 2].copy_from_slice(&pair);
            }
        }
        frames
    }

    fn crop(mut cropper: Cropper, frame: &ff::frame::Video) -> ([u32; 2], Vec<u8>) {
        let mut out = vec![0; cropper.bytes()];
        let size = cropper.run(frame, &mut out).unwrap();
        (size, out)
    }

    #[test]
    fn other_formats_are_refused() {
        init();
        for pixel in [Pixel::YUV420P, Pixel::NV21, Pixel::P010LE, Pixel::RGB24] {
            assert!(to_planar(&ff::frame::Video::new(pixel, 16, 16)).is_none(), "{pixel:?}");
        }
        assert!(to_planar(&ff::frame::Video::empty()).is_none());
    }

    #[test]
    fn a_converted_frame_outlives_its_source() {
        let [planar, paired] = both((50, 34), 3);
        let made = to_planar(&paired).unwrap();
        drop(paired);
        let transform = Transform::short_side(32, 32, [0.0; 3], [1.0; 3]);
        let of = |frame| crop(Cropper::new(transform, Rotation::None), frame);
        assert!(of(&made) == of(&planar));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Every implementation gives the crops of the planar frame, for any size, colour and rotation.
        #[test]
        fn a_converted_frame_gives_the_crops_of_the_planar_frame(
            (width, height) in (1..300u32, 1..150u32), (side, less) in (32..160usize, 0..64usize), turn in 0..4usize,
            stay: bool, bt709: bool, full: bool, seed: u64,
        ) {
            let rotation = [Rotation::None, Rotation::Quarter, Rotation::Half, Rotation::ThreeQuarters][turn];
            let side = if stay { (width.min(height) as usize).max(32) } else { side };
            let crop_side = side.saturating_sub(less).max(32);
            let transform = Transform::short_side(side, crop_side, [0.0; 3], [1.0; 3]);
            let [mut planar, mut paired] = both((width, height), seed);
            for frame in [&mut planar, &mut paired] {
                frame.set_color_space(if bt709 { Space::BT709 } else { Space::Unspecified });
                frame.set_color_range(if full { Range::JPEG } else { Range::Unspecified });
            }
            let made = to_planar(&paired).unwrap();
            let expected = crop(Cropper::through_swscale(transform, rotation), &planar);
            prop_assert!(crop(Cropper::new(transform, rotation), &made) == expected, "as in extraction");
            prop_assert!(crop(Cropper::through_swscale(transform, rotation), &made) == expected, "through swscale");
            prop_assert!(crop(Cropper::scalar(transform, rotation), &made) == expected, "without vector instructions");
            // FFmpeg uses this format for full range in H.264 and HEVC.
            if full {
                // SAFETY: the two formats have the same planes.
                unsafe { (*planar.as_mut_ptr()).format = ffi::AVPixelFormat::AV_PIX_FMT_YUVJ420P as i32 };
                prop_assert!(crop(Cropper::new(transform, rotation), &planar) == expected, "as YUVJ420P");
            }
        }
    }
}
