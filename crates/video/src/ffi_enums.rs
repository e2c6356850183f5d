//! FFmpeg's enumerations as C integers.
//!
//! The bindings declare FFmpeg's enumerations as Rust enumerations, which may hold only the values that the headers of one
//! release list. A newer library or a damaged file may give other values, and to read such a value through the Rust type is
//! undefined behaviour. Fields that FFmpeg fills in are therefore read as integers, and functions that take or return an
//! enumeration are declared here with integers.

use std::ffi::{CStr, c_char, c_int, c_void};

use ff::ffi;
use ffmpeg_next as ff;

unsafe extern "C" {
    fn avcodec_find_decoder(id: c_int) -> *const ffi::AVCodec;
    fn avcodec_get_name(id: c_int) -> *const c_char;
    fn av_pix_fmt_desc_get(format: c_int) -> *const ffi::AVPixFmtDescriptor;
    fn av_get_pix_fmt_name(format: c_int) -> *const c_char;
    fn sws_getContext(
        source_width: c_int,
        source_height: c_int,
        source_format: c_int,
        width: c_int,
        height: c_int,
        format: c_int,
        flags: c_int,
        source_filter: *mut c_void,
        filter: *mut c_void,
        parameters: *const f64,
    ) -> *mut ffi::SwsContext;
    fn sws_isSupportedInput(format: c_int) -> c_int;
}

/// Reads an enumeration of FFmpeg's as the integer that it is in C.
///
/// # Safety
/// The pointer is valid for reads, and `E` is one of FFmpeg's enumerations.
pub(crate) unsafe fn read<E>(field: *const E) -> c_int {
    const { assert!(size_of::<E>() == size_of::<c_int>()) };
    // SAFETY: see above; C enumerations of FFmpeg have the size of an int, which is checked when this is compiled.
    unsafe { field.cast::<c_int>().read() }
}

/// FFmpeg's decoder for the codec of this number.
pub(crate) fn find_decoder(id: c_int) -> Option<ff::Codec> {
    // SAFETY: the function takes any number and returns null or a static codec.
    unsafe {
        let codec = avcodec_find_decoder(id);
        (!codec.is_null()).then(|| ff::Codec::wrap(codec))
    }
}

/// FFmpeg's name of the codec of this number, such as `h264`.
pub(crate) fn codec_name(id: c_int) -> String {
    // SAFETY: the function takes any number and returns a static string.
    unsafe { text(avcodec_get_name(id)) }
}

/// The descriptor of a pixel format; `None` for a number that this FFmpeg does not know.
pub(crate) fn pixel_format(format: c_int) -> Option<&'static ffi::AVPixFmtDescriptor> {
    // SAFETY: the function takes any number and returns null or a static descriptor, which holds no enumeration.
    unsafe { av_pix_fmt_desc_get(format).as_ref() }
}

/// FFmpeg's name of a pixel format, such as `yuv420p`.
pub(crate) fn pixel_format_name(format: c_int) -> String {
    // SAFETY: the function takes any number and returns null or a static string.
    unsafe { text(av_get_pix_fmt_name(format)) }
}

/// A swscale context that converts frames of this size and pixel format to RGB24 with bilinear chroma; null on failure.
pub(crate) fn rgb24_context(width: c_int, height: c_int, format: c_int) -> *mut ffi::SwsContext {
    let rgb24 = ffi::AVPixelFormat::AV_PIX_FMT_RGB24 as c_int;
    let (flags, none) = (ffi::SWS_BILINEAR as c_int, std::ptr::null_mut());
    // swscale aborts the process for a format without a descriptor.
    if pixel_format(format).is_none() {
        return std::ptr::null_mut();
    }
    // SAFETY: the format is known, and the function takes any size, and null for the filters and parameters.
    unsafe { sws_getContext(width, height, format, width, height, rgb24, flags, none, none, std::ptr::null()) }
}

/// Whether swscale can convert from this pixel format.
pub(crate) fn is_convertible(format: c_int) -> bool {
    // SAFETY: the function takes any number.
    unsafe { sws_isSupportedInput(format) > 0 }
}

/// # Safety
/// The pointer is null or points to a string that is valid while this is called.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return "unknown".into();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_release_knows_are_harmless() {
        for number in [-1, 123_456, c_int::MAX, c_int::MIN] {
            assert!(find_decoder(number).is_none() && pixel_format(number).is_none() && !is_convertible(number));
            assert!(rgb24_context(16, 16, number).is_null(), "{number}");
            assert!(!codec_name(number).is_empty() && !pixel_format_name(number).is_empty());
        }
        assert_eq!(codec_name(ffi::AVCodecID::AV_CODEC_ID_H264 as c_int), "h264");
        assert_eq!(pixel_format_name(ffi::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int), "yuv420p");
    }
}
