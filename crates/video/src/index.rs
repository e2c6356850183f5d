//! The packet scan: which frame each packet will become, found without decoding.

use ff::ffi;
use ff::packet::Ref;
use ffmpeg_next as ff;
use reeldeck_contract::limits::Limits;

use crate::error::VideoError;
use crate::media::Media;

/// What the packets of a video stream say about its frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PacketIndex {
    /// Presentation times of the packets that will be shown, ascending. The n-th belongs to the n-th frame, if `exact`.
    times: Vec<i64>,
    /// Packets that an edit list does not discard.
    pub shown: u64,
    /// Every shown packet has a time of its own and none is marked as damaged.
    pub exact: bool,
    /// Frames that should be there: `shown`, or more where the container promises more.
    pub expected: u64,
}

/// A promise is only held against a file that breaks it by this much: sound often ends a little after the pictures.
const SLACK_SECONDS: f64 = 0.5;

impl PacketIndex {
    /// Reads all packets of the stream. Use the media for nothing else afterwards: it is at its end.
    ///
    /// # Errors
    /// When reading fails or there are more frames than the limit allows.
    pub fn scan(media: &mut Media, limits: &Limits) -> Result<Self, VideoError> {
        let mut index = Self { exact: true, ..Self::default() };
        let mut packet = ff::Packet::empty();
        let mut end = i64::MIN;
        let mut discarded = 0;
        while media.read(&mut packet)? {
            // SAFETY: the packet is alive; its flags are a plain public field.
            let flags = unsafe { (*packet.as_ptr()).flags };
            if flags & ffi::AV_PKT_FLAG_DISCARD != 0 {
                discarded += 1;
                continue;
            }
            index.shown += 1;
            if index.shown > limits.frames {
                return Err(VideoError::Limit(format!("the video has more than {} frames", limits.frames)));
            }
            index.exact &= flags & ffi::AV_PKT_FLAG_CORRUPT == 0;
            match packet.pts() {
                Some(time) => {
                    index.times.push(time);
                    end = end.max(time.saturating_add(packet.duration().max(0)));
                }
                None => index.exact = false,
            }
        }
        index.times.sort_unstable();
        index.exact &= index.times.windows(2).all(|pair| pair[0] != pair[1]) && index.shown > 0;
        let promised = match media.indexed_frames() {
            Some(indexed) => indexed.saturating_sub(discarded),
            None => index.promised(media, end),
        };
        index.expected = index.shown.max(promised);
        Ok(index)
    }

    /// Frames that the container's duration implies at the rate of the packets that are there.
    fn promised(&self, media: &Media, end: i64) -> u64 {
        let (Some(promised), Some(first)) = (media.promised_seconds(), self.times.first()) else { return 0 };
        let covered = end.saturating_sub(*first) as f64 * media.tick();
        // A container that starts late counts its duration from zero, not from its first frame.
        let late = (*first as f64 * media.tick()).max(0.0);
        if covered <= 0.0 || promised - late - covered < SLACK_SECONDS {
            return 0;
        }
        ((self.shown as f64) * (promised - late) / covered).round() as u64
    }

    /// Which frame has this presentation time.
    pub fn frame_at(&self, time: i64) -> Option<u64> {
        self.times.binary_search(&time).ok().map(|at| at as u64)
    }
}
