//! A decoder that says when it failed for lack of memory, which many of FFmpeg's take for damage in the file.

use std::sync::atomic::{AtomicBool, Ordering};

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;
use crate::memory;

/// An open decoder of one thread.
pub struct Decoder {
    opened: ff::decoder::Opened,
    starved: Box<Starved>,
}

/// What the decoder's callback tells. Its address is known to FFmpeg: it lives in a box, longer than the decoder.
struct Starved {
    /// There was no memory for a picture.
    happened: AtomicBool,
    /// There is a limit to keep away from.
    limited: bool,
}

/// Gives the decoder a picture's memory as FFmpeg itself would, and notes where there is none.
unsafe extern "C" fn get_buffer(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: i32) -> i32 {
    let no_memory = ffi::AVERROR(ffi::ENOMEM);
    // SAFETY: FFmpeg calls this with its own context and frame. `opaque` was set to a `Starved` that outlives the decoder.
    // The buffers that are given back are those that were just made.
    unsafe {
        let mut got = ffi::avcodec_default_get_buffer2(context, frame, flags);
        let Some(starved) = (*context).opaque.cast::<Starved>().as_ref() else { return got };
        if got >= 0 && starved.limited && memory::is_short() {
            (*frame).buf.iter_mut().for_each(|buffer| ffi::av_buffer_unref(buffer));
            got = no_memory;
        }
        if got == no_memory {
            starved.happened.store(true, Ordering::Relaxed);
        }
        got
    }
}

impl Decoder {
    /// Opens a decoder for this codec. Pictures of more than `pixels` are refused.
    ///
    /// # Errors
    /// When FFmpeg cannot open it.
    pub fn open(mut context: ff::codec::decoder::Decoder, codec: ff::Codec, pixels: i64) -> Result<Self, VideoError> {
        let starved = Box::new(Starved { happened: AtomicBool::new(false), limited: memory::is_limited() });
        // SAFETY: the context is alive and not yet open; these are public fields meant to be set by users. The box that
        // `opaque` points into is dropped after the decoder, or here when it does not open.
        unsafe {
            let context = &mut *context.as_mut_ptr();
            context.max_pixels = pixels;
            context.opaque = (&raw const *starved).cast_mut().cast();
            context.get_buffer2 = Some(get_buffer);
        }
        let opened =
            context.open_as(codec).map_err(|source| VideoError::Ffmpeg { action: "open the decoder", source })?;
        Ok(Self { opened, starved })
    }

    /// Has the decoder drop frames, or not any more, from the next packet on.
    pub fn skip(&mut self, what: ffi::AVDiscard) {
        // SAFETY: the decoder is open and used by this thread only; `skip_frame` may be changed between packets.
        unsafe { (*self.opened.as_mut_ptr()).skip_frame = what };
    }

    /// Forgets all packets it was given.
    pub fn flush(&mut self) {
        self.opened.flush();
    }

    /// Hands over a packet; `None` is the end of the stream.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn send(&mut self, packet: Option<&ff::Packet>) -> Result<(), Refusal> {
        let sent = match packet {
            Some(packet) => self.opened.send_packet(packet),
            None => self.opened.send_eof(),
        };
        self.judge(sent)
    }

    /// Fetches the next picture.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn receive(&mut self, frame: &mut ff::frame::Video) -> Result<(), Refusal> {
        let received = self.opened.receive_frame(frame);
        self.judge(received)
    }

    fn judge(&self, result: Result<(), ff::Error>) -> Result<(), Refusal> {
        let no_memory = || Err(Refusal::NoMemory(VideoError::NoMemory("decode a picture")));
        // Also where the decoder made light of it: it would go on with a picture less.
        if self.starved.happened.load(Ordering::Relaxed) {
            return no_memory();
        }
        match result {
            Ok(()) => Ok(()),
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => Err(Refusal::NotNow),
            Err(ff::Error::Other { errno: libc::ENOMEM }) if !memory::is_ample() => no_memory(),
            Err(_) if memory::is_short() => no_memory(),
            Err(_) => Err(Refusal::Trouble),
        }
    }
}

/// What a decoder says instead of yes.
pub enum Refusal {
    /// It takes no packet before its pictures are fetched, or has no picture before the next packet.
    NotNow,
    /// It does not like what it got. It can go on.
    Trouble,
    /// There is no memory. It cannot go on.
    NoMemory(VideoError),
}
