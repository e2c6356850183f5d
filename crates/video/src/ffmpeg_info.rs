//! The FFmpeg libraries in use: initialisation, version, licence and hardware support.

use std::ffi::{CStr, c_char};
use std::sync::Once;

use ff::ffi;
use ffmpeg_next as ff;

use crate::ffi_enums;

/// Initialises FFmpeg and turns its log off: every error that it logs is also returned. Can be called any number of times.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registers the texts of FFmpeg's errors. No FFmpeg version that these bindings support fails here.
        let _ = ff::init();
        ff::log::set_level(ff::log::Level::Panic);
    });
}

/// The version string of the build, such as `5.1.9-0+deb12u1`.
pub fn version() -> String {
    // SAFETY: the function returns a static string.
    text(unsafe { ffi::av_version_info() })
}

/// The licence that follows from the build options, such as `LGPL version 2.1 or later`.
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

/// Whether the decoder of this name, such as `h264`, was built with NVDEC support. The driver is not asked.
pub fn has_nvdec(decoder: &str) -> bool {
    ff::decoder::find_by_name(decoder).is_some_and(|codec| cuda_methods(&codec).next().is_some())
}

/// For each way in which a decoder can use CUDA devices, FFmpeg's `AV_CODEC_HW_CONFIG_METHOD_…` flags.
pub(crate) fn cuda_methods(codec: &ff::Codec) -> impl Iterator<Item = i32> {
    (0..)
        // SAFETY: the codec is static; past its last configuration the function returns null.
        .map(|index| unsafe { ffi::avcodec_get_hw_config(codec.as_ptr(), index) })
        .take_while(|config| !config.is_null())
        // SAFETY: not null, and static.
        .map(|config| unsafe { (ffi_enums::read(&raw const (*config).device_type), (*config).methods) })
        .filter(|(device, _)| *device == ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_CUDA as i32)
        .map(|(_, methods)| methods)
}
