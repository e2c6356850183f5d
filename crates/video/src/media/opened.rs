//! Decoders for an open file, and whether one that was opened for another file will do.

use ffmpeg_next as ff;

use super::Media;
use crate::decoder::Decoder;
use crate::error::VideoError;
use crate::nvdec::Nvdec;

/// What a decoder is opened for. Streams for which it is the same can be decoded by one decoder in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    codec: ff::codec::Id,
    extradata: Vec<u8>,
    numbers: [i32; 15],
    pixels: i64,
}

impl Media {
    /// Starts a new decoder of one thread, which makes its result the same for every run, also on damaged files; on a GPU
    /// where one is given.
    ///
    /// # Errors
    /// When FFmpeg has no decoder for the codec or cannot open it.
    pub fn decoder(&self, nvdec: Option<&Nvdec>) -> Result<Decoder, VideoError> {
        let failed = |source| VideoError::Ffmpeg { action: "open the decoder", source };
        let stream = self.input.stream(self.stream).ok_or(VideoError::NoVideoStream)?;
        let mut context = ff::codec::Context::from_parameters(stream.parameters()).map_err(failed)?;
        let codec = ff::decoder::find(context.id());
        let codec = codec.ok_or_else(|| VideoError::NoDecoder(context.id().name().to_owned()))?;
        context.set_threading(ff::threading::Config {
            kind: ff::threading::Type::None,
            count: 1,
            ..Default::default()
        });
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(stream.time_base());
        nvdec.map_or(Ok(()), |nvdec| nvdec.attach(&mut decoder))?;
        Decoder::open(decoder, codec, self.pixels)
    }

    /// How its stream is encoded, where that says all that a decoder is opened for.
    pub fn encoding(&self) -> Option<Encoding> {
        let (codec, extradata) = self.codec();
        // Without it, what a decoder needs comes with the packets, and is not known before.
        if extradata.is_empty() && !matches!(codec, ff::codec::Id::VP8 | ff::codec::Id::VP9) {
            return None;
        }
        let stream = self.input.stream(self.stream)?;
        // SAFETY: the parameters belong to the open input; enumerations are read as the integers that they are to FFmpeg.
        let numbers = unsafe {
            let p = (*stream.as_ptr()).codecpar;
            let word = |field: *const i32| field.read();
            [
                (*p).format,
                (*p).profile,
                (*p).level,
                (*p).width,
                (*p).height,
                (*p).sample_aspect_ratio.num,
                (*p).sample_aspect_ratio.den,
                (*p).video_delay,
                (*p).bits_per_raw_sample,
                word((&raw const (*p).field_order).cast()),
                word((&raw const (*p).color_range).cast()),
                word((&raw const (*p).color_space).cast()),
                word((&raw const (*p).color_primaries).cast()),
                word((&raw const (*p).color_trc).cast()),
                word((&raw const (*p).chroma_location).cast()),
            ]
        };
        Some(Encoding { codec, extradata: extradata.into(), numbers, pixels: self.pixels })
    }

    /// Makes a decoder that has been opened for a stream of the same encoding as good as new.
    pub fn again(&self, decoder: &mut Decoder) {
        let Some(stream) = self.input.stream(self.stream) else { return };
        // SAFETY: the parameters belong to the open input.
        let delay = unsafe { (*(*stream.as_ptr()).codecpar).video_delay };
        decoder.begin_again(stream.time_base(), delay);
    }
}
