//! One run of a decoder over a whole stream, packet by packet, with nothing decided here.

use ff::ffi;
use ffmpeg_next as ff;

use crate::error::VideoError;
use crate::media::Media;

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
    let mut decoder = media.decoder()?;
    let mut packet = ff::Packet::empty();
    let mut frame = ff::frame::Video::empty();
    while media.read(&mut packet)? {
        visitor.alive()?;
        let skip = match visitor.may_skip(&packet) {
            true => ffi::AVDiscard::AVDISCARD_NONREF,
            false => ffi::AVDiscard::AVDISCARD_DEFAULT,
        };
        // SAFETY: the decoder is open and used by this thread only; `skip_frame` may be changed between packets.
        unsafe { (*decoder.as_mut_ptr()).skip_frame = skip };
        let mut sent = decoder.send_packet(&packet);
        if matches!(sent, Err(ff::Error::Other { errno: libc::EAGAIN })) {
            drain(&mut decoder, &mut frame, visitor)?;
            sent = decoder.send_packet(&packet);
        }
        if sent.is_err() {
            visitor.trouble()?;
        }
        drain(&mut decoder, &mut frame, visitor)?;
    }
    if decoder.send_eof().is_err() {
        visitor.trouble()?;
    }
    drain(&mut decoder, &mut frame, visitor)
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
            Err(_) => {
                visitor.trouble()?;
                failures += 1;
                if failures >= MAX_FAILURES_IN_A_ROW {
                    return Ok(());
                }
            }
        }
    }
}
