//! Runs a decoder over a stream, packet by packet, and reports every frame to a visitor.
//!
//! Some packets only repeat the previous frame: encoders that dropped a frame leave an empty packet, or one that says that nothing
//! changed. FFmpeg's decoders give no frame for these; here the previous frame is reported again, in its place.

use std::collections::VecDeque;

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;

use crate::codec::CodecId;
use crate::decoder::{DecodeError, Decoder};
use crate::error::VideoError;
use crate::fields::FrameCounter;
use crate::hidden;
use crate::media::Media;
use crate::memory;
use crate::mpeg4::FrameHeaders;
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

    /// A frame, in presentation order.
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
/// If reading fails, memory runs out, a frame is over the limit, or the visitor ends the decode. Damage in the stream is only
/// reported to the visitor.
pub(crate) fn run(media: &mut Media, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    run_on(media, None, visitor)
}

/// Like [`run`], on a GPU if one is given.
///
/// # Errors
/// As [`run`], and if the decoder cannot be opened.
pub(crate) fn run_on(media: &mut Media, nvdec: Option<&Nvdec>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
    let mut session = DecodeSession::open(media, nvdec)?;
    let mut packet = ff::Packet::empty();
    while media.read(&mut packet)? {
        visitor.heartbeat()?;
        session.packet(&packet, visitor)?;
    }
    session.end(visitor)
}

/// A packet that is not longer than this may say that nothing changed.
const MAX_UNCHANGED: usize = 64;

/// A decoder, and what it needs to repeat frames.
pub(crate) struct DecodeSession {
    decoder: Decoder,
    codec: CodecId,
    counter: FrameCounter,
    frame: ff::frame::Video,
    /// The frame that was reported last, if there was one.
    last: ff::frame::Video,
    has_last: bool,
    /// Reads the frame headers of MPEG-4.
    headers: Option<FrameHeaders>,
    /// Frames in the packets so far, and frames that were reported or lost.
    sent: u64,
    given: u64,
    /// Which frames in presentation order repeat the one before, as far as they were not yet reported.
    repeats: VecDeque<u64>,
}

