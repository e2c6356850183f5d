//! Rotates pictures by quarter turns as FFmpeg's transpose filter does: plane by plane, before the conversion to RGB.

use ff::ffi;
use ffmpeg_next as ff;

use crate::convert::Rgb;
use crate::error::VideoError;
use crate::ffi_enums;
use crate::memory;

/// How a frame must be rotated for display, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// By 90 degrees.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    ThreeQuarters,
}

/// How the frames of a stream must be rotated, by its display matrix.
pub(crate) fn of_stream(stream: &ff::Stream) -> Rotation {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX as i32;
    // SAFETY: the side data belongs to the stream, which is alive.
    let is_matrix = |data: &ff::packet::SideData| unsafe { ffi_enums::read(&raw const (*data.as_ptr()).type_) } == kind;
    let Some(matrix) = stream.side_data().find(is_matrix) else { return Rotation::None };
    let words: Vec<i32> = matrix.data().as_chunks::<4>().0.iter().map(|b| i32::from_ne_bytes(*b)).collect();
    if words.len() < 9 {
        return Rotation::None;
    }
    // SAFETY: the matrix has the nine integers that the function reads.
    let degrees = -unsafe { ffi::av_display_rotation_get(words.as_ptr()) };
    if !degrees.is_finite() {
        return Rotation::None;
    }
    match degrees.rem_euclid(360.0) {
        d if (d - 90.0).abs() < 1.0 => Rotation::Quarter,
        d if (d - 180.0).abs() < 1.0 => Rotation::Half,
        d if (d - 270.0).abs() < 1.0 => Rotation::ThreeQuarters,
        _ => Rotation::None,
    }
}

/// Turns `source` (rows of `stride` bytes, `width` × `height` elements of `N` bytes) into `out` (rows of `out_stride`).
fn turn<const N: usize>(source: Plane<'_>, rotation: Rotation, out: &mut [u8], out_stride: usize) {
    let Plane { data, stride, width, height } = source;
    let (out_width, out_height) = turned(rotation, width, height);
    for y in 0..out_height {
        let row = &mut out[y * out_stride..][..out_width * N];
        for (x, element) in row.as_chunks_mut::<N>().0.iter_mut().enumerate() {
            let (from_x, from_y) = match rotation {
                Rotation::None => (x, y),
                Rotation::Quarter => (y, height - 1 - x),
                Rotation::Half => (width - 1 - x, height - 1 - y),
                Rotation::ThreeQuarters => (width - 1 - y, x),
            };
            element.copy_from_slice(&data[from_y * stride + from_x * N..][..N]);
        }
    }
}

struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

fn turned(rotation: Rotation, width: usize, height: usize) -> (usize, usize) {
    match rotation {
        Rotation::None | Rotation::Half => (width, height),
        Rotation::Quarter | Rotation::ThreeQuarters => (height, width),
    }
}

