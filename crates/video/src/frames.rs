//! The frames that a recipe needs from a video: by the fast pass where it is provably exact, else by the plain one.

use std::path::Path;

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;
use reeldeck_contract::feature::FrameCounts;
use reeldeck_contract::limits::Limits;
use reeldeck_contract::recipe::{Damage, Sampling, Transform};
use reeldeck_contract::source::SourceStamp;

use crate::decode::{self, Visitor};
use crate::error::VideoError;
use crate::index::PacketIndex;
use crate::media::Media;
use crate::memory;
use crate::nal::{self, Framing};
use crate::nvdec::Nvdec;
use crate::picture::Cropper;
use crate::sampling::Plan;
use crate::surface::Surface;

/// What is wanted of a video.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Which frames.
    pub sampling: Sampling,
    /// Their way to crops.
    pub transform: Transform,
    /// How much damage is bearable.
    pub damage: Damage,
    /// Bounds on what it may cost.
    pub limits: Limits,
}

/// Receives what comes of a video. Returning an error ends the work.
pub trait Sink {
    /// Which frames will come. A second call makes void all that came before it: the fast pass turned out not to be exact.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn plan(&mut self, plan: Plan) -> Result<(), VideoError>;

    /// The crop of frame `index` (crop × crop × 3 bytes, RGB, row by row). Indices ascend within a plan.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn frame(&mut self, index: u64, pixels: Vec<u8>) -> Result<(), VideoError>;

    /// The picture of frame `index` where it lies on a GPU, for who can make its crop there. False where that cannot be done:
    /// it then comes by [`Sink::frame`].
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn surface(&mut self, _index: u64, _surface: &Surface) -> Result<bool, VideoError> {
        Ok(false)
    }

    /// All frames of the last plan have come by one of the two.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work; where a picture was on a GPU, anything else has the CPU do it all again.
    fn complete(&mut self) -> Result<(), VideoError> {
        Ok(())
    }

    /// The work goes on, also where no frame comes of it for a while. Called for every packet.
    ///
    /// # Errors
    /// [`VideoError::Stopped`] to end the work.
    fn alive(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

/// What was found out about a video on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Frames.
    pub counts: FrameCounts,
    /// Average frame rate as numerator and denominator; 0/1 where it is not known.
    pub fps: [i32; 2],
    /// Width and height as displayed, pixels.
    pub size: [u32; 2],
    /// Size and time of the file.
    pub stamp: SourceStamp,
    /// The plain pass was needed.
    pub plain_pass: bool,
    /// A GPU's decoder decoded it.
    pub nvdec: bool,
    /// Frames that were not decoded because nothing needed them.
    pub skipped: u64,
}

/// Which passes may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Fast where it is provably exact, else plain.
    Best,
    /// The reference: one thread, nothing skipped, once to count and once to pick.
    Plain,
}

/// Decodes a video and hands the needed crops to `sink`.
///
/// # Errors
/// Everything that keeps a video from giving pixels, see [`VideoError`].
pub fn extract(path: &Path, request: &Request, pass: Pass, sink: &mut dyn Sink) -> Result<Facts, VideoError> {
    extract_with(path, request, pass, None, sink)
}

/// The same, on a GPU where one is given and takes the stream; where not, or anything about it is unusual, as without.
///
/// # Errors
/// As [`extract`].
pub fn extract_with(
    path: &Path,
    request: &Request,
    pass: Pass,
    nvdec: Option<&Nvdec>,
    sink: &mut dyn Sink,
) -> Result<Facts, VideoError> {
    // Before it is opened: what is said of a file that changes meanwhile is neither of the old one nor of the new.
    let stamp = SourceStamp::read(path)?;
    let taken = Media::open(path, &request.limits).and_then(|media| take(path, request, pass, nvdec, media, sink));
    if matches!(taken, Err(VideoError::Stopped)) {
        return taken;
    }
    // Errors too mean nothing when the file is not the one that was opened.
    if SourceStamp::read(path)? != stamp || taken.as_ref().is_ok_and(|facts| facts.stamp != stamp) {
        return Err(VideoError::Changed);
    }
    taken
}

fn take(
    path: &Path,
    request: &Request,
    pass: Pass,
    nvdec: Option<&Nvdec>,
    mut media: Media,
    sink: &mut dyn Sink,
) -> Result<Facts, VideoError> {
    let index = PacketIndex::scan(&mut media, &request.limits)?;
    drop(media);
    if pass == Pass::Best && index.exact {
        for by in nvdec.map(Some).into_iter().chain([None]) {
            if let Some(facts) = fast(path, request, &index, by, sink)? {
                return Ok(facts);
            }
        }
    }
    plain(path, request, &index, sink)
}