impl DecodeSession {
    /// Opens a decoder for the stream of `media`.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn start(media: &Media) -> Result<Self, VideoError> {
        Self::open(media, None)
    }

    fn open(media: &Media, nvdec: Option<&Nvdec>) -> Result<Self, VideoError> {
        let (codec, extradata) = media.codec();
        Ok(Self {
            decoder: media.decoder(nvdec)?,
            codec,
            counter: media.frame_counter(),
            frame: ff::frame::Video::empty(),
            last: ff::frame::Video::empty(),
            has_last: false,
            headers: (codec == CodecId::MPEG4).then(|| FrameHeaders::new(extradata)),
            sent: 0,
            given: 0,
            repeats: VecDeque::new(),
        })
    }

    /// Whether the last packet was one field of a frame, and the other one may follow.
    pub(crate) fn is_half(&self) -> bool {
        self.counter.is_half()
    }

    /// Decodes a packet and reports the resulting frames. Returns how many frames the packet shows.
    ///
    /// # Errors
    /// If memory runs out, a frame is over the limit, and whatever the visitor returns.
    pub(crate) fn packet(&mut self, packet: &ff::Packet, visitor: &mut dyn Visitor) -> Result<u64, VideoError> {
        let data = packet.data().unwrap_or_default();
        // SAFETY: the packet is alive; its flags are a plain public field.
        let discarded = unsafe { (*packet.as_ptr()).flags } & ffi::AV_PKT_FLAG_DISCARD != 0;
        let is_repeat = data.is_empty() || self.headers.as_mut().is_some_and(|headers| headers.is_repeat(data));
        let shown = self.counter.shown(packet);
        let shown = if discarded { 0 } else { shown };
        if is_repeat && !discarded && self.sent > 0 {
            self.repeats.push_back(self.sent);
        }
        if !is_repeat || self.sent > 0 {
            self.sent += shown;
        }
        if data.is_empty() {
            // FFmpeg would take it for the end of the stream.
            return self.repeat(visitor).map(|()| shown);
        }
        self.decoder.skip(match visitor.may_skip(packet) {
            true => ffi::AVDiscard::AVDISCARD_NONREF,
            false => ffi::AVDiscard::AVDISCARD_DEFAULT,
        });
        let before = self.given;
        let mut sent = self.decoder.send(Some(packet));
        if matches!(sent, Err(DecodeError::Again)) {
            self.drain(visitor)?;
            sent = self.decoder.send(Some(packet));
        }
        let accepted = sent.is_ok();
        self.report(sent, visitor)?;
        self.drain(visitor)?;
        if is_repeat {
            return self.repeat(visitor).map(|()| shown);
        }
        let gave_nothing = self.given == before && self.decoder.is_immediate() && !discarded;
        if gave_nothing && accepted && data.len() <= MAX_UNCHANGED && !hidden::has_hidden_frames(self.codec) {
            self.repeats.push_back(self.given);
            self.repeat(visitor)?;
        }
        Ok(shown)
    }

    /// Marks the end of the stream and reports the frames that the decoder held back.
    ///
    /// # Errors
    /// If memory runs out, a frame is over the limit, and whatever the visitor returns.
    pub(crate) fn end(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        let sent = self.decoder.send(None);
        self.report(sent, visitor)?;
        self.drain(visitor)?;
        // Where frames were lost, some places were never reached.
        self.given = self.given.max(self.sent);
        self.repeat(visitor)
    }

    /// Resets the decoder, so that decoding can start again somewhere else in the stream.
    pub(crate) fn reset(&mut self) {
        self.decoder.flush();
        self.counter.reset();
        (self.has_last, self.sent, self.given) = (false, 0, 0);
        self.repeats.clear();
    }

    /// Reports a packet that was not accepted.
    fn report(&mut self, sent: Result<(), DecodeError>, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        match sent {
            Ok(()) => Ok(()),
            Err(DecodeError::Fatal(error)) => Err(error),
            Err(DecodeError::Again | DecodeError::Invalid) => {
                self.given += 1;
                visitor.decode_error()
            }
        }
    }

    /// Reports all frames that the decoder has.
    fn drain(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        // Stops the loop for a decoder that keeps failing without consuming anything.
        const MAX_FAILURES_IN_A_ROW: u32 = 64;
        let mut failures = 0;
        loop {
            match self.decoder.receive(&mut self.frame) {
                Ok(()) => {
                    failures = 0;
                    self.repeat(visitor)?;
                    visitor.frame(&self.frame)?;
                    self.given += 1;
                    std::mem::swap(&mut self.frame, &mut self.last);
                    self.has_last = true;
                }
                Err(DecodeError::Again) => return Ok(()),
                Err(DecodeError::Fatal(error)) => return Err(error),
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

    /// Reports the last frame again, as often as its successors repeat it.
    fn repeat(&mut self, visitor: &mut dyn Visitor) -> Result<(), VideoError> {
        while self.repeats.front().is_some_and(|place| *place <= self.given) {
            self.repeats.pop_front();
            if self.has_last {
                visitor.frame(&self.last)?;
                self.given += 1;
            }
        }
        Ok(())
    }
}

/// The decoder marked the frame as damaged.
pub(crate) fn is_flawed(frame: &ff::frame::Video) -> bool {
    frame.is_corrupt() || frame.has_decode_errors()
}

/// What came of decoding all packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Frames that came out.
    pub output: u64,
    /// Frames among them that the decoder marked as damaged.
    pub concealed: u64,
    /// Packets that the decoder rejected.
    pub rejected: u64,
    /// When the first frame is shown, in ticks, if that is known.
    pub first: Option<i64>,
    /// When the first damaged frame is shown, in ticks, if that is known.
    pub first_concealed: Option<i64>,
}

/// Counts what comes of decoding.
pub(crate) struct Counter<'a> {
    pub decoded: Decoded,
    /// When each frame is shown, in ticks, if that is asked for.
    pub times: Option<Vec<i64>>,
    heartbeat: &'a mut dyn FnMut() -> Result<(), VideoError>,
}

impl<'a> Counter<'a> {
    /// Calls `heartbeat` once per packet.
    pub(crate) fn new(heartbeat: &'a mut dyn FnMut() -> Result<(), VideoError>) -> Self {
        Self { decoded: Decoded::default(), times: None, heartbeat }
    }
}

impl Visitor for Counter<'_> {
    fn heartbeat(&mut self) -> Result<(), VideoError> {
        (self.heartbeat)()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        if self.decoded.output == 0 {
            self.decoded.first = frame.pts();
        }
        if let Some(times) = &mut self.times {
            // A frame without a time is shown with the one before.
            let time = frame.timestamp().or(times.last().copied()).unwrap_or(0);
            memory::push(times, time)?;
        }
        self.decoded.output += 1;
        if is_flawed(frame) {
            self.decoded.concealed += 1;
            self.decoded.first_concealed = self.decoded.first_concealed.or(frame.pts());
        }
        Ok(())
    }

    fn decode_error(&mut self) -> Result<(), VideoError> {
        self.decoded.rejected += 1;
        Ok(())
    }
}
