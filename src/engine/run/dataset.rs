//! Watches the dataset folder, looks at new and changed files, and publishes the changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use reeldeck_common::probe::{Level, Verdict};
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;
use tokio::sync::mpsc::UnboundedSender;

use super::{
    Engine, Event, Incoming, Millis, Plan, PublishedEvent, Reply, Status, StoredResult, TaskResult, VideoFile, VideoId,
};
use crate::dataset::watch::{Change, Rescan};
use crate::engine::claims::ClaimsRequest;
use crate::engine::files::Files;
use crate::engine::inspector::{InspectRequest, Inspection};
use crate::engine::other_files::OtherFiles;
use crate::protocol::event::ChangedVideos;

/// The shortest interval between two events about changes, in milliseconds.
const TOLD_EVERY: Millis = 2_000;

/// An event names at most so many videos of each kind.
const MAX_NAMED: usize = 3;

/// What the engine knows of the dataset besides its videos.
pub(super) struct Dataset {
    /// How the folder is watched, for users.
    pub words: Option<String>,
    /// Makes the watch scan the folder at once.
    rescan: Option<Rescan>,
    excluded: BTreeSet<VideoName>,
    arrived: BTreeSet<VideoName>,
    changed: BTreeSet<VideoName>,
    gone: BTreeSet<VideoName>,
    next: Millis,
}

impl Dataset {
    /// Follows the watch of the dataset folder, if there is one.
    pub(super) fn begin(plan: &mut Plan, sender: &UnboundedSender<Incoming>) -> Self {
        let (words, rescan) = match forward_changes(plan, sender.clone()) {
            None => (plan.waits.then(|| "off by configuration".into()), None),
            Some(Ok(rescan)) => (Some("events".into()), Some(rescan)),
            Some(Err(why)) => (Some(format!("off: {why}")), None),
        };
        let (excluded, none) = (plan.excluded.clone(), BTreeSet::new);
        Self { words, rescan, excluded, arrived: none(), changed: none(), gone: none(), next: 0 }
    }

    /// Adds names to the excluded videos, or removes them.
    pub(super) fn exclude(&mut self, names: Vec<VideoName>, undo: bool) {
        for name in names {
            if undo {
                self.excluded.remove(&name);
            } else {
                self.excluded.insert(name);
            }
        }
    }
}

/// Passes on the changes that the watch reports, on a thread, which also looks up each new file in the output folder.
fn forward_changes(plan: &mut Plan, sender: UnboundedSender<Incoming>) -> Option<Result<Rescan, std::io::Error>> {
    let watch = plan.watch.take()?;
    let task_context = plan.task_context.clone();
    Some((|| {
        let mut watch = watch?;
        let rescan = watch.rescan();
        reeldeck_common::thread::spawn("changes", move || {
            while let Some(change) = watch.next_blocking() {
                let incoming = match change {
                    Change::Settled(file) => {
                        let found = task_context.found(&file);
                        Incoming::Seen(file, found)
                    }
                    Change::Gone(name) => Incoming::Vanished(name),
                    Change::Polling(why) => Incoming::Watched(format!("polling: {why}")),
                    Change::Away(why) => {
                        let _ = sender
                            .send(Incoming::DatasetGone(task_context.dataset.look(&[]).err().unwrap_or(why.clone())));
                        Incoming::Watched(format!("cannot see the dataset folder: {why}"))
                    }
                    Change::Back => Incoming::Watched("events".into()),
                    Change::FolderAppeared(_) | Change::FolderGone(_) => continue,
                };
                if sender.send(incoming).is_err() {
                    return;
                }
            }
        })?;
        Ok(rescan)
    })())
}

impl Engine {
    /// Handles a new or changed file.
    pub(super) fn seen(&mut self, file: VideoFile, found: StoredResult) {
        let id = self.state.files.find(file.name.as_str());
        let before = id.and_then(|id| Some((self.state.files.get(id)?.stamp, &self.state.videos.get(id)?.status)));
        match before {
            Some((stamp, status)) if *status != Status::Gone => {
                if stamp != file.stamp {
                    self.dataset.changed.insert(file.name.clone());
                }
            }
            _ => drop(self.dataset.arrived.insert(file.name.clone())),
        }
        if let Some((id, (stamp, _))) = id.zip(before)
            && stamp != file.stamp
        {
            self.rate.set_corrupt(id, false);
        }
        let status = self.plan.policy.status(found);
        let excluded = self.dataset.excluded.contains(&file.name);
        self.handle(Event::Seen(file.clone(), status, excluded));
        if let Some(id) = id {
            self.plan.claims.tell(ClaimsRequest::Seen(id, file.clone()));
        }
        if self.plan.waits
            && let Some(id) = self.state.files.find(file.name.as_str())
        {
            let _ = self.inspector.send(InspectRequest::Look(vec![(id, file)], Level::Quick));
        }
    }

