//! Opens a file with FFmpeg, held to local files and known containers, and makes decoders for its best video stream.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;

use ff::ffi;
use ff::packet::Mut;
use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;
use reeldeck_common::source::SourceStamp;

use crate::boxes;
use crate::codec::CodecId;
use crate::decoder::Decoder;
use crate::error::VideoError;
use crate::ffi_enums;
use crate::memory;
use crate::nvdec::Nvdec;

/// Demuxers that may open a video. A playlist posing as .mp4 is not among them, so it cannot make FFmpeg read other files.
const DEMUXERS: &str =
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,m4v,ivf,obu,mjpeg,nut,wmv";

/// Prepares FFmpeg and silences its own log: what it has to say, short of a crash, is in the errors. Call once at program
/// start.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registers the texts of FFmpeg's errors. It fails in no version of FFmpeg that this binds to.
        let _ = ff::init();
        ff::log::set_level(ff::log::Level::Panic);
    });
}

/// How a picture must be turned to be shown, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As it is.
    #[default]
    None,
    /// By 90 degrees.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees.
    ThreeQuarters,
}

/// How long a container says that its pictures last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// Seconds.
    pub seconds: f64,
    /// Counted from time zero, not from the first picture.
    pub from_zero: bool,
}

/// An open file and its best video stream.
pub struct Media {
    input: ff::format::context::Input,
    stream: usize,
    stamp: SourceStamp,
    boxes: boxes::Boxes,
    pixels: i64,
    rotation: Rotation,
}

