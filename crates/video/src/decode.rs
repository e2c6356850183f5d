//! One run of a decoder over a whole stream, packet by packet, with nothing decided here.

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;
use crate::media::{Media, has_memory};

/// Follows a decode and steers it.
pub trait Visitor {
    /// Whether the decoder may drop the frame in this packet.
    fn may_skip(&mut self, _packet: &ff::Packet) -> bool {
        false
    }

    /// Another packet was read: the decode lives.
    ///
    /// # Errors
    /// Ends the decode.
    fn alive(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// A decoded frame, in order of presentation.
    ///
    /// # Errors
    /// Ends the decode.
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError>;

    /// The decoder refused a packet or failed to give a frame. The decode goes on.
    ///
    /// # Errors
    /// Ends the decode.
    fn trouble(&mut self) -> Result<(), VideoError>;
}

/// Decodes the stream from where `media` stands (its start, when just opened) to its end.
///
/// # Errors
/// When reading fails or the visitor ends it. Damage in the stream is reported to the visitor only.
pub fn run(media: &mut Media, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut feed = Feed::start(media)?;
    let mut packet = ff::Packet::empty();
    while media.read(&mut packet)? {
        visitor.alive()?;
        feed.packet(&packet, visitor)?;
    }
    feed.end(visitor)
}

/// A decoder on its way through packets.
pub struct Feed {
    decoder: ff::decoder::Opened,
    frame: ff::frame::Video,
}

impl Feed {
    /// A new decoder for the stream of `media`.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(media: &Media) -> Result<Self, VideoError> {
        Ok(Self { decoder: media.decoder()?, frame: ff::frame::Video::empty() })
    }

    /// Decodes a packet and hands over the frames that come of it.
    ///
    /// # Errors
    /// What the visitor returns.
    pub fn packet(&mut self, packet: &ff::Packet, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        let skip = match visitor.may_skip(packet) {
            true => ffi::AVDiscard::AVDISCARD_NONREF,
            false => ffi::AVDiscard::AVDISCARD_DEFAULT,
        };
        // SAFETY: the decoder is open and used by this thread only; `skip_frame` may be changed between packets.
        unsafe { (*self.decoder.as_mut_ptr()).skip_frame = skip };
        let mut sent = self.decoder.send_packet(packet);
        if matches!(sent, Err(ff::Error::Other { errno: libc::EAGAIN })) {
            drain(&mut self.decoder, &mut self.frame, visitor)?;
            sent = self.decoder.send_packet(packet);
        }
        if let Err(error) = sent {
            blame_memory(error)?;
            visitor.trouble()?;
        }
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Hands over the frames that were held back: no packet follows.
    ///
    /// # Errors
    /// What the visitor returns.
    pub fn end(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        if self.decoder.send_eof().is_err() {
            visitor.trouble()?;
        }
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Forgets all packets: what follows begins anew, somewhere else in the stream.
    pub fn forget(&mut self) {
        self.decoder.flush();
    }
}

/// An error that is no fault of the file.
fn blame_memory(error: ff::Error) -> Result<(), VideoError> {
    match error {
        ff::Error::Other { errno: libc::ENOMEM } if !has_memory() => {
            Err(VideoError::Ffmpeg { action: "decode the file", source: error })
        }
        _ => Ok(()),
    }
}

/// A decoder that keeps failing without taking anything must not hold us for ever.
const MAX_FAILURES_IN_A_ROW: u32 = 64;

fn drain(
    decoder: &mut ff::decoder::Opened,
    frame: &mut ff::frame::Video,
    visitor: &mut dyn Visitor,
) -> Result<(), VideoError> {
    let mut failures = 0;
    loop {
        match decoder.receive_frame(frame) {
            Ok(()) => {
                failures = 0;
                visitor.frame(frame)?;
            }
            Err(ff::Error::Eof | ff::Error::Other { errno: libc::EAGAIN }) => return Ok(()),
            Err(error) => {
                blame_memory(error)?;
                visitor.trouble()?;
                failures += 1;
                if failures >= MAX_FAILURES_IN_A_ROW {
                    return Ok(());
                }
            }
        }
    }
}
