//! The thread of the claims: carries out requests, and does what is due.

use std::collections::BTreeSet;
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use reeldeck_claims::{BEAT, Change, Claimer, Folder, Load, Video};
use reeldeck_common::video::printable;
use tokio::sync::mpsc as tokio_mpsc;

use super::copies::{self, Copies};
use super::folder::OutputFolder;
use super::{ClaimsContext, ClaimsEvent, ClaimsRequest, Stage, Wait, item, status};
use crate::dataset::shown;
use crate::engine::crash_recovery;
use crate::engine::orders::{Order, Orders};
use crate::engine::state::{Status, VideoId};
use crate::out::errln;
use crate::protocol::snapshot::Phase;
use crate::protocol::{holder, last_run};

/// The time before a file operation that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Milliseconds after which operations that still fail are a warning, and between two such warnings.
const WARN: [u64; 2] = [5_000, 60_000];

/// The thread that claims videos.
pub(super) struct Thread {
    pub(super) claimer: Claimer,
    pub(super) folder: OutputFolder,
    pub(super) news: tokio_mpsc::UnboundedSender<ClaimsEvent>,
    pub(super) load: Load,
    pub(super) orders: Orders,
    /// The id of the engine.
    pub(super) me: String,
    pub(super) joined: bool,
    /// The other engines that take part, as the engine knows it.
    pub(super) others: usize,
    /// The other engines in the run of this one, as the engine knows it.
    pub(super) partners: usize,
    /// Whether this engine waits for others, as it knows it.
    pub(super) wait: Wait,
    /// The last run whose results it has looked for.
    pub(super) last_run: Option<(u64, i64, i64, u64)>,
    pub(super) began: Instant,
    pub(super) next_beat: u64,
    pub(super) next_orders: u64,
    /// Operations fail: when to warn next.
    pub(super) next_warning: Option<u64>,
    pub(super) copies: Copies,
    pub(super) next_comparison: u64,
}