    /// Passes on which videos a check finds corrupt.
    pub(crate) fn inspection_sink(&self) -> impl Fn(&Inspection) + Send + use<> {
        let sender = self.sender.clone();
        move |inspection| {
            let Inspection::Probed(found) = inspection else { return };
            let corrupt = found.iter().filter(|(_, probed)| matches!(probed.verdict, Verdict::Corrupt { .. }));
            let corrupt: Vec<_> = corrupt.map(|(id, probed)| (*id, probed.source)).collect();
            if !corrupt.is_empty() {
                let _ = sender.send(Incoming::Corrupt(corrupt));
            }
        }
    }

    pub(super) fn found_corrupt(&mut self, videos: &[(VideoId, SourceStamp)]) {
        for (id, stamp) in videos {
            if self.state.files.get(*id).is_some_and(|file| file.stamp == *stamp) {
                self.rate.set_corrupt(*id, true);
            }
        }
    }

    /// The number of refused files.
    pub(crate) fn refused(&self) -> usize {
        self.plan.others.refused.len()
    }

    /// A part of the dataset folder that could not be read, and why.
    pub(crate) fn unreadable(&self) -> Option<&str> {
        self.plan.others.unreadable.as_deref()
    }

    /// Publishes the files that are no videos.
    pub(super) fn set_others(&mut self, others: OtherFiles) {
        if *self.plan.others == others {
            return;
        }
        self.plan.others = Arc::new(others);
        for observer in &mut self.observers {
            observer.others(&self.plan.others);
        }
    }

    pub(super) fn vanished(&mut self, name: VideoName) {
        let before = self.state.counts().videos;
        self.handle(Event::Vanished(name.clone()));
        if self.state.counts().videos < before {
            self.dataset.gone.insert(name);
        }
    }

    /// Looks at a file again that changed while it was in flight.
    pub(super) fn look_at(&self, name: VideoName) {
        let (task_context, sender) = (self.plan.task_context.clone(), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            // A file that cannot be read now is noticed by the watch or by the next run.
            let incoming = match task_context.look_at(name)? {
                Ok((file, found)) => Incoming::Seen(file, found),
                Err(name) => Incoming::Vanished(name),
            };
            sender.send(incoming).ok()
        });
    }

    /// Publishes the new, changed and removed files.
    pub(super) fn tell_of_dataset(&mut self, now: Millis) {
        let Dataset { arrived, changed, gone, next, .. } = &mut self.dataset;
        if now < *next || arrived.len() + changed.len() + gone.len() == 0 {
            return;
        }
        *next = now + TOLD_EVERY;
        let [arrived, changed, gone] = [arrived, changed, gone].map(std::mem::take);
        let named = |videos: &BTreeSet<VideoName>| match videos.len() {
            ..=MAX_NAMED => videos.iter().map(|name| name.as_str().to_owned()).collect(),
            _ => vec![],
        };
        let videos = ChangedVideos { arrived: named(&arrived), changed: named(&changed), gone: named(&gone) };
        let [arrived, changed, gone] = [arrived, changed, gone].map(|videos| videos.len());
        self.tell(PublishedEvent::DatasetChanged { arrived, changed, gone, videos });
    }

    /// The files for a check. It fails for removed ones.
    pub(super) fn there(&self) -> Files {
        self.state.files.clone()
    }

    /// Scans the folder at once.
    pub(super) fn rescan(&mut self, reply: Reply) {
        if let Some(rescan) = &self.dataset.rescan {
            // The watch reports the changes that it has not reported yet.
            rescan.now();
        }
        let files = self.state.files.clone();
        let gone: Vec<bool> = self.state.videos.iter().map(|video| video.status == Status::Gone).collect();
        let sender = self.sender.clone();
        self.run_in_background(move |task_context| {
            let done = task_context.rescan(&files, |id| gone.get(id.0).copied().unwrap_or(false)).map(|differences| {
                let (seen, gone) = (differences.seen.len(), differences.gone.len());
                let text = format!("scanned the dataset folder: {seen} new or changed, {gone} gone");
                for (file, found) in differences.seen {
                    let _ = sender.send(Incoming::Seen(file, found));
                }
                for name in differences.gone {
                    let _ = sender.send(Incoming::Vanished(name));
                }
                let _ = sender.send(Incoming::Others(differences.others));
                text
            });
            TaskResult::Answer(reply, done.map_err(|error| format!("{error:#}")))
        });
    }
}
