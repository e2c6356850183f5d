//! A decoder that reports when it failed for lack of memory. Many of FFmpeg's decoders treat that as damage in the file.

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;
use crate::memory;

/// An open decoder with one thread.
pub(crate) struct Decoder {
    /// Dropped before the monitor, which it points to.
    opened: ff::decoder::Opened,
    monitor: Monitor,
}

/// What the allocation callback records.
struct Allocations {
    /// There was no memory for a frame.
    failed: AtomicBool,
    /// The process has a limit on its address space.
    limited: bool,
}

/// Owns the record that FFmpeg's context points to. It is a raw pointer because FFmpeg's callback reads the record while the
/// decoder is borrowed, and because moving a box would invalidate pointers into it.
struct Monitor(NonNull<Allocations>);

// SAFETY: the record is shared with FFmpeg's callback alone, and its only mutable field is atomic.
unsafe impl Send for Monitor {}

impl Monitor {
    fn new() -> Self {
        let allocations = Allocations { failed: AtomicBool::new(false), limited: memory::is_limited() };
        Self(NonNull::from(Box::leak(Box::new(allocations))))
    }

    fn has_failed(&self) -> bool {
        // SAFETY: the record lives until `self` is dropped.
        unsafe { self.0.as_ref() }.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box and is freed once. The decoder that pointed to the record is gone: it is
        // dropped first.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Allocates a frame as FFmpeg would, and records a lack of memory.
unsafe extern "C" fn get_buffer(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    let no_memory = ffi::AVERROR(ffi::ENOMEM);
    // SAFETY: FFmpeg calls this with its own context and frame. `opaque` was set to an `Allocations` that outlives the decoder.
    // Only the buffers that were just allocated are released.
    unsafe {
        let mut result = ffi::avcodec_default_get_buffer2(context, frame, flags);
        let Some(allocations) = (*context).opaque.cast::<Allocations>().as_ref() else { return result };
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
    /// Opens a decoder for this codec. FFmpeg refuses frames of more than `max_pixels`.
    ///
    /// # Errors
    /// If FFmpeg cannot open the decoder.
    pub(crate) fn open(
        mut context: ff::codec::decoder::Decoder,
        codec: ff::Codec,
        max_pixels: i64,
    ) -> Result<Self, VideoError> {
        let monitor = Monitor::new();
        // SAFETY: the context is alive and not yet open; these are public fields meant to be set by users. The record that
        // `opaque` points to outlives the context, which is dropped first.
        unsafe {
            let context = context.as_mut_ptr();
            (*context).max_pixels = max_pixels;
            (*context).opaque = monitor.0.as_ptr().cast();
            (*context).get_buffer2 = Some(get_buffer);
        }
        let opened =
            context.open_as(codec).map_err(|source| VideoError::Ffmpeg { action: "open the decoder", source })?;
        Ok(Self { opened, monitor })
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
        self.classify(received)
    }

    fn classify(&self, result: Result<(), ff::Error>) -> Result<(), DecodeError> {
        let no_memory = || Err(DecodeError::NoMemory(VideoError::NoMemory("decode a frame")));
        // Some decoders ignore a failed allocation and continue without the frame.
        if self.monitor.has_failed() {
            return no_memory();
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
    /// There is no memory. The decoder cannot continue.
    NoMemory(VideoError),
}
