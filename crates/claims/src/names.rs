//! The names of the files in the folder of the claims.

use crate::BUCKETS;

/// A file in the folder of the claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `run.ENGINE`: the engine takes part.
    Run(String),
    /// `idle.ENGINE`: the engine takes part and has nothing to do.
    Idle(String),
    /// `0a3`: the bucket is claimed.
    Claim(u16),
    /// `0a3.open`: the bucket was claimed before, and its videos may be claimed.
    Open(u16),
    /// `0a3.done-12`: all 12 videos of the bucket are done. `0a3.mixed-12`: they are settled, and the text has details.
    Finished(u16, Record),
    /// `0a3.0123456789abcdef`: a single video is claimed.
    Single(u16, u64, Stage),
    /// `finish`: an engine ends the run. `finish.checked` and `finish.exported`: the end of the run is done.
    Finish(Option<bool>),
}

/// The results of a finished bucket, as far as the name of its file has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// At least one of them has details, such as a failure.
    pub mixed: bool,
    /// The number of videos.
    pub videos: usize,
}

/// The claim of a single video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is claimed.
    Claimed,
    /// It is claimed a second time, because the first claim takes long.
    Second,
    /// It is done.
    Done,
    /// It is settled, and the text has the details.
    Mixed,
}

pub(crate) fn run(engine: &str) -> String {
    format!("run.{engine}")
}

pub(crate) fn idle(engine: &str) -> String {
    format!("idle.{engine}")
}

pub(crate) fn claim(bucket: u16) -> String {
    format!("{bucket:03x}")
}

pub(crate) fn open(bucket: u16) -> String {
    format!("{bucket:03x}.open")
}

pub(crate) fn finished(bucket: u16, record: Record) -> String {
    format!("{bucket:03x}.{}-{}", if record.mixed { "mixed" } else { "done" }, record.videos)
}

pub(crate) fn single(bucket: u16, hash: u64, stage: Stage) -> String {
    let end = match stage {
        Stage::Claimed => "",
        Stage::Second => ".second",
        Stage::Done => ".done",
        Stage::Mixed => ".mixed",
    };
    format!("{bucket:03x}.{hash:016x}{end}")
}

pub(crate) const FINISH: &str = "finish";

/// The name to which the turn of a dead engine is renamed.
pub(crate) const FINISHER: &str = "finisher";

pub(crate) fn finish(exported: bool) -> &'static str {
    if exported { "finish.exported" } else { "finish.checked" }
}

/// Parses the name of a file. None if claims have no such name.
pub(crate) fn parse(name: &str) -> Option<Name> {
    match name.split_once('.') {
        Some(("run", engine)) if is_engine(engine) => return Some(Name::Run(engine.to_owned())),
        Some(("idle", engine)) if is_engine(engine) => return Some(Name::Idle(engine.to_owned())),
        Some((FINISH, "checked")) => return Some(Name::Finish(Some(false))),
        Some((FINISH, "exported")) => return Some(Name::Finish(Some(true))),
        None if name == FINISH => return Some(Name::Finish(None)),
        _ => {}
    }
    let (bucket, rest) = name.split_at_checked(3)?;
    let bucket = hex(bucket).filter(|bucket| *bucket < BUCKETS as u64)? as u16;
    let Some(rest) = rest.strip_prefix('.') else { return rest.is_empty().then_some(Name::Claim(bucket)) };
    if rest == "open" {
        return Some(Name::Open(bucket));
    }
    if let Some((word @ ("done" | "mixed"), videos)) = rest.split_once('-') {
        let videos = videos.parse().ok()?;
        return Some(Name::Finished(bucket, Record { mixed: word == "mixed", videos }));
    }
    let (hash, stage) = match rest.split_once('.') {
        None => (rest, Stage::Claimed),
        Some((hash, "second")) => (hash, Stage::Second),
        Some((hash, "done")) => (hash, Stage::Done),
        Some((hash, "mixed")) => (hash, Stage::Mixed),
        Some(_) => return None,
    };
    (hash.len() == 16).then(|| hex(hash)).flatten().map(|hash| Name::Single(bucket, hash, stage))
}

fn hex(text: &str) -> Option<u64> {
    let is_lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    is_lower.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Whether a text can be the id of an engine: letters, digits, `-` and `_`.
pub(crate) fn is_engine(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let (mixed, plain) = (Record { mixed: true, videos: 0 }, Record { mixed: false, videos: 244 });
        for (text, name) in [
            (run("a-1"), Name::Run("a-1".into())),
            (idle("a-1"), Name::Idle("a-1".into())),
            (claim(0xa3), Name::Claim(0xa3)),
            (open(4095), Name::Open(4095)),
            (finished(7, plain), Name::Finished(7, plain)),
            (finished(7, mixed), Name::Finished(7, mixed)),
            (FINISH.into(), Name::Finish(None)),
            (finish(true).into(), Name::Finish(Some(true))),
            (finish(false).into(), Name::Finish(Some(false))),
        ] {
            assert_eq!(parse(&text), Some(name), "{text}");
        }
        for stage in [Stage::Claimed, Stage::Second, Stage::Done, Stage::Mixed] {
            assert_eq!(parse(&single(1, u64::MAX, stage)), Some(Name::Single(1, u64::MAX, stage)));
        }
        for foreign in ["", "0", "0A3", "0a3.", "0a3x", "0a3.12", "run.", "run.a/b", "finish.x", ".nfs01", "é.open"] {
            assert_eq!(parse(foreign), None, "{foreign}");
        }
    }
}