impl Media {
    /// Opens the file and finds its best video stream.
    ///
    /// # Errors
    /// Unreadable, empty, foreign and index-less files, files without pictures, pictures over the limit, no memory.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, VideoError> {
        init();
        // Looked at first: opening a pipe would wait until somebody writes to it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(VideoError::NotAVideo("it is not a regular file".into()));
        }
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0 {
            return Err(VideoError::Empty);
        }
        let boxes = boxes::walk(&mut file)?;
        let input = open_input(path).map_err(|error| match error {
            ff::Error::Other { errno: libc::EIO | libc::EACCES | libc::ENOENT | libc::ESTALE } => {
                VideoError::Ffmpeg { action: "open the file", source: error }
            }
            // Broken files make FFmpeg ask for any amount; not all of its errors name lack of memory when it is that.
            ff::Error::Other { errno: libc::ENOMEM } if !memory::is_ample() => VideoError::NoMemory("open the file"),
            _ if memory::is_short() => VideoError::NoMemory("open the file"),
            _ if boxes.is_mp4 && !boxes.has_index => VideoError::NoIndex,
            _ if boxes.is_mp4 && boxes.cut => VideoError::NotAVideo("its index is cut off; download it again".into()),
            _ => VideoError::NotAVideo(format!("no known container ({error})")),
        })?;
        let mut media = Self {
            input,
            stream: 0,
            stamp: SourceStamp::of(&metadata),
            boxes,
            pixels: (limits.megapixels * 1e6) as i64,
            rotation: Rotation::None,
        };
        match media.choose_stream() {
            // What FFmpeg had no memory for, it leaves out.
            Err(VideoError::NoVideoStream) if memory::is_short() => Err(VideoError::NoMemory("open the file")),
            chosen => chosen.map(|()| media),
        }
    }

    fn choose_stream(&mut self) -> Result<(), VideoError> {
        let stream = self.input.streams().best(ff::media::Type::Video).ok_or(VideoError::NoVideoStream)?;
        if stream.disposition().contains(ff::format::stream::Disposition::ATTACHED_PIC) {
            return Err(VideoError::NoVideoStream);
        }
        self.stream = stream.index();
        self.rotation = rotation(&stream);
        let (width, height) = self.coded_size();
        if i64::from(width) * i64::from(height) > self.pixels {
            let most = self.pixels as f64 / 1e6;
            return Err(VideoError::Limit(format!("the picture of {width}×{height} has more than {most} megapixels")));
        }
        let chosen = self.stream;
        for mut other in self.input.streams_mut() {
            if other.index() != chosen {
                // SAFETY: the stream belongs to the open input; `discard` is a public field meant to be set by users.
                unsafe { (*other.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        Ok(())
    }

    /// Starts a new decoder of one thread, which makes its result the same for every run, also on damaged files; on a GPU
    /// where one is given.
    ///
    /// # Errors
    /// When FFmpeg has no decoder for the codec or cannot open it.
    pub fn decoder(&self, nvdec: Option<&Nvdec>) -> Result<Decoder, VideoError> {
        let failed = |source| VideoError::Ffmpeg { action: "open the decoder", source };
        let stream = self.input.stream(self.stream).ok_or(VideoError::NoVideoStream)?;
        let mut context = ff::codec::Context::from_parameters(stream.parameters()).map_err(failed)?;
        let id = self.codec().0;
        let codec = id.decoder().ok_or_else(|| VideoError::NoDecoder(id.name()))?;
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

    /// Reads the next packet of the video stream; `None` at the end.
    ///
    /// # Errors
    /// When the disk or the network fails or memory runs out; damage in the file only ends it.
    pub fn read(&mut self, packet: &mut ff::Packet) -> Result<bool, VideoError> {
        loop {
            // FFmpeg takes the packet for an empty one and would leave what is in it to nobody.
            // SAFETY: the packet is alive, and an empty one after the call.
            unsafe { ffi::av_packet_unref(packet.as_mut_ptr()) };
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => return Ok(true),
                Ok(()) => {}
                // A broken index asks for packets of gigabytes; that is damage, as long as there is memory for others.
                Err(ff::Error::Other { errno: libc::ENOMEM }) if memory::is_ample() => return Ok(false),
                Err(error @ ff::Error::Other { errno: libc::EIO | libc::ESTALE | libc::ENOMEM | libc::ETIMEDOUT }) => {
                    return Err(VideoError::Ffmpeg { action: "read the file", source: error });
                }
                Err(_) if memory::is_short() => return Err(VideoError::NoMemory("read the file")),
                Err(_) => return Ok(false),
            }
        }
    }

    /// When the pictures begin and how long they last, in seconds, as far as the container says so. It may lie.
    pub fn length(&self) -> Option<(f64, f64)> {
        let base = f64::from(ffi::AV_TIME_BASE);
        let stream = self.input.stream(self.stream)?;
        let tick = f64::from(stream.time_base());
        let own = (stream.duration() > 0).then(|| (stream.start_time(), stream.duration() as f64 * tick));
        let (start, seconds) = own.unwrap_or((stream.start_time(), self.input.duration() as f64 / base));
        let start = if start == ffi::AV_NOPTS_VALUE { 0.0 } else { start as f64 * tick };
        (seconds.is_finite() && seconds > 0.0 && start.is_finite()).then_some((start, seconds))
    }

    /// Goes to the last keyframe before this time, in seconds; says whether there is a way. Where there is none, it is
    /// somewhere, and to be opened anew.
    pub fn seek(&mut self, seconds: f64) -> bool {
        let time = (seconds * f64::from(ffi::AV_TIME_BASE)) as i64;
        self.input.seek(time, ..time).is_ok()
    }

    /// The size and time of the file when it was opened.
    pub fn stamp(&self) -> SourceStamp {
        self.stamp
    }

    /// How its pictures must be turned.
    pub fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// A box of the MP4 file claims more bytes than there are.
    pub fn is_cut(&self) -> bool {
        self.boxes.cut
    }

    /// Width and height that the container names, before rotation.
    pub fn coded_size(&self) -> (i32, i32) {
        let Some(stream) = self.input.stream(self.stream) else { return (0, 0) };
        // SAFETY: the parameters belong to a stream of the open input.
        unsafe { ((*(*stream.as_ptr()).codecpar).width, (*(*stream.as_ptr()).codecpar).height) }
    }

    /// The codec and its extra data.
    pub fn codec(&self) -> (CodecId, &[u8]) {
        let Some(stream) = self.input.stream(self.stream) else { return (CodecId::NONE, &[]) };
        // SAFETY: the parameters and their extra data belong to the open input, which outlives the returned slice.
        unsafe {
            let parameters = (*stream.as_ptr()).codecpar;
            let extradata = match (*parameters).extradata {
                data if data.is_null() => &[][..],
                data => std::slice::from_raw_parts(data, (*parameters).extradata_size.max(0) as usize),
            };
            (CodecId::of(parameters), extradata)
        }
    }

    /// Frames that the decoder will hold back at first, to show all in order.
    pub fn reorder(&self) -> usize {
        let Some(stream) = self.input.stream(self.stream) else { return 0 };
        // SAFETY: the parameters belong to a stream of the open input.
        let delay = unsafe { (*(*stream.as_ptr()).codecpar).video_delay };
        usize::try_from(delay).unwrap_or(0)
    }

    /// Average frame rate as numerator and denominator; 0/1 where it is not known.
    pub fn fps(&self) -> [i32; 2] {
        let rate = self.input.stream(self.stream).map_or(ff::Rational(0, 1), |s| s.avg_frame_rate());
        if rate.denominator() <= 0 || rate.numerator() <= 0 { [0, 1] } else { [rate.numerator(), rate.denominator()] }
    }

    /// Pictures that the index of an MP4 file lists; it lists all of them before any data, so a cut file is found out. What
    /// an edit list leaves out is not among them, but for some that are marked.
    pub fn indexed_frames(&self) -> Option<u64> {
        let stream = self.input.stream(self.stream).filter(|_| self.container().contains("mp4"))?;
        // A fragmented file says that it has none, and has some with each fragment.
        if stream.frames() > 0 { self.index_entries() } else { None }
    }

    /// Entries of the index that FFmpeg has of the stream at this point of reading.
    fn index_entries(&self) -> Option<u64> {
        let stream = self.input.stream(self.stream)?;
        // SAFETY: the stream belongs to the open input; the call only counts.
        let entries = unsafe { ffi::avformat_index_get_entries_count(stream.as_ptr()) };
        u64::try_from(entries).ok().filter(|entries| *entries > 0)
    }

    /// How long the container promises the pictures to last, where such a promise can be trusted: Matroska writes it when
    /// the file is finished, and the segment index of a fragmented MP4 that lists bytes which the file does not have was
    /// written when it had them. An AVI header may lie.
    pub fn promised_seconds(&self) -> Option<Promise> {
        if let Some(segments) = self.boxes.segments.filter(|segments| segments.end > self.stamp.size) {
            return Some(Promise { seconds: segments.seconds(), from_zero: false });
        }
        let stream = self.input.stream(self.stream).filter(|_| self.container().contains("matroska"))?;
        let seconds = match (stream.duration(), self.input.duration()) {
            (ticks, _) if ticks > 0 => ticks as f64 * f64::from(stream.time_base()),
            (_, micros) if micros > 0 => micros as f64 / f64::from(ffi::AV_TIME_BASE),
            _ => return None,
        };
        Some(Promise { seconds, from_zero: true })
    }

    /// Pictures that the fragments of a fragmented MP4 list, where the last of them is cut: a fragment lists its pictures
    /// before it holds them. To be asked at the end of the file.
    pub fn fragment_frames(&self) -> Option<u64> {
        if self.boxes.cut_fragment { self.index_entries() } else { None }
    }

    /// Pictures that the index at the end of an AVI file lists, where it has one. To be asked at the end of the file.
    pub fn listed_chunks(&self) -> Option<u64> {
        if self.container() == "avi" { self.index_entries() } else { None }
    }

    /// Pictures that the header of an AVI file announces. It may lie; 0 where it says nothing.
    pub fn announced_frames(&self) -> u64 {
        let stream = self.input.stream(self.stream).filter(|_| self.container() == "avi");
        stream.map_or(0, |stream| u64::try_from(stream.frames()).unwrap_or(0))
    }

    /// The container by FFmpeg's name.
    pub fn container(&self) -> String {
        self.input.format().name().to_owned()
    }

    /// What the walk over the boxes of an MP4 file found.
    pub fn boxes(&self) -> &boxes::Boxes {
        &self.boxes
    }

    /// Width and height that the container names, as displayed; 0 where it names none.
    pub fn displayed_size(&self) -> [u32; 2] {
        let (width, height) = self.coded_size();
        let size = [width, height].map(|side| u32::try_from(side).unwrap_or(0));
        match self.rotation {
            Rotation::None | Rotation::Half => size,
            Rotation::Quarter | Rotation::ThreeQuarters => [size[1], size[0]],
        }
    }

    /// Why a video from which nothing could be decoded gave nothing.
    pub fn no_frames(&self) -> VideoError {
        if self.boxes.cut {
            VideoError::NotAVideo("it ends before its first picture".into())
        } else {
            VideoError::NoFrames
        }
    }

    /// Seconds a tick of the stream's time stamps.
    pub fn tick(&self) -> f64 {
        self.input.stream(self.stream).map_or(0.0, |s| f64::from(s.time_base()))
    }
}

fn open_input(path: &Path) -> Result<ff::format::context::Input, ff::Error> {
    // The prefix keeps names such as `concat:…` from being taken for a protocol.
    let mut url = b"file:".to_vec();
    url.extend_from_slice(path.as_os_str().as_bytes());
    let url = CString::new(url).map_err(|_| ff::Error::InvalidData)?;
    let options = ff::Dictionary::from_iter([("protocol_whitelist", "file"), ("format_whitelist", DEMUXERS)]);
    // SAFETY: `url` and the options outlive the call. On failure FFmpeg frees the context and leaves `context` null; on
    // success it is handed to `Input`, which closes it. The dictionary left over is owned again and freed.
    unsafe {
        let mut context = std::ptr::null_mut();
        let mut left = options.disown();
        let opened = ffi::avformat_open_input(&mut context, url.as_ptr(), std::ptr::null_mut(), &mut left);
        drop(ff::Dictionary::own(left));
        if opened < 0 {
            return Err(ff::Error::from(opened));
        }
        let input = ff::format::context::Input::wrap(context);
        match ffi::avformat_find_stream_info(context, std::ptr::null_mut()) {
            error if error < 0 => Err(ff::Error::from(error)),
            _ => Ok(input),
        }
    }
}

fn rotation(stream: &ff::Stream) -> Rotation {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX as i32;
    // SAFETY: the side data belongs to the stream, which is alive.
    let is_matrix = |data: &ff::packet::SideData| unsafe { ffi_enums::read(&raw const (*data.as_ptr()).type_) } == kind;
    let matrix = stream.side_data().find(is_matrix);
    let Some(matrix) = matrix else { return Rotation::None };
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
