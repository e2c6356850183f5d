//! A decoder that reports when it failed for lack of memory, or because a frame is over the limit. Many of FFmpeg's decoders treat
//! both as damage in the file.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ff::ffi;
use ffmpeg_next as ff;
use reeldeck_common::limits::Limits;

use crate::error::VideoError;
use crate::memory;

/// The largest frame that may be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelLimit {
    pixels: i64,
    /// What FFmpeg refuses by itself. It counts a frame with its padding, so it gets a margin, and frames are checked here.
    ffmpeg: i64,
}

impl PixelLimit {
    pub(crate) fn new(limits: &Limits) -> Self {
        let pixels = (limits.megapixels * 1e6).clamp(0.0, 1e12) as i64;
        Self { pixels, ffmpeg: pixels * 2 + (1 << 20) }
    }

    /// The same, with nothing refused by FFmpeg itself.
    pub(crate) fn without_ffmpeg(self) -> Self {
        Self { ffmpeg: i64::from(i32::MAX), ..self }
    }

    pub(crate) fn pixels(self) -> i64 {
        self.pixels
    }

    fn allows(self, width: c_int, height: c_int) -> bool {
        i64::from(width) * i64::from(height) <= self.pixels
    }

    /// Why a frame of this size is refused.
    pub(crate) fn error(self, width: c_int, height: c_int) -> VideoError {
        let limit = self.pixels as f64 / 1e6;
        VideoError::Limit(format!("the picture of {width}×{height} has more than {limit} megapixels"))
    }
}

/// An open decoder with one thread.
pub(crate) struct Decoder {
    /// Dropped before the monitor, which it points to.
    opened: ff::decoder::Opened,
    monitor: Monitor,
    limit: PixelLimit,
    /// It gives each frame at once, or none.
    immediate: bool,
}

/// What the allocation callback records.
struct Allocations {
    /// There was no memory for a frame.
    failed: AtomicBool,
    /// Width and height of a frame over the limit; both 0 if there was none.
    oversized: AtomicU64,
    limit: PixelLimit,
    /// The process has a limit on its address space.
    limited: bool,
}

/// Owns the record that FFmpeg's context points to. It is a raw pointer because FFmpeg's callback reads the record while the
/// decoder is borrowed, and because moving a box would invalidate pointers into it.
struct Monitor(NonNull<Allocations>);

// SAFETY: the record is shared with FFmpeg's callback alone, and its only mutable field is atomic.
unsafe impl Send for Monitor {}

impl Monitor {
    fn new(limit: PixelLimit) -> Self {
        let (failed, oversized) = (AtomicBool::new(false), AtomicU64::new(0));
        let allocations = Allocations { failed, oversized, limit, limited: memory::is_limited() };
        Self(NonNull::from(Box::leak(Box::new(allocations))))
    }