impl Thread {
    pub(super) fn work(mut self, requests: &Receiver<ClaimsRequest>) {
        let mut wait = Duration::ZERO;
        loop {
            match requests.recv_timeout(wait) {
                Ok(first) => std::iter::once(first).chain(requests.try_iter()).for_each(|request| self.take(request)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            wait = self.step();
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Does what is due, and returns the time until something is due again.
    fn step(&mut self) -> Duration {
        let now = self.now();
        if now >= self.next_orders {
            self.next_orders = now + self.claimer.check_interval().max(BEAT);
            // Orders that cannot be read now are read with the next heartbeat.
            for order in self.orders.look().unwrap_or_default() {
                let _ = self.news.send(ClaimsEvent::Order(order));
            }
        }
        self.step_claims(now).min(Duration::from_millis(self.next_orders - now))
    }

    fn step_claims(&mut self, now: u64) -> Duration {
        if self.joined && now >= self.next_comparison {
            self.next_comparison = now + BEAT;
            self.compare();
        }
        if !self.joined && now >= self.next_beat {
            // The hold of the run handles a missing or full disk.
            let _ = self.folder.beat(0);
            self.follow(now);
            self.next_beat = now + BEAT;
        }
        let joined = match self.joined && !self.claimer.has_joined() {
            true => self.claimer.join(&mut self.folder, now),
            false => Ok(()),
        };
        let (changes, result) = self.claimer.step(&mut self.folder, now, self.load);
        changes.into_iter().for_each(|change| self.tell(change));
        self.tell_of_partners();
        self.tell_of_wait(now);
        if !self.joined {
            return Duration::from_millis(self.next_beat - now);
        }
        match joined.and(result) {
            Ok(()) => {
                self.next_warning = None;
                Duration::from_millis(self.claimer.due().saturating_sub(now))
            }
            Err(error) => {
                tracing::debug!("failed to share videos with other engines: {error}");
                if now >= *self.next_warning.get_or_insert(now + WARN[0]) {
                    self.next_warning = Some(now + WARN[1]);
                    let folder = shown(&self.folder.path);
                    let error = printable(&error.to_string());
                    let text = format!(
                        "no more videos can be claimed: {error}; check the disk, or stop all runs and remove {folder}"
                    );
                    tracing::warn!("{text}");
                    errln!("note: {text}");
                }
                RETRY
            }
        }
    }

    /// Adopts the results of other engines.
    fn follow(&mut self, now: u64) {
        // A run may begin and end between two heartbeats.
        let last_run = last_run::version(&self.folder.context.layout.private());
        let has_ended = last_run != self.last_run;
        if has_ended {
            self.claimer.expect_results();
        }
        let followed = self.claimer.follow(&mut self.folder, now);
        self.tell_of_others();
        if has_ended && followed.is_ok() {
            self.last_run = last_run;
            let _ = self.news.send(ClaimsEvent::RunEnded);
        }
    }

    /// Compares the videos with those of other engines.
    fn compare(&mut self) {
        let ClaimsContext { layout, registration, .. } = &self.folder.context;
        let me = registration.holder();
        if let Some(reason) = self.copies.compare(&layout.private(), &me, self.claimer.engines()) {
            let _ = self.news.send(ClaimsEvent::OtherCopies(reason));
            // It must claim nothing until the engine has ended the run.
            self.load = Load { want: 0, free: 0, patience: u64::MAX };
        }
    }

    /// Tells an engine that takes part how many others do.
    fn tell_of_partners(&mut self) {
        let engines = self.claimer.engines().filter(|engine| *engine != self.me);
        let partners = if self.joined { engines.count() } else { 0 };
        if std::mem::replace(&mut self.partners, partners) != partners {
            let _ = self.news.send(ClaimsEvent::Partners(partners));
        }
    }

    /// Tells the engine whether it waits for others.
    fn tell_of_wait(&mut self, now: u64) {
        let wait = match self.claimer.silent(now) {
            Some(engine) => Wait::Silent(engine.to_owned()),
            None if self.claimer.is_idle() => Wait::Others,
            None => Wait::No,
        };
        if self.wait == wait {
            return;
        }
        self.wait = wait.clone();
        let _ = self.news.send(ClaimsEvent::Waits(match wait {
            Wait::Silent(engine) => {
                let seen = holder::holders(&self.folder.context.layout.private()).unwrap_or_default();
                let holder = seen.into_iter().filter_map(|seen| seen.holder).find(|holder| holder.id == engine);
                Wait::Silent(holder.map_or(engine, |holder| format!("the engine on {}", printable(&holder.host))))
            }
            wait => wait,
        }));
    }

    /// Tells an engine that takes no part how many others do.
    fn tell_of_others(&mut self) {
        let mut others = 0;
        if self.claimer.engines().any(|engine| *engine != self.me) {
            // The marks of engines that were killed stay until another engine takes part.
            let seen = holder::holders(&self.folder.context.layout.private()).unwrap_or_default();
            let held = seen.into_iter().filter(|seen| seen.held).filter_map(|seen| seen.holder);
            let takes_part = |id: &str| id != self.me && self.claimer.engines().any(|engine| engine == id);
            others = held.filter(|holder| takes_part(&holder.id)).count();
        }
        let before = std::mem::replace(&mut self.others, others);
        if others < before {
            self.claimer.expect_results();
        }
        if others != before {
            let _ = self.news.send(ClaimsEvent::Others(others));
        }
    }

    /// Whether the other engines of the run are paused, as far as their heartbeats say.
    fn is_paused_elsewhere(&self) -> bool {
        let ClaimsContext { layout, .. } = &self.folder.context;
        let seen = holder::holders(&layout.private()).unwrap_or_default();
        let others = seen.into_iter().filter(|seen| seen.held).filter_map(|seen| seen.holder);
        let reports = others.filter(|holder| holder.id != self.me).filter_map(|holder| holder.report);
        let phases: Vec<Phase> =
            reports.filter(|report| report.set == layout.set()).map(|report| report.phase).collect();
        phases.contains(&Phase::Paused) && !phases.contains(&Phase::Running)
    }

    fn tell(&self, change: Change) {
        let ids = |videos: Vec<Video>| videos.into_iter().map(VideoId).collect();
        let news = match change {
            Change::Granted { videos, from } => {
                let suspects = from.map(|engine| self.suspects_of(&engine, &videos)).unwrap_or_default();
                ClaimsEvent::Granted(ids(videos), suspects)
            }
            Change::Revoked(videos) => ClaimsEvent::Revoked(ids(videos)),
            Change::Settled(video, settled) => match status(&settled) {
                Some(status) => ClaimsEvent::Settled(VideoId(video), status),
                None => return,
            },
            Change::EngineDied(engine) => ClaimsEvent::EngineDied(engine),
        };
        let _ = self.news.send(news);
    }

    /// Those of the videos of an engine that has ended which may have ended it: if its journal cannot be read, all of them.
    fn suspects_of(&self, engine: &str, videos: &[Video]) -> BTreeSet<String> {
        crash_recovery::suspects_of(&self.folder.context.layout.private(), engine).unwrap_or_else(|error| {
            tracing::warn!("the videos of the engine {engine} run alone, because its journal cannot be read: {error}");
            let names = videos.iter().filter_map(|video| self.folder.files.get(VideoId(*video)));
            names.map(|file| file.name.as_str().to_owned()).collect()
        })
    }

    fn take(&mut self, request: ClaimsRequest) {
        match request {
            ClaimsRequest::Join => {
                self.joined = true;
                if self.is_paused_elsewhere() {
                    tracing::info!("the other engines of this run are paused, so this one begins paused");
                    let _ = self.news.send(ClaimsEvent::Order(Order::Pause));
                }
            }
            // The next one is due soon.
            ClaimsRequest::Beat => drop(self.folder.context.registration.beat()),
            ClaimsRequest::Videos(files, items) => {
                // A missing or full disk is handled elsewhere, and the next heartbeat tells them, too.
                let _ = self
                    .folder
                    .context
                    .registration
                    .tell_videos(&copies::some(&files, &items), &copies::terms(&self.folder.context.recipe));
                self.next_comparison = 0;
                self.folder.files = files;
                items.into_iter().for_each(|item| self.claimer.add(item));
            }
            ClaimsRequest::Seen(id, file) if id.0 < self.folder.files.len() => {
                self.folder.files.restamp(id, file.stamp)
            }
            ClaimsRequest::Seen(_, file) => {
                self.claimer.add(item(&file, file.stamp.size, &Status::Gone));
                self.folder.files.push(file);
            }
            ClaimsRequest::Status(VideoId(video), Stage::Queued) => {
                self.claimer.back(video);
                self.claimer.reopen(video, true);
            }
            ClaimsRequest::Status(VideoId(video), Stage::Running) => self.claimer.begin(video),
            ClaimsRequest::Status(VideoId(video), Stage::Settled(settled)) => {
                if self.claimer.is_open(video) {
                    self.claimer.settle(video, settled);
                }
            }
            ClaimsRequest::Load(load) => self.load = load,
            ClaimsRequest::Turn(exports, reply) => {
                let now = self.now();
                let turn = self.claimer.turn(&mut self.folder, now, exports);
                let _ = reply.send(turn.map(|turn| (turn, self.claimer.is_shared())));
            }
            ClaimsRequest::TurnOver(ended) => {
                if let Err(error) = self.claimer.turn_over(&mut self.folder, ended) {
                    tracing::warn!("failed to tell other engines that the run has ended: {error}");
                }
            }
            ClaimsRequest::Order(order, asked) => {
                // The order is written even if no other engine is known: one may just have joined.
                if let Err(error) = self.orders.pass_on(order, asked) {
                    tracing::warn!("failed to pass an order on to other engines: {error}");
                }
            }
            ClaimsRequest::Leave(reply) => {
                self.joined = false;
                self.next_beat = 0;
                let now = self.now();
                match self.claimer.leave(&mut self.folder, now) {
                    // Only an empty folder is removed.
                    Ok(()) => drop(
                        fs::remove_dir(&self.folder.path)
                            .and_then(|()| self.folder.path.parent().map_or(Ok(()), fs::remove_dir)),
                    ),
                    Err(error) => tracing::warn!("failed to give videos back to other engines: {error}"),
                }
                if self.claimer.engines().count() == 0 {
                    self.orders.clear();
                }
                // The engine gets the revoked videos before the reply.
                let (changes, _) = self.claimer.step(&mut self.folder, now, self.load);
                changes.into_iter().for_each(|change| self.tell(change));
                let _ = reply.send(());
            }
        }
    }
}
