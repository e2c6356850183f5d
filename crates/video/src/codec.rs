//! Video codecs by FFmpeg's number, also those that the bindings do not know.

use std::ffi::c_int;

use ff::ffi;
use ffmpeg_next as ff;

use crate::ffi_enums;

/// A video codec by FFmpeg's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecId(c_int);

macro_rules! codecs {
    ($($name:ident = $ffmpeg:ident),* $(,)?) => {
        #[allow(missing_docs)] // The names say it.
        impl CodecId {
            $(pub const $name: Self = Self(ffi::AVCodecID::$ffmpeg as c_int);)*
        }
    };
}

codecs! {
    NONE = AV_CODEC_ID_NONE,
    H264 = AV_CODEC_ID_H264,
    HEVC = AV_CODEC_ID_HEVC,
    MPEG1 = AV_CODEC_ID_MPEG1VIDEO,
    MPEG2 = AV_CODEC_ID_MPEG2VIDEO,
    MPEG4 = AV_CODEC_ID_MPEG4,
    MJPEG = AV_CODEC_ID_MJPEG,
    VP8 = AV_CODEC_ID_VP8,
    VP9 = AV_CODEC_ID_VP9,
    AV1 = AV_CODEC_ID_AV1,
}

impl CodecId {
    /// The codec of a stream or decoder.
    ///
    /// # Safety
    /// The parameters are alive.
    pub(crate) unsafe fn of(parameters: *const ffi::AVCodecParameters) -> Self {
        // SAFETY: see above.
        Self(unsafe { ffi_enums::read(&raw const (*parameters).codec_id) })
    }

    /// FFmpeg's number.
    pub fn number(self) -> c_int {
        self.0
    }

    /// FFmpeg's name, such as `h264`.
    pub fn name(self) -> String {
        ffi_enums::codec_name(self.0)
    }

    /// FFmpeg's decoder, if it has one.
    pub(crate) fn decoder(self) -> Option<ff::Codec> {
        ffi_enums::find_decoder(self.0)
    }
}
