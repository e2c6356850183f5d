//! The probe: finds out as quickly as possible whether a file is healthy.
//!
//! *Quick* opens the container, compares its structure with the size of the file and reads all packets, whose bytes must keep the
//! rules of their codec. *Deep* also decodes the first frames, every keyframe, the last frames and a sample of the others, and all
//! frames if anything looks wrong, so that a suspicion alone never makes a file count as damaged.

mod sample;

use std::path::Path;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Facts, Level, Probed, Verdict};
use reeldeck_common::source::SourceStamp;

use crate::accounting::FrameAccount;
use crate::error::VideoError;
use crate::media::Media;
use sample::PacketKinds;

/// Called once per packet. An error ends the check.
pub type Heartbeat<'a> = &'a mut dyn FnMut() -> Result<(), VideoError>;

/// Checks a file.
///
/// # Errors
/// Only temporary problems and those that are not the file's fault: the file cannot be read or changes meanwhile, memory runs out, and what
/// `heartbeat` returns. What is wrong with the file is part of the verdict.
pub fn check(path: &Path, level: Level, limits: &Limits, heartbeat: Heartbeat<'_>) -> Result<Probed, VideoError> {
    let source = SourceStamp::read(path)?;
    let judged = judge(path, level, limits, heartbeat);
    if matches!(judged, Err(VideoError::Stopped)) {
        return Err(VideoError::Stopped);
    }
    // A verdict means nothing if the file is not the one that was opened.
    if SourceStamp::read(path)? != source {
        return Err(VideoError::Changed);
    }
    let verdict = judged.or_else(|error| {
        let reason = Failure::from_error(error.kind(), &error).line();
        match error.kind() {
            ErrorKind::Corrupt => Ok(Verdict::Corrupt { reason }),
            ErrorKind::Limit => Ok(Verdict::OverLimit { reason }),
            _ => Err(error),
        }
    })?;
    Ok(Probed { level, source, verdict })
}

fn judge(path: &Path, level: Level, limits: &Limits, heartbeat: Heartbeat<'_>) -> Result<Verdict, VideoError> {
    let mut media = Media::open(path, limits)?;
    drop(media.decoder(None)?);
    let mut kinds = PacketKinds::default();
    let account = FrameAccount::open(&mut media, limits, &mut |packet| {
        heartbeat()?;
        kinds.note(packet);
        Ok(())
    })?;
    if account.index.shown == 0 {
        return Err(media.no_frames());
    }
    let decoded = match level {
        Level::Quick => None,
        Level::Deep => sample::decode(&|| Media::open(path, limits), &kinds, account.is_suspicious(), heartbeat)?,
    };
    if decoded.is_some_and(|decoded| decoded.output == 0) {
        return Err(media.no_frames());
    }
    let counts = decoded.map_or_else(|| account.undecoded(), |decoded| account.decoded(decoded));
    let facts = facts(&media, &account, counts.expected);
    if !counts.is_damaged() {
        return Ok(Verdict::Healthy { facts });
    }
    let reason = account.reason(counts, decoded);
    Ok(Verdict::Damaged { lost: counts.lost(), concealed: counts.concealed, reason, facts })
}

fn facts(media: &Media, account: &FrameAccount, frames: u64) -> Facts {
    let (duration_s, fps) = account.length(media);
    Facts {
        duration_s,
        frames,
        fps,
        size: media.displayed_size(),
        codec: media.codec().0.name(),
        container: media.container(),
        expected_from: Some(account.source()),
    }
}
