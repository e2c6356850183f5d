//! One run of a decoder over a whole stream, packet by packet, with nothing decided here.

use ff::ffi;
use ffmpeg_next as ff;

use crate::decoder::{Decoder, Refusal};
use crate::error::VideoError;
use crate::media::Media;
use crate::nvdec::Nvdec;

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
/// When reading fails, memory runs out, or the visitor ends it. Damage in the stream is reported to the visitor only.
pub fn run(media: &mut Media, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    run_on(media, None, visitor)
}

/// The same on a GPU, where one is given.
///
/// # Errors
/// As [`run`], and where the decoder cannot be opened.
pub fn run_on(media: &mut Media, nvdec: Option<&Nvdec>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut feed = Feed { decoder: media.decoder(nvdec)?, frame: ff::frame::Video::empty() };
    let mut packet = ff::Packet::empty();
    while media.read(&mut packet)? {
        visitor.alive()?;
        feed.packet(&packet, visitor)?;
    }
    feed.end(visitor)
}

/// A decoder on its way through packets.
pub struct Feed {
    decoder: Decoder,
    frame: ff::frame::Video,
}

impl Feed {
    /// A new decoder for the stream of `media`.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(media: &Media) -> Result<Self, VideoError> {
        Ok(Self { decoder: media.decoder(None)?, frame: ff::frame::Video::empty() })
    }

    /// Decodes a packet and hands over the frames that come of it.
    ///
    /// # Errors
    /// Lack of memory, and what the visitor returns.
    pub fn packet(&mut self, packet: &ff::Packet, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        self.decoder.skip(match visitor.may_skip(packet) {
            true => ffi::AVDiscard::AVDISCARD_NONREF,
            false => ffi::AVDiscard::AVDISCARD_DEFAULT,
        });
        let mut sent = self.decoder.send(Some(packet));
        if matches!(sent, Err(Refusal::NotNow)) {
            drain(&mut self.decoder, &mut self.frame, visitor)?;
            sent = self.decoder.send(Some(packet));
        }
        accept(sent, visitor)?;
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Hands over the frames that were held back: no packet follows.
    ///
    /// # Errors
    /// Lack of memory, and what the visitor returns.
    pub fn end(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        accept(self.decoder.send(None), visitor)?;
        drain(&mut self.decoder, &mut self.frame, visitor)
    }

    /// Forgets all packets: what follows begins anew, somewhere else in the stream.
    pub fn forget(&mut self) {
        self.decoder.flush();
    }
}

/// Tells the visitor of a packet that was not taken.
fn accept(sent: Result<(), Refusal>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    match sent {
        Ok(()) => Ok(()),
        Err(Refusal::NoMemory(error)) => Err(error),
        Err(Refusal::NotNow | Refusal::Trouble) => visitor.trouble(),
    }
}

/// A decoder that keeps failing without taking anything must not hold us for ever.
const MAX_FAILURES_IN_A_ROW: u32 = 64;

fn drain(decoder: &mut Decoder, frame: &mut ff::frame::Video, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut failures = 0;
    loop {
        match decoder.receive(frame) {
            Ok(()) => {
                failures = 0;
                visitor.frame(frame)?;
            }
            Err(Refusal::NotNow) => return Ok(()),
            Err(Refusal::NoMemory(error)) => return Err(error),
            Err(Refusal::Trouble) => {
                visitor.trouble()?;
                failures += 1;
                if failures >= MAX_FAILURES_IN_A_ROW {
                    return Ok(());
                }
            }
        }
    }
}
