//! Runs a decoder over a stream, packet by packet, and reports every frame to a visitor.

use ff::ffi;
use ffmpeg_next as ff;

use crate::decoder::{DecodeError, Decoder};
use crate::error::VideoError;
use crate::media::Media;
use crate::nvdec::Nvdec;

/// Follows a decode and controls it.
pub(crate) trait Visitor {
    /// Whether the decoder may drop the frame in this packet.
    fn may_skip(&mut self, _packet: &ff::Packet) -> bool {
        false
    }

    /// Called once per packet, so that long decodes can report progress and be cancelled.
    ///
    /// # Errors
    /// Ends the decode.
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// A decoded frame, in presentation order.
    ///
    /// # Errors
    /// Ends the decode.
    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError>;

    /// The decoder rejected a packet or failed to give a frame. The decode continues.
    ///
    /// # Errors
    /// Ends the decode.
    fn decode_error(&mut self) -> Result<(), VideoError>;
}

/// Decodes the stream from the current position of `media` to its end.
///
/// # Errors
/// If reading fails, memory runs out, or the visitor ends the decode. Damage in the stream is only reported to the visitor.
pub(crate) fn run(media: &mut Media, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    run_on(media, None, visitor)
}

/// Like [`run`], on a GPU if one is given.
///
/// # Errors
/// As [`run`], and if the decoder cannot be opened.
pub(crate) fn run_on(media: &mut Media, nvdec: Option<&Nvdec>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut session = DecodeSession { decoder: media.decoder(nvdec)?, frame: ff::frame::Video::empty() };
    let mut packet = ff::Packet::empty();
    while media.read(&mut packet)? {
        visitor.heartbeat()?;
        session.packet(&packet, visitor)?;
    }
    session.end(visitor)
}

/// A decoder and the frame that it writes to.
pub(crate) struct DecodeSession {
    decoder: Decoder,
    frame: ff::frame::Video,
}

impl DecodeSession {
    /// Opens a decoder for the stream of `media`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn start(media: &Media) -> Result<Self, VideoError> {
        Ok(Self { decoder: media.decoder(None)?, frame: ff::frame::Video::empty() })
    }

    /// Decodes a packet and reports the resulting frames.
    ///
    /// # Errors
    /// If memory runs out, and whatever the visitor returns.
    pub(crate) fn packet(&mut self, packet: &ff::Packet, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        self.decoder.skip(match visitor.may_skip(packet) {
            true => ffi::AVDiscard::AVDISCARD_NONREF,
            false => ffi::AVDiscard::AVDISCARD_DEFAULT,
        });
        let mut sent = self.decoder.send(Some(packet));
        if matches!(sent, Err(DecodeError::Again)) {
            drain(&mut self.decoder, &mut self.frame, visitor)?;
            sent = self.decoder.send(Some(packet));
        }
        report(sent, visitor)?;
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Marks the end of the stream and reports the frames that the decoder held back.
    ///
    /// # Errors
    /// If memory runs out, and whatever the visitor returns.
    pub(crate) fn end(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        report(self.decoder.send(None), visitor)?;
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Resets the decoder, so that decoding can start again somewhere else in the stream.
    pub(crate) fn reset(&mut self) {
        self.decoder.flush();
    }
}

/// Reports a packet that was not accepted.
fn report(sent: Result<(), DecodeError>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    match sent {
        Ok(()) => Ok(()),
        Err(DecodeError::NoMemory(error)) => Err(error),
        Err(DecodeError::Again | DecodeError::Invalid) => visitor.decode_error(),
    }
}

/// Stops the loop for a decoder that keeps failing without consuming anything.
const MAX_FAILURES_IN_A_ROW: u32 = 64;

fn drain(decoder: &mut Decoder, frame: &mut ff::frame::Video, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut failures = 0;
    loop {
        match decoder.receive(frame) {
            Ok(()) => {
                failures = 0;
                visitor.frame(frame)?;
            }
            Err(DecodeError::Again) => return Ok(()),
            Err(DecodeError::NoMemory(error)) => return Err(error),
            Err(DecodeError::Invalid) => {
                visitor.decode_error()?;
                failures += 1;
                if failures >= MAX_FAILURES_IN_A_ROW {
                    return Ok(());
                }
            }
        }
    }
}