fn check_damage(counts: FrameCounts, damage: Damage, cut: bool) -> Result<(), VideoError> {
    if counts.damage() > damage.max_lost {
        return Err(VideoError::Damaged { counts, bearable: damage.max_lost, cut });
    }
    Ok(())
}

/// The decoder marked the frame as damaged.
pub(crate) fn is_flawed(frame: &ff::frame::Video) -> bool {
    frame.is_corrupt() || frame.has_decode_errors()
}

/// Decodes once, lets the decoder drop what nothing refers to and nobody needs, or a GPU decode all. `None`: not exact, or
/// not for the GPU; start over.
fn fast(
    path: &Path,
    request: &Request,
    index: &PacketIndex,
    nvdec: Option<&Nvdec>,
    sink: &mut dyn Sink,
) -> Result<Option<Facts>, VideoError> {
    let plan = Plan::new(index.shown, &request.sampling);
    let counts = FrameCounts { expected: index.expected, output: index.shown, concealed: 0 };
    if counts.damage() > request.damage.max_lost {
        // The plain pass has the last word on damage; frames from here would be thrown away.
        return Ok(None);
    }
    let mut media = Media::open(path, &request.limits)?;
    let (codec, extradata) = media.codec();
    if nvdec.is_some_and(|nvdec| !nvdec.takes(codec)) {
        return Ok(None);
    }
    // A decoder that learns only on the way how many frames to hold back loses one then, which a skipped frame would
    // hide; and where it holds back frames but no packet comes early, the packets' times are not those of their frames.
    let held_back = media.reorder();
    let orderly = index.reorder <= held_back && (index.reorder > 0 || held_back == 0);
    let skippable = codec == ff::codec::Id::H264 && orderly && index.gapless;
    let framing = (skippable && nvdec.is_none()).then(|| Framing::of(extradata));
    let delivery = Delivery::begin(plan, request, &media, sink)?;
    let on_gpu = nvdec.is_some();
    let mut visitor = Fast { index, framing, nvdec, delivery, output: 0, skipped: 0, last: None, inexact: false };
    let decoded = decode::run_on(&mut media, nvdec, &mut visitor);
    let complete = visitor.output + visitor.skipped == index.shown && visitor.delivery.is_complete();
    match decoded.and_then(|()| if complete { visitor.delivery.sink.complete() } else { Ok(()) }) {
        _ if visitor.inexact => return Ok(None),
        // Whatever a GPU fails at, its memory above all, the CPU may be able to do.
        Err(error) if on_gpu && !matches!(error, VideoError::Stopped) => return Ok(None),
        ended => ended?,
    }
    Ok(complete.then_some(Facts {
        counts,
        fps: media.fps(),
        size: visitor.delivery.size,
        stamp: media.stamp(),
        plain_pass: false,
        nvdec: on_gpu,
        skipped: visitor.skipped,
    }))
}

/// Hands the needed frames to the sink as they come by, in order.
struct Delivery<'a> {
    needed: Vec<u64>,
    delivered: usize,
    cropper: Cropper,
    sink: &'a mut dyn Sink,
    size: [u32; 2],
}

impl<'a> Delivery<'a> {
    fn begin(plan: Plan, request: &Request, media: &Media, sink: &'a mut dyn Sink) -> Result<Self, VideoError> {
        let needed = plan.frames.clone();
        sink.plan(plan)?;
        let cropper = Cropper::new(request.transform, media.rotation());
        Ok(Self { needed, delivered: 0, cropper, sink, size: [0, 0] })
    }

    fn needs(&self, index: u64) -> bool {
        self.needed.get(self.delivered) == Some(&index)
    }

    fn offer(&mut self, index: u64, frame: &ff::frame::Video) -> Result<(), VideoError> {
        if !self.needs(index) {
            return Ok(());
        }
        let mut pixels = vec![];
        memory::resize(&mut pixels, self.cropper.bytes())?;
        self.size = self.cropper.run(frame, &mut pixels)?;
        self.delivered += 1;
        self.sink.frame(index, pixels)
    }

    /// Hands over a needed frame that lies on a GPU. False where it must be brought down.
    fn offer_surface(&mut self, index: u64, frame: &ff::frame::Video) -> Result<bool, VideoError> {
        let Some(surface) = Surface::of(frame, self.cropper.transform()).filter(|_| self.cropper.is_upright()) else {
            return Ok(false);
        };
        let taken = self.sink.surface(index, &surface)?;
        if taken {
            self.size = [frame.width(), frame.height()];
            self.delivered += 1;
        }
        Ok(taken)
    }

