//! An open video file, and decoders for its best video stream.

use std::fs::File;
use std::path::Path;

use ff::ffi;
use ff::packet::Mut;
use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;
use reeldeck_common::source::SourceStamp;

use crate::codec::{self, CodecId};
use crate::container::{self, StreamId, Structure};
use crate::decoder::{DecodeError, Decoder, PixelLimit};
use crate::error::VideoError;
use crate::ffmpeg_info::init;
use crate::fields::FrameCounter;
use crate::input::{Input, OpenError};
use crate::memory;
use crate::nvdec::Nvdec;
use crate::resample::Clock;
use crate::rotate::{self, Rotation};

/// An open file and its best video stream.
pub(crate) struct Media {
    input: Input,
    /// Another handle to the same file, for walks over its structure.
    file: File,
    stream: usize,
    stamp: SourceStamp,
    /// Bytes of the file beyond its end, as the boxes of an MP4 file claim.
    missing: u64,
    /// An MP4 file with an index, and without any data.
    has_no_data: bool,
    limit: PixelLimit,
    rotation: Rotation,
    /// FFmpeg gave up, and not at the end of the file.
    has_given_up: bool,
}

impl Media {
    /// Opens the file and finds its best video stream.
    ///
    /// # Errors
    /// If the file is unreadable, empty, no video, without an index or a video stream, or too large, or memory runs out.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, VideoError> {
        init();
        // Checked first: opening a pipe would wait for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(VideoError::NotAVideo("it is not a regular file".into()));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0 {
            return Err(VideoError::Empty);
        }
        let boxes = container::mp4::boxes(&file)?;
        let is_index_cut = boxes.index.is_some_and(|(_, end)| end > metadata.len());
        let input = Input::open(file.try_clone()?, path, boxes.cut_list).map_err(|error| match error {
            OpenError::Io(error) => VideoError::Io(error),
            // Damaged files make FFmpeg request any amount of memory, and not all of its errors report that there was none.
            OpenError::Ffmpeg(ff::Error::Other { errno: libc::ENOMEM }) if !memory::is_ample() => {
                VideoError::NoMemory("open the file")
            }
            OpenError::Ffmpeg(_) if memory::is_short() => VideoError::NoMemory("open the file"),
            OpenError::Ffmpeg(_) if boxes.is_mp4 && boxes.index.is_none() => VideoError::NoIndex,
            OpenError::Ffmpeg(_) if is_index_cut => VideoError::IndexCut,
            OpenError::Ffmpeg(error) => unreadable(&file, boxes.is_mp4, error),
        })?;
        let mut media = Self {
            input,
            file,
            stream: 0,
            stamp: SourceStamp::of(&metadata),
            missing: boxes.missing,
            has_no_data: boxes.index.is_some() && boxes.data == 0,
            limit: PixelLimit::new(limits),
            rotation: Rotation::None,
            has_given_up: false,
        };
        match media.choose_stream() {
            // FFmpeg leaves out streams that it has no memory for.
            Err(VideoError::NoVideoStream) if memory::is_short() => Err(VideoError::NoMemory("open the file")),
            Err(VideoError::NoVideoStream) if is_index_cut => Err(VideoError::IndexCut),
            chosen => chosen.map(|()| media),
        }
    }

    fn choose_stream(&mut self) -> Result<(), VideoError> {
        let streams = self.input.context().streams();
        let stream = streams.best(ff::media::Type::Video).ok_or(VideoError::NoVideoStream)?;
        if stream.disposition().contains(ff::format::stream::Disposition::ATTACHED_PIC) {
            return Err(VideoError::NoVideoStream);
        }
        self.stream = stream.index();
        self.rotation = rotate::of_stream(&stream);
        let chosen = self.stream;
        for mut other in self.input.context_mut().streams_mut() {
            if other.index() != chosen {
                // SAFETY: the stream belongs to the open input; `discard` is a public field meant to be set by users.
                unsafe { (*other.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
            }
        }
        let (width, height) = self.coded_size();
        if i64::from(width) * i64::from(height) <= self.limit.pixels() {
            return Ok(());
        }
        Err(match self.has_frame_over_limit() {
            true => self.limit.error(width, height),
            false => {
                VideoError::DamagedHeader(format!("it claims frames of {width}×{height}, and no frame has that size"))
            }
        })
    }

    /// Whether one of the first frames is over the limit on pixels, as the container claims. The codec must ask for memory for
    /// such a frame, which it does not get.
    fn has_frame_over_limit(&mut self) -> bool {
        const PACKETS: usize = 16;
        // Of AV1, libraries allocate the frames.
        if self.codec().0 == CodecId::AV1 {
            return true;
        }
        let Ok(mut decoder) = self.open_decoder(None, self.limit.without_ffmpeg()) else { return true };
        let (mut packet, mut frame) = (ff::Packet::empty(), ff::frame::Video::empty());
        for _ in 0..PACKETS {
            match self.read(&mut packet) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return true,
            }
            for result in [decoder.send(Some(&packet)), decoder.receive(&mut frame)] {
                if matches!(result, Err(DecodeError::Fatal(_))) {
                    return true;
                }
            }
        }
        false
    }

    /// Opens a new decoder with one thread, which makes its result the same for every run, also on damaged files. It uses a GPU
    /// if one is given.
    ///
    /// # Errors
    /// If FFmpeg has no decoder for the codec or cannot open it.
    pub(crate) fn decoder(&self, nvdec: Option<&Nvdec>) -> Result<Decoder, VideoError> {
        self.open_decoder(nvdec, self.limit)
    }

    fn open_decoder(&self, nvdec: Option<&Nvdec>, limit: PixelLimit) -> Result<Decoder, VideoError> {
        let failed = |source| VideoError::Ffmpeg { action: "open the decoder", source };
        let stream = self.stream().ok_or(VideoError::NoVideoStream)?;
        let codec = self.codec().0.decoder().ok_or_else(|| VideoError::NoDecoder(self.codec_description()))?;
        let mut context = ff::codec::Context::from_parameters(stream.parameters()).map_err(failed)?;
        context.set_threading(ff::threading::Config {
            kind: ff::threading::Type::None,
            count: 1,
            ..Default::default()
        });
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(stream.time_base());
        nvdec.map_or(Ok(()), |nvdec| nvdec.attach(&mut decoder))?;
        Decoder::open(decoder, codec, limit)
    }

    /// Reads the next packet of the video stream. False at the end.
    ///
    /// # Errors
    /// If the disk or the network fails or memory runs out. Damage in the file only ends it.
    pub(crate) fn read(&mut self, packet: &mut ff::Packet) -> Result<bool, VideoError> {
        loop {
            // FFmpeg takes the packet for an empty one and would leak what is in it.
            // SAFETY: the packet is alive, and empty after the call.
            unsafe { ffi::av_packet_unref(packet.as_mut_ptr()) };
            match packet.read(self.input.context_mut()) {
                Ok(()) => {
                    self.input.has_packet();
                    if packet.stream() == self.stream {
                        return Ok(true);
                    }
                }
                Err(error) => {
                    return match self.input.take_error() {
                        Some(error) => Err(VideoError::Io(error)),
                        // A damaged index asks for packets of gigabytes. That is no lack of memory for others.
                        None if error == (ff::Error::Other { errno: libc::ENOMEM }) && !memory::is_ample() => {
                            Err(VideoError::NoMemory("read the file"))
                        }
                        None if memory::is_short() => Err(VideoError::NoMemory("read the file")),
                        None => {
                            self.has_given_up = error != ff::Error::Eof;
                            Ok(false)
                        }
                    };
                }
            }
        }
    }

    /// Whether FFmpeg gave up at damage when it read the last packet, instead of reaching the end of the file.
    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// What the container's own structure says of the stream.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn structure(&self) -> Result<Structure, VideoError> {
        // SAFETY: the stream belongs to the open input; this is a plain public field.
        let id = self.stream().map_or(0, |stream| unsafe { (*stream.as_ptr()).id });
        Ok(container::inspect(&self.file, &self.container(), StreamId { index: self.stream, id })?)
    }

    fn stream(&self) -> Option<ff::format::stream::Stream<'_>> {
        self.input.context().stream(self.stream)
    }

    /// When the stream begins and how long it lasts, in seconds, if the container says so. It may be wrong.
    pub(crate) fn length(&self) -> Option<(f64, f64)> {
        let stream = self.stream()?;
        let tick = f64::from(stream.time_base());
        let seconds = match stream.duration() {
            duration if duration > 0 => duration as f64 * tick,
            _ => self.input.context().duration() as f64 / f64::from(ffi::AV_TIME_BASE),
        };
        let start = Some(stream.start_time()).filter(|start| *start != ffi::AV_NOPTS_VALUE);
        let start = start.map_or(0.0, |start| start as f64 * tick);
        (seconds.is_finite() && seconds > 0.0 && start.is_finite()).then_some((start, seconds))
    }

    /// Frames by the duration of the stream, in the ticks of its time base; 0 if it is not known.
    pub(crate) fn duration_ticks(&self) -> u64 {
        self.stream().map_or(0, |stream| u64::try_from(stream.duration()).unwrap_or(0))
    }

    /// Goes to the last keyframe before this time, in seconds. After a failure the position is unknown.
    pub(crate) fn seek(&mut self, seconds: f64) -> bool {
        let time = (seconds * f64::from(ffi::AV_TIME_BASE)) as i64;
        self.input.context_mut().seek(time, ..time).is_ok()
    }

    /// Size and time of the file when it was opened.
    pub(crate) fn stamp(&self) -> SourceStamp {
        self.stamp
    }

    /// The unit of the stream's times, and where the file begins in them.
    pub(crate) fn clock(&self) -> Clock {
        let tick = self.stream().map_or(ff::Rational(0, 1), |stream| stream.time_base());
        // SAFETY: the input is open; this is a plain public field.
        let start = unsafe { (*self.input.context().as_ptr()).start_time };
        let start = if start == ffi::AV_NOPTS_VALUE || tick.numerator() <= 0 {
            0
        } else {
            // SAFETY: the function computes with numbers alone.
            unsafe { ffi::av_rescale_q(start, ff::Rational(1, ffi::AV_TIME_BASE).into(), tick.into()) }
        };
        Clock { tick, start }
    }

    /// How frames must be rotated.
    pub(crate) fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// Width and height by the container, before rotation.
    pub(crate) fn coded_size(&self) -> (i32, i32) {
        let Some(stream) = self.stream() else { return (0, 0) };
        // SAFETY: the parameters belong to a stream of the open input.
        unsafe { ((*(*stream.as_ptr()).codecpar).width, (*(*stream.as_ptr()).codecpar).height) }
    }

    /// Width and height by the container, as displayed; 0 if it names none.
    pub(crate) fn displayed_size(&self) -> [u32; 2] {
        let (width, height) = self.coded_size();
        let size = [width, height].map(|side| u32::try_from(side).unwrap_or(0));
        match self.rotation {
            Rotation::None | Rotation::Half => size,
            Rotation::Quarter | Rotation::ThreeQuarters => [size[1], size[0]],
        }
    }

    /// The codec and its extra data.
    pub(crate) fn codec(&self) -> (CodecId, &[u8]) {
        let Some(stream) = self.stream() else { return (CodecId::NONE, &[]) };
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

    /// The codec for people, also one that FFmpeg does not know.
    fn codec_description(&self) -> String {
        // SAFETY: the parameters belong to a stream of the open input.
        let tag = self.stream().map_or(0, |stream| unsafe { (*(*stream.as_ptr()).codecpar).codec_tag });
        let name = self.structure().ok().and_then(|structure| structure.codec);
        codec::describe(self.codec().0, tag, name.as_deref())
    }

    /// Frames that the decoder will hold back at first to give all in order.
    pub(crate) fn reorder(&self) -> usize {
        // SAFETY: the parameters belong to a stream of the open input.
        let delay = self.stream().map_or(0, |stream| unsafe { (*(*stream.as_ptr()).codecpar).video_delay });
        usize::try_from(delay).unwrap_or(0)
    }

    /// Counts the frames in the stream's packets.
    pub(crate) fn frame_counter(&self) -> FrameCounter {
        let (codec, extradata) = self.codec();
        FrameCounter::new(codec, extradata, self.stream().map(|stream| stream.parameters()))
    }

    /// Average frame rate as numerator and denominator; 0/1 if it is not known.
    pub(crate) fn fps(&self) -> [i32; 2] {
        let rate = self.stream().map_or(ff::Rational(0, 1), |stream| stream.avg_frame_rate());
        if rate.denominator() <= 0 || rate.numerator() <= 0 { [0, 1] } else { [rate.numerator(), rate.denominator()] }
    }

    /// Seconds per tick of the stream's time stamps.
    pub(crate) fn tick(&self) -> f64 {
        self.stream().map_or(0.0, |stream| f64::from(stream.time_base()))
    }

    /// Entries of the index that FFmpeg has of the stream at this point of reading. In an MP4 file these are the frames that the
    /// index lists and the edit list does not leave out.
    pub(crate) fn index_entries(&self) -> u64 {
        // SAFETY: the stream belongs to the open input; the call only counts.
        let entries =
            self.stream().map_or(0, |stream| unsafe { ffi::avformat_index_get_entries_count(stream.as_ptr()) });
        u64::try_from(entries).unwrap_or(0)
    }

    /// The container by FFmpeg's name.
    pub(crate) fn container(&self) -> String {
        self.input.context().format().name().to_owned()
    }

    /// Why a video gave no frame at all.
    pub(crate) fn no_frames(&self) -> VideoError {
        if !self.has_no_data && self.missing == 0 {
            return VideoError::NoFrames;
        }
        // An index that lists no frames belongs to a stream of segments.
        let table = self.structure().ok().and_then(|structure| structure.table);
        match table.is_some_and(|table| table.samples() == 0) {
            true if self.missing == 0 => VideoError::OnlyHeaders,
            _ => VideoError::NotAVideo("it ends before its first picture; download it again".into()),
        }
    }
}

/// Why FFmpeg does not accept a file. It refuses some encrypted ones. Others that begin like a video have a damaged header.
fn unreadable(file: &File, is_mp4: bool, error: ff::Error) -> VideoError {
    let structure = is_mp4.then(|| container::inspect(file, "mp4", StreamId { index: 0, id: -1 }));
    if let Some(scheme) = structure.and_then(Result::ok).and_then(|structure| structure.encryption) {
        return VideoError::Encrypted(scheme);
    }
    let mut start = [0; 12];
    let read = std::os::unix::fs::FileExt::read_at(file, &mut start, 0).unwrap_or(0);
    match container::guess(&start[..read]) {
        Some(name) => VideoError::DamagedHeader(format!("it begins like a file of {name}, and cannot be read further")),
        None => VideoError::NotAVideo(format!("no known container ({error})")),
    }
}
