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

/// Names of formats that FFmpeg may not know: by the four characters of MP4 and AVI files, or the codec's name in Matroska.
const NAMES: [(&str, &str); 16] = [
    ("vvc1", "VVC (H.266)"),
    ("vvi1", "VVC (H.266)"),
    ("V_MPEGI/ISO/VVC", "VVC (H.266)"),
    ("dvh1", "Dolby Vision (HEVC)"),
    ("dvhe", "Dolby Vision (HEVC)"),
    ("dva1", "Dolby Vision (H.264)"),
    ("dvav", "Dolby Vision (H.264)"),
    ("dav1", "Dolby Vision (AV1)"),
    ("av01", "AV1"),
    ("V_AV1", "AV1"),
    ("evc1", "EVC"),
    ("lvc1", "LCEVC"),
    ("avs3", "AVS3"),
    ("V_AVS3", "AVS3"),
    ("apv1", "APV"),
    ("jxsm", "JPEG XS"),
];

/// The codec for people: FFmpeg's name if it has one, or what the container calls it. `tag` holds its four characters.
pub(crate) fn describe(codec: CodecId, tag: u32, container: Option<&str>) -> String {
    let characters = tag.to_le_bytes();
    let is_text = characters.iter().all(|byte| (0x20..0x7f).contains(byte));
    let fourcc = is_text.then(|| String::from_utf8_lossy(&characters).into_owned());
    let own = [container, fourcc.as_deref()].into_iter().flatten().find(|own| !own.is_empty());
    let name = NAMES.iter().find(|(own_name, _)| own == Some(own_name)).map(|(_, name)| (*name).to_owned());
    let name = name.or_else(|| (codec != CodecId::NONE).then(|| codec.name()));
    match (name, own) {
        (Some(name), Some(own)) => format!("{name}, {own} in the container"),
        (Some(name), None) => name,
        (None, Some(own)) => own.to_owned(),
        (None, None) => "none, which the container does not name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_that_ffmpeg_does_not_know_have_a_name() {
        let vvc = u32::from_le_bytes(*b"vvc1");
        assert_eq!(describe(CodecId::NONE, vvc, None), "VVC (H.266), vvc1 in the container");
        assert_eq!(describe(CodecId::NONE, 0, Some("V_MPEG4/ISO/XYZ")), "V_MPEG4/ISO/XYZ");
        assert_eq!(describe(CodecId::H264, 0, None), "h264");
        assert_eq!(describe(CodecId::NONE, u32::from_le_bytes(*b"abcd"), None), "abcd");
        assert_eq!(describe(CodecId::NONE, 1, None), "none, which the container does not name");
    }
}