/// A rotated copy of the frame. `None` if its planes cannot be rotated separately (packed formats, and chroma halved in only one
/// direction): the caller then rotates the RGB picture.
///
/// # Errors
/// If there is no memory.
pub(crate) fn turn_frame(frame: &ff::frame::Video, rotation: Rotation) -> Result<Option<ff::frame::Video>, VideoError> {
    let Some(shape) = Shape::of(frame) else { return Ok(None) };
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let (out_width, out_height) = turned(rotation, width, height);
    let mut out = ff::frame::Video::empty();
    // SAFETY: `out` is a fresh frame. After its buffers are made, every plane of it and of `frame` holds a plane of the
    // sizes computed here: FFmpeg rounds halved sizes up. Negative strides were refused by `Shape::of`.
    unsafe {
        let (target, source) = (out.as_mut_ptr(), frame.as_ptr());
        ((*target).width, (*target).height, (*target).format) = (out_width as i32, out_height as i32, (*source).format);
        // Copied as bytes: a damaged file may contain numbers that the enumerations do not have.
        std::ptr::copy_nonoverlapping(&raw const (*source).colorspace, &raw mut (*target).colorspace, 1);
        std::ptr::copy_nonoverlapping(&raw const (*source).color_range, &raw mut (*target).color_range, 1);
        let made = ffi::av_frame_get_buffer(target, 0);
        if made < 0 {
            return Err(VideoError::Ffmpeg { action: "turn a picture", source: ff::Error::from(made) });
        }
        for plane in 0..shape.planes {
            let halved = |size: usize| if plane == 0 { size } else { size.div_ceil(1 << shape.chroma_shift) };
            let (width, height) = (halved(width), halved(height));
            let (stride, out_stride) = ((*source).linesize[plane] as usize, (*target).linesize[plane] as usize);
            let length = (height - 1) * stride + width * shape.bytes;
            let data = std::slice::from_raw_parts((*source).data[plane], length);
            let (to_width, to_height) = turned(rotation, width, height);
            let length = (to_height - 1) * out_stride + to_width * shape.bytes;
            let to = std::slice::from_raw_parts_mut((*target).data[plane], length);
            let plane = Plane { data, stride, width, height };
            match shape.bytes {
                1 => turn::<1>(plane, rotation, to, out_stride),
                _ => turn::<2>(plane, rotation, to, out_stride),
            }
        }
    }
    Ok(Some(out))
}

/// Rotates an RGB picture.
///
/// # Errors
/// If there is no memory.
pub(crate) fn turn_rgb(picture: &Rgb, rotation: Rotation) -> Result<Rgb, VideoError> {
    let (width, height) = turned(rotation, picture.width, picture.height);
    let mut out = Rgb { data: vec![], stride: width * 3, width, height };
    memory::resize(&mut out.data, width * height * 3)?;
    let plane = Plane { data: &picture.data, stride: picture.stride, width: picture.width, height: picture.height };
    turn::<3>(plane, rotation, &mut out.data, width * 3);
    Ok(out)
}

struct Shape {
    planes: usize,
    bytes: usize,
    chroma_shift: u8,
}

impl Shape {
    fn of(frame: &ff::frame::Video) -> Option<Self> {
        // SAFETY: the descriptor is null or static; the frame is alive.
        unsafe {
            let raw = frame.as_ptr();
            let descriptor = ffi_enums::pixel_format((*raw).format)?;
            let components = descriptor.comp.get(..usize::from(descriptor.nb_components))?;
            let bytes = usize::from(components.first()?.depth > 8) + 1;
            let planar = components
                .iter()
                .enumerate()
                .all(|(i, c)| c.plane == i as i32 && c.step == bytes as i32 && c.offset == 0);
            let square = descriptor.log2_chroma_w == descriptor.log2_chroma_h;
            let odd = u64::from(
                (ffi::AV_PIX_FMT_FLAG_BITSTREAM | ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_PAL) as u32,
            );
            let usable = planar && square && components.len() <= 3 && descriptor.flags & odd == 0;
            let upright = (*raw).linesize.iter().take(components.len()).all(|stride| *stride > 0);
            (usable && upright).then_some(Self {
                planes: components.len(),
                bytes,
                chroma_shift: descriptor.log2_chroma_w,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_turn_clockwise() {
        let picture =
            Rgb { data: [1, 2, 3, 4, 5, 6].iter().flat_map(|v| [*v, 0, 0]).collect(), stride: 9, width: 3, height: 2 };
        let red = |rotation| {
            let out = turn_rgb(&picture, rotation).unwrap();
            (out.width, out.data.iter().step_by(3).copied().collect::<Vec<_>>())
        };
        assert_eq!(red(Rotation::None), (3, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(red(Rotation::Quarter), (2, vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(red(Rotation::Half), (3, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(red(Rotation::ThreeQuarters), (2, vec![3, 6, 2, 5, 1, 4]));
    }
}