    /// Why the decoder cannot continue, if it cannot.
    fn error(&self) -> Option<VideoError> {
        // SAFETY: the record lives until `self` is dropped.
        let allocations = unsafe { self.0.as_ref() };
        let oversized = allocations.oversized.load(Ordering::Relaxed);
        if oversized > 0 {
            return Some(allocations.limit.error((oversized >> 32) as c_int, oversized as c_int));
        }
        allocations.failed.load(Ordering::Relaxed).then_some(VideoError::NoMemory("decode a frame"))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box and is freed once. The decoder that pointed to the record is gone: it is
        // dropped first.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Allocates a frame as FFmpeg would. Refuses frames over the limit, and records that and a lack of memory.
unsafe extern "C" fn get_buffer(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    let no_memory = ffi::AVERROR(ffi::ENOMEM);
    // SAFETY: FFmpeg calls this with its own context and frame. `opaque` was set to an `Allocations` that outlives the decoder.
    // Only the buffers that were just allocated are released.
    unsafe {
        let allocations = (*context).opaque.cast::<Allocations>();
        let Some(allocations) = allocations.as_ref() else { return ffi::AVERROR(ffi::EINVAL) };
        let (width, height) = ((*context).width, (*context).height);
        if !allocations.limit.allows(width, height) {
            allocations.oversized.store((width as u64) << 32 | u64::from(height as u32), Ordering::Relaxed);
            return ffi::AVERROR(ffi::EINVAL);
        }
        let mut result = ffi::avcodec_default_get_buffer2(context, frame, flags);
        if result >= 0 && allocations.limited && memory::is_short() {
            (*frame).buf.iter_mut().for_each(|buffer| ffi::av_buffer_unref(buffer));
            result = no_memory;
        }
        if result == no_memory {
            allocations.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Decoder {
    /// Opens a decoder for this codec.
    ///
    /// # Errors
    /// If FFmpeg cannot open the decoder.
    pub(crate) fn open(
        mut context: ff::codec::decoder::Decoder,
        codec: ff::Codec,
        limit: PixelLimit,
    ) -> Result<Self, VideoError> {
        let monitor = Monitor::new(limit);
        // SAFETY: the context is alive and not yet open; these are public fields meant to be set by users. The record that
        // `opaque` points to outlives the context, which is dropped first.
        unsafe {
            let context = context.as_mut_ptr();
            (*context).max_pixels = limit.ffmpeg;
            (*context).opaque = monitor.0.as_ptr().cast();
            (*context).get_buffer2 = Some(get_buffer);
        }
        let opened = context.open_as(codec).map_err(|source| match source {
            ff::Error::InvalidData => {
                VideoError::DamagedHeader("the decoder refuses its description of the frames".into())
            }
            source => VideoError::Ffmpeg { action: "open the decoder", source },
        })?;
        // SAFETY: the codec is static; this is a plain public field.
        let delays = unsafe { (*codec.as_ptr()).capabilities } & ffi::AV_CODEC_CAP_DELAY as c_int != 0;
        Ok(Self { opened, monitor, limit, immediate: !delays })
    }

    /// Whether the decoder gives the frame of a packet at once, if the packet has one.
    pub(crate) fn is_immediate(&self) -> bool {
        self.immediate
    }

    /// Sets which frames the decoder drops, from the next packet on.
    pub(crate) fn skip(&mut self, discard: ffi::AVDiscard) {
        // SAFETY: the decoder is open and used by this thread only; `skip_frame` may be changed between packets.
        unsafe { (*self.opened.as_mut_ptr()).skip_frame = discard };
    }

    /// Drops all packets and frames that the decoder holds.
    pub(crate) fn flush(&mut self) {
        self.opened.flush();
    }

    /// Sends a packet; `None` marks the end of the stream.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(crate) fn send(&mut self, packet: Option<&ff::Packet>) -> Result<(), DecodeError> {
        let sent = match packet {
            Some(packet) => self.opened.send_packet(packet),
            None => self.opened.send_eof(),
        };
        self.classify(sent)
    }

    /// Receives the next frame.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(crate) fn receive(&mut self, frame: &mut ff::frame::Video) -> Result<(), DecodeError> {
        let received = self.opened.receive_frame(frame);
        self.classify(received)?;
        // Some decoders allocate frames by themselves.
        let (width, height) = (frame.width() as c_int, frame.height() as c_int);
        if self.limit.allows(width, height) { Ok(()) } else { Err(DecodeError::Fatal(self.limit.error(width, height))) }
    }

    fn classify(&self, result: Result<(), ff::Error>) -> Result<(), DecodeError> {
        let no_memory = || Err(DecodeError::Fatal(VideoError::NoMemory("decode a frame")));
        // Some decoders ignore a failed allocation and continue without the frame.
        if let Some(error) = self.monitor.error() {
            return Err(DecodeError::Fatal(error));
        }
        match result {
            Ok(()) => Ok(()),
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => Err(DecodeError::Again),
            Err(ff::Error::Other { errno: libc::ENOMEM }) if !memory::is_ample() => no_memory(),
            Err(_) if memory::is_short() => no_memory(),
            Err(_) => Err(DecodeError::Invalid),
        }
    }
}

/// Why a decoder did not take a packet or give a frame.
pub(crate) enum DecodeError {
    /// It needs its frames to be received first, or needs another packet.
    Again,
    /// The data is invalid. The decoder can continue.
    Invalid,
    /// There is no memory, or a frame is over the limit. The decoder cannot continue.
    Fatal(VideoError),
}
