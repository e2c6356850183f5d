//! How many frames the packets of a stream show. In interlaced video, a frame may consist of two fields that have packets of their
//! own, as cameras record H.264 in transport streams (AVCHD): the decoder gives one frame for both.

use std::ffi::c_int;
use std::ptr::NonNull;

use ff::ffi;
use ffmpeg_next as ff;

use crate::codec::CodecId;
use crate::ffi_enums;
use crate::hidden;
use crate::mpeg2;
use crate::nal::{self, Framing};

/// Counts the frames in the packets of a stream, in the order of the file.
pub(crate) struct FrameCounter {
    codec: CodecId,
    framing: Framing,
    /// Reads the headers of H.264.
    parser: Option<Parser>,
    /// The last picture was the first field of a frame.
    open: Option<Field>,
    /// Frames that consist of two packets.
    pairs: u64,
}

/// Which lines of a frame a field has. Of MPEG-2, any two fields in a row make a frame, and their kinds do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Top,
    Bottom,
    Any,
}

/// A picture as its headers describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Picture {
    field: Field,
    /// It may be the second field of a frame: it has the number of the picture before.
    continues: bool,
}

impl FrameCounter {
    /// For a stream with these parameters.
    pub(crate) fn new(codec: CodecId, extradata: &[u8], parameters: Option<ff::codec::Parameters>) -> Self {
        let parser =
            parameters.filter(|_| codec == CodecId::H264).and_then(|parameters| Parser::open(codec, parameters));
        Self { codec, framing: Framing::of(extradata), parser, open: None, pairs: 0 }
    }

    /// Frames that the decoder gives for this packet. Of two packets that make up one frame, the first one counts.
    pub(crate) fn shown(&mut self, packet: &ff::Packet) -> u64 {
        let data = packet.data().unwrap_or_default();
        match self.codec {
            // An empty packet repeats the previous frame.
            _ if data.is_empty() => 1,
            CodecId::H264 => {
                let picture = self.parser.as_mut().and_then(|parser| parser.picture(packet));
                let is_whole = picture.is_some() && nal::pictures(data, self.framing) > 1;
                self.add(picture.filter(|_| !is_whole))
            }
            CodecId::MPEG2 => {
                let mut fields = mpeg2::fields(data);
                match fields.next() {
                    Some(true) if fields.next().is_none() => {
                        self.add(Some(Picture { field: Field::Any, continues: true }))
                    }
                    _ => self.add(None),
                }
            }
            codec => hidden::frames_shown(codec, data),
        }
    }

    /// Adds a packet with one field, or with a whole frame.
    fn add(&mut self, picture: Option<Picture>) -> u64 {
        let open = self.open.take();
        let Some(Picture { field, continues }) = picture else { return 1 };
        let is_second = continues && open.is_some_and(|first| first != field || field == Field::Any);
        if is_second {
            self.pairs += 1;
            return 0;
        }
        self.open = Some(field);
        1
    }

    /// Whether some frames consist of two packets.
    pub(crate) fn has_pairs(&self) -> bool {
        self.pairs > 0
    }

    /// Whether the last packet was one field of a frame, and the other one may follow.
    pub(crate) fn is_half(&self) -> bool {
        self.open.is_some()
    }

    /// Forgets the packets so far, as they are not those before the next one.
    pub(crate) fn reset(&mut self) {
        self.open = None;
    }
}

/// FFmpeg's parser of a stream's headers.
struct Parser {
    context: ff::codec::Context,
    parser: NonNull<ffi::AVCodecParserContext>,
}

// SAFETY: the parser is owned, and used by one thread at a time.
unsafe impl Send for Parser {}

impl Parser {
    fn open(codec: CodecId, parameters: ff::codec::Parameters) -> Option<Self> {
        let context = ff::codec::Context::from_parameters(parameters).ok()?;
        // SAFETY: the function takes any number and returns a parser, or null if there is none for the codec.
        let parser = NonNull::new(unsafe { ffi::av_parser_init(codec.number()) })?;
        // SAFETY: the parser is alive; this is a field for users to set.
        unsafe { (*parser.as_ptr()).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES as c_int };
        Some(Self { context, parser })
    }

    /// The first picture of a packet, if it is a field.
    fn picture(&mut self, packet: &ff::Packet) -> Option<Picture> {
        let data = packet.data()?;
        let length = c_int::try_from(data.len()).ok()?;
        let (mut out, mut out_length) = (std::ptr::null_mut(), 0);
        let none = ffi::AV_NOPTS_VALUE;
        let parser = self.parser.as_ptr();
        // SAFETY: parser and context are alive, and the data of a packet is followed by the padding that the function needs. What
        // it gives out points into the packet, and is not used. Enumerations are read as integers.
        let (structure, order) = unsafe {
            let context = self.context.as_mut_ptr();
            ffi::av_parser_parse2(
                parser,
                context,
                &raw mut out,
                &raw mut out_length,
                data.as_ptr(),
                length,
                none,
                none,
                -1,
            );
            (ffi_enums::read(&raw const (*parser).picture_structure), ffi_enums::read(&raw const (*parser).field_order))
        };
        let is = |kind: ffi::AVPictureStructure| structure == kind as c_int;
        let field = match () {
            () if is(ffi::AVPictureStructure::AV_PICTURE_STRUCTURE_TOP_FIELD) => Field::Top,
            () if is(ffi::AVPictureStructure::AV_PICTURE_STRUCTURE_BOTTOM_FIELD) => Field::Bottom,
            () => return None,
        };
        // The order of the fields is known with the second one, which has the number of the first.
        let continues = order != ffi::AVFieldOrder::AV_FIELD_UNKNOWN as c_int;
        Some(Picture { field, continues })
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: the parser is alive, and closed once.
        unsafe { ffi::av_parser_close(self.parser.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pictures: &[Option<(Field, bool)>]) -> Vec<u64> {
        let mut counter = FrameCounter::new(CodecId::H264, &[], None);
        let picture = |(field, continues)| Picture { field, continues };
        pictures.iter().map(|next| counter.add(next.map(picture))).collect()
    }

    #[test]
    fn two_fields_of_one_number_make_a_frame() {
        use Field::{Any, Bottom, Top};
        let (top, bottom) = (Some((Top, false)), Some((Bottom, true)));
        assert_eq!(counted(&[top, bottom, top, bottom]), [1, 0, 1, 0]);
        assert_eq!(counted(&[top, bottom, None, top, bottom]), [1, 0, 1, 1, 0], "frames and fields mixed");
        assert_eq!(counted(&[top, Some((Bottom, false))]), [1, 1], "another number");
        assert_eq!(counted(&[top, Some((Top, true))]), [1, 1], "the same lines");
        // Frames that no other refers to have the same number.
        assert_eq!(counted(&[top, bottom, Some((Top, true)), bottom]), [1, 0, 1, 0]);
        assert_eq!(counted(&[top, None, bottom]), [1, 1, 1], "a frame between two fields");
        assert_eq!(counted(&[Some((Any, true)); 5]), [1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_seek_separates_two_fields() {
        let mut counter = FrameCounter::new(CodecId::H264, &[], None);
        let picture = |field| Some(Picture { field, continues: true });
        assert_eq!((counter.add(picture(Field::Top)), counter.is_half()), (1, true));
        counter.reset();
        assert_eq!((counter.add(picture(Field::Bottom)), counter.has_pairs()), (1, false));
        assert_eq!((counter.add(picture(Field::Top)), counter.has_pairs(), counter.is_half()), (0, true, false));
    }
}
