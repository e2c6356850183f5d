//! What a run has to do: the files say what is done, the last journal what to be careful with.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::Timestamp;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::failure::{Attempt, FailureFile};
use reeldeck_common::layout::Layout;

use crate::config::{Order, Settings};
use crate::dataset::scan::VideoFile;
use crate::dataset::shown;
use crate::engine::assess::{self, Policy};
use crate::engine::excluded;
use crate::engine::state::{Status, Video, VideoId, Work};
use crate::protocol::event::Suspect;

/// So often the host may go down with one video alone in hand before it is held to be the reason.
const MOST_DOWN: u32 = 2;

/// What counts as done, by the settings.
pub fn policy(settings: &Settings) -> Policy {
    Policy { shard: settings.shard, retry_failed: settings.retry_failed, redo_stale: settings.redo_stale }
}

/// Looks at what is there for each file and decides what is to be done. Writes nothing.
///
/// # Errors
/// When the output folder cannot be looked through.
pub fn find(settings: &Settings, layout: &Layout, files: Arc<[VideoFile]>) -> Result<Work> {
    let found = assess::assess(layout, &settings.recipe, &files)
        .with_context(|| format!("failed to look through {}", shown(layout.out())))?;
    let excluded = excluded::read(&layout.private())
        .with_context(|| format!("failed to read {}", shown(&excluded::path(&layout.private()))))?;
    let policy = policy(settings);
    let mut left = settings.limit.unwrap_or(usize::MAX);
    let mut videos = Vec::with_capacity(files.len());
    for (file, found) in files.iter().zip(found) {
        let mut video = Video::new(policy.status(&file.name, found));
        if excluded.contains(&file.name) {
            video.exclude();
        } else if video.status == Status::Queued {
            match left {
                0 => video.status = Status::LeftOut,
                _ => left -= 1,
            }
        }
        videos.push(video);
    }
    let mut order: Vec<VideoId> =
        videos.iter().enumerate().filter(|(_, v)| v.status == Status::Queued).map(|(id, _)| id).collect();
    if settings.engine.order == Order::LargestFirst {
        order.sort_by_key(|id| std::cmp::Reverse(files.get(*id).map(|file| file.stamp.size)));
    }
    Ok(Work { files, videos, order, suspects: vec![], outcasts: vec![] })
}

/// Sets apart what the last run had in hand when it ended without a word: each is tried alone, and what took the whole
/// machine down, or did so twice, alone in the whole engine and last. One that did so alone fails. Gives what is to be
/// remembered for the next time, and failures to be written.
pub fn set_apart(
    work: &mut Work,
    mut suspects: BTreeMap<String, Suspect>,
) -> (BTreeMap<String, Suspect>, Vec<FailureFile>) {
    let mut failures = vec![];
    suspects.retain(|name, suspect| {
        let Ok(id) = work.files.binary_search_by(|file| file.name.as_str().cmp(name)) else { return false };
        let (Some(file), Some(video)) = (work.files.get(id), work.videos.get_mut(id)) else { return false };
        if video.status != Status::Queued {
            return false;
        }
        if suspect.alone_and_down >= MOST_DOWN {
            let times = suspect.alone_and_down;
            let text = format!("the machine went down {times} times while this video alone was in hand");
            let failure = Failure::new(ErrorKind::WorkerCrashed, text);
            video.status = Status::Failed { failure: Box::new(failure.clone()), before: false };
            let now = Timestamp::now();
            let attempt = Attempt { started: now, ended: now, device: "?".into(), failure, stderr: vec![] };
            failures.push(FailureFile { video: file.name.clone(), source: Some(file.stamp), attempts: vec![attempt] });
            return false;
        }
        if suspect.down || suspect.times > 1 {
            work.outcasts.push(id);
        } else {
            work.suspects.push(id);
        }
        true
    });
    let videos = &work.videos;
    work.order.retain(|id| videos.get(*id).is_some_and(|video| video.status == Status::Queued));
    (suspects, failures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reeldeck_common::source::SourceStamp;
    use reeldeck_common::video::VideoName;

    #[test]
    fn suspects_are_set_apart_by_what_is_held_against_them() {
        let name = |i: usize| format!("A/v_{i}.mp4");
        let stamp = SourceStamp { size: 1, mtime_ns: 0 };
        let file = |i| VideoFile { name: VideoName::new(&name(i)).unwrap(), stamp };
        let mut videos = vec![Video::new(Status::Queued); 6];
        videos[4].status = Status::Stale;
        let files = (0..6).map(file).collect();
        let mut work = Work { files, videos, order: vec![0, 1, 2, 3, 5], ..Work::default() };
        let suspect = |times, down, alone_and_down| Suspect { times, down, alone_and_down };
        let held = [
            (name(0), suspect(1, false, 0)),
            (name(1), suspect(2, false, 0)),
            (name(2), suspect(1, true, 0)),
            (name(3), suspect(3, true, 2)),
            (name(4), suspect(1, false, 0)),
            ("gone/v.mp4".into(), suspect(1, false, 0)),
        ];
        let (kept, failures) = set_apart(&mut work, held.into_iter().collect());
        assert_eq!((work.suspects, work.outcasts, work.order), (vec![0], vec![1, 2], vec![0, 1, 2, 5]));
        assert_eq!(kept.len(), 3);
        assert_eq!((failures.len(), failures[0].video.as_str()), (1, "A/v_3.mp4"));
        assert!(failures[0].attempts[0].failure.line().contains("went down 2 times"));
    }
}