    fn is_complete(&self) -> bool {
        self.delivered == self.needed.len()
    }
}

struct Fast<'a> {
    index: &'a PacketIndex,
    framing: Option<Framing>,
    nvdec: Option<&'a Nvdec>,
    delivery: Delivery<'a>,
    output: u64,
    skipped: u64,
    last: Option<u64>,
    inexact: bool,
}

impl Fast<'_> {
    fn give_up(&mut self) -> Result<(), VideoError> {
        self.inexact = true;
        Err(VideoError::Stopped)
    }
}

impl Visitor for Fast<'_> {
    fn alive(&mut self) -> Result<(), VideoError> {
        self.delivery.sink.alive()
    }

    fn may_skip(&mut self, packet: &ff::Packet) -> bool {
        let Some(framing) = self.framing else { return false };
        // SAFETY: the packet is alive; its flags are a plain public field.
        let discarded = unsafe { (*packet.as_ptr()).flags } & ffi::AV_PKT_FLAG_DISCARD != 0;
        let Some(frame) = packet.pts().and_then(|time| self.index.frame_at(time)) else { return false };
        // Before the first frame that is shown, a decoder that begins in the middle of a stream shows none.
        let begun = self.last.is_some_and(|last| last < frame);
        let skip = begun
            && !discarded
            && self.delivery.needed.binary_search(&frame).is_err()
            && packet.data().is_some_and(|data| nal::is_disposable(data, framing));
        self.skipped += u64::from(skip);
        skip
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        let index = frame.pts().and_then(|time| self.index.frame_at(time));
        let Some(index) = index.filter(|index| self.last.is_none_or(|last| last < *index)) else {
            return self.give_up();
        };
        if is_flawed(frame) {
            return self.give_up();
        }
        self.last = Some(index);
        self.output += 1;
        let Some(nvdec) = self.nvdec.filter(|_| self.delivery.needs(index)) else {
            return self.delivery.offer(index, frame);
        };
        if let Some(there) = nvdec.stays(frame)
            && self.delivery.offer_surface(index, &there)?
        {
            return Ok(());
        }
        match nvdec.bring_down(frame) {
            Some(frame) => self.delivery.offer(index, &frame),
            None => self.give_up(),
        }
    }

    fn trouble(&mut self) -> Result<(), VideoError> {
        self.give_up()
    }
}

/// The reference for everything unusual: counts the frames that really come out, then decodes again and picks.
fn plain(path: &Path, request: &Request, index: &PacketIndex, sink: &mut dyn Sink) -> Result<Facts, VideoError> {
    let mut media = Media::open(path, &request.limits)?;
    let mut counter = Count { sink, output: 0, concealed: 0 };
    decode::run(&mut media, &mut counter)?;
    let Count { sink, output, concealed } = counter;
    if output == 0 {
        return Err(media.no_frames());
    }
    let counts = FrameCounts { expected: index.expected, output, concealed };
    check_damage(counts, request.damage, media.is_cut())?;
    let mut media = Media::open(path, &request.limits)?;
    let plan = Plan::new(counts.output, &request.sampling);
    let mut picker = Pick { delivery: Delivery::begin(plan, request, &media, sink)?, output: 0 };
    decode::run(&mut media, &mut picker)?;
    if picker.output != counts.output || !picker.delivery.is_complete() {
        return Err(VideoError::Unsteady(format!("{} frames, then {}", counts.output, picker.output)));
    }
    picker.delivery.sink.complete()?;
    let (fps, size, stamp) = (media.fps(), picker.delivery.size, media.stamp());
    Ok(Facts { counts, fps, size, stamp, plain_pass: true, nvdec: false, skipped: 0 })
}

struct Count<'a> {
    sink: &'a mut dyn Sink,
    output: u64,
    concealed: u64,
}

impl Visitor for Count<'_> {
    fn alive(&mut self) -> Result<(), VideoError> {
        self.sink.alive()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.output += 1;
        self.concealed += u64::from(is_flawed(frame));
        Ok(())
    }

    fn trouble(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}

struct Pick<'a> {
    delivery: Delivery<'a>,
    output: u64,
}

impl Visitor for Pick<'_> {
    fn alive(&mut self) -> Result<(), VideoError> {
        self.delivery.sink.alive()
    }

    fn frame(&mut self, frame: &ff::frame::Video) -> Result<(), VideoError> {
        self.delivery.offer(self.output, frame)?;
        self.output += 1;
        Ok(())
    }

    fn trouble(&mut self) -> Result<(), VideoError> {
        Ok(())
    }
}
