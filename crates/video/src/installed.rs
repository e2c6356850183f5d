//! What this FFmpeg is: its version and licence, and the hardware that its decoders can use.

use std::ffi::{CStr, c_char};

use ff::ffi;
use ffmpeg_next as ff;

/// The version as whoever built it writes it, such as `5.1.9-0+deb12u1`.
pub fn version() -> String {
    // SAFETY: the function returns a static string.
    text(unsafe { ffi::av_version_info() })
}

/// The licence that follows from how it was built, such as `LGPL version 2.1 or later`.
pub fn license() -> String {
    // SAFETY: the function returns a static string.
    text(unsafe { ffi::avcodec_license() })
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and FFmpeg's texts are static and end in a zero byte.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Whether a decoder of this name, such as `h264`, can hand its work to NVDEC. The driver is not asked.
pub fn has_nvdec(decoder: &str) -> bool {
    let Some(codec) = ff::decoder::find_by_name(decoder) else { return false };
    (0..)
        // SAFETY: the codec is static; past its last configuration the function returns null.
        .map(|index| unsafe { ffi::avcodec_get_hw_config(codec.as_ptr(), index) })
        .take_while(|config| !config.is_null())
        // SAFETY: not null, and static.
        .any(|config| unsafe { (*config).device_type } == ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA)
}
