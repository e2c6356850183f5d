//! The messages between the engine and its claims, and the end of the run.

use std::io;
use std::time::Duration;

use reeldeck_claims::{Load, Turn};
use reeldeck_common::video::VideoName;
use tokio::sync::{mpsc, oneshot};

use super::{ClientRequest, Engine, Event, Incoming, Phase, Request, Status, StopSignals, TaskResult, VideoId, ticks};
use crate::dataset::scan::as_they_are;
use crate::engine::assess::{self, StoredResult};
use crate::engine::claims::{ClaimsEvent, ClaimsRequest, Wait, stage};
use crate::engine::orders::{Asked, Order};
use crate::engine::patterns::Patterns;
use crate::engine::state::State;
use crate::out::count;
use crate::protocol::last_run;

/// After this time, the engine asks again whether it may end the run.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long an engine waits until its claims are given back, because their disk may not respond.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The work that should wait in the engine, in milliseconds.
const AHEAD: f64 = 60_000.0;

impl Engine {
    /// Takes part in the run.
    pub(super) fn join_claims(&mut self) {
        self.plan.claims.tell(ClaimsRequest::Join);
    }

    /// Passes the messages of the claims on.
    pub(super) fn hear_claims(
        news: Option<mpsc::UnboundedReceiver<ClaimsEvent>>,
        sender: mpsc::UnboundedSender<Incoming>,
    ) {
        let Some(mut news) = news else { return };
        tokio::spawn(async move {
            while let Some(news) = news.recv().await {
                let _ = sender.send(Incoming::Claims(news));
            }
        });
    }

    pub(super) fn take_news(&mut self, news: ClaimsEvent) {
        match news {
            ClaimsEvent::Granted(videos, names) => {
                let suspects = names.iter().filter_map(|name| self.state.files.find(name));
                let suspects = suspects.filter(|id| videos.contains(id)).collect();
                self.handle(Event::Granted(videos, suspects));
            }
            ClaimsEvent::Revoked(videos) => self.handle(Event::Revoked(videos)),
            ClaimsEvent::Settled(video, status) => self.handle(Event::SettledElsewhere(video, status)),
            ClaimsEvent::Order(order) => self.take_order(order),
            ClaimsEvent::OtherCopies(reason) => self.handle(Event::Block(reason)),
            ClaimsEvent::Others(others) => self.others = others,
            ClaimsEvent::Partners(partners) => self.partners = partners,
            ClaimsEvent::Waits(wait) => {
                if let Some(reason) = wait.reason().filter(|_| matches!(wait, Wait::Silent(_))) {
                    tracing::warn!("{reason}");
                }
                self.wait = wait;
            }
            ClaimsEvent::RunEnded if self.state.phase == Phase::Waiting => {
                self.run_in_background(|context| {
                    TaskResult::LastRun(last_run::read(&context.layout.private()).map(Box::new))
                });
            }
            ClaimsEvent::RunEnded => {}
            ClaimsEvent::EngineDied(engine) => {
                tracing::warn!("engine {engine} crashed; other engines take over its videos");
            }
        }
    }

    /// Carries out an order that was given to all engines.
    fn take_order(&mut self, order: Order) {
        let ids = |names: &[VideoName]| names.iter().filter_map(|name| self.state.files.find(name.as_str())).collect();
        match order {
            Order::Pause => self.pause(true),
            Order::Resume => self.pause(false),
            Order::Stop(false) => self.finish_up(),
            Order::Stop(true) => self.handle(Event::Abort),
            Order::Exclude { videos, undo } => {
                let ids = ids(&videos);
                self.dataset.exclude(videos, undo);
                self.handle(Event::Exclude(ids, undo));
            }
            Order::Retry(videos) => {
                let ids = ids(&videos);
                self.retry(ids);
            }
            Order::RetryMatching(patterns) => {
                let mut patterns = Patterns::new(&patterns);
                let videos = self.state.videos.iter_enumerated();
                let failed = videos.filter(|(_, video)| matches!(video.status, Status::Failed { .. }));
                let name = |id| self.state.files.get(id).map(|file| &file.name);
                let ids = failed.map(|(id, _)| id).filter(|id| name(*id).is_some_and(|name| patterns.matches(name)));
                let ids = ids.collect();
                self.retry(ids);
            }
            // This order starts no run.
            Order::Redo(_) if self.state.is_over() => {}
            Order::Redo(videos) => {
                let ids = ids(&videos);
                self.handle(Event::Redo(ids));
            }
        }
        self.show();
    }

    /// Pauses or resumes this engine, and tells engines that join.
    pub(super) fn pause(&mut self, pauses: bool) {
        self.handle(if pauses { Event::Pause } else { Event::Resume });
        // Updates the report of the heartbeat.
        self.show();
        self.plan.claims.tell(ClaimsRequest::Beat);
    }

    /// Retries failed videos in the run. An engine without a run begins none: it waits for the results of others.
    fn retry(&mut self, videos: Vec<VideoId>) {
        self.handle(if self.state.is_over() { Event::RetriedElsewhere(videos) } else { Event::Retry(videos) });
    }

    /// The answer to a request that an engine without a run only passes on, because other engines have one. None if the engine
    /// carries the request out.
    pub(super) fn passed_on_only(&mut self, request: &Request) -> Option<String> {
        if !self.state.is_over() || self.run_concludes || self.others == 0 {
            return None;
        }
        match request {
            Request::Pause | Request::Resume | Request::Stop { .. } | Request::Redo(_) => {}
            Request::Retry(videos) => self.handle(Event::RetriedElsewhere(videos.clone())),
            _ => return None,
        }
        Some(passed_on(self.others))
    }

    /// Passes a request on to the other engines, if it concerns them.
    pub(super) fn pass_on(&self, request: &Request) {
        let names = |ids: &[VideoId]| ids.iter().filter_map(|id| self.name(*id)).collect();
        let order = match request {
            _ if self.state.is_over() && !self.run_concludes && self.others == 0 => return,
            Request::Pause => Order::Pause,
            Request::Resume => Order::Resume,
            Request::Stop { now } => Order::Stop(*now),
            Request::Retry(ids) => Order::Retry(names(ids)),
            Request::Redo(ids) => Order::Redo(names(ids)),
            _ => return,
        };
        self.plan.claims.tell(ClaimsRequest::Order(order, Asked::now()));
    }

    /// Tells the claims which videos have changed.
    pub(super) fn tell_claims(&mut self, changed: &[VideoId]) {
        for id in changed {
            let (Some(file), Some(video)) = (self.state.files.get(*id), self.state.videos.get(*id)) else { continue };
            if id.0 >= self.claimable {
                self.claimable = id.0 + 1;
                self.plan.claims.tell(ClaimsRequest::Seen(*id, file.clone()));
            }
            self.plan.claims.tell(ClaimsRequest::Status(*id, stage(&video.status)));
        }
        let load = load(&self.state, self.rate.videos_per_s().unwrap_or_default());
        if self.load != Some(load) {
            self.load = Some(load);
            self.plan.claims.tell(ClaimsRequest::Load(load));
        }
    }

    /// Waits until this engine may end the run, or another one has ended it. None if videos are to be extracted again, or if
    /// a user stops the run.
    pub(crate) async fn take_turn(
        &mut self,
        exports: bool,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> Option<Turn> {
        let (mut ticks, mut reply) = (ticks(), self.ask_turn(exports));
        let again = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(again);
        let mut waits = false;
        self.run_concludes = true;
        let turn = loop {
            tokio::select! {
                biased;
                signal = signals.received() => self.signalled(signal),
                Some(asked) = clients.recv() => self.answer(asked),
                turn = &mut reply, if !waits => match turn {
                    Ok(Ok((Turn::Other, _))) => {
                        waits = true;
                        again.as_mut().reset(tokio::time::Instant::now() + ASK_AGAIN);
                    }
                    Ok(Ok((Turn::Mine, true))) => {
                        self.check_others().await;
                        break Some(Turn::Mine);
                    }
                    Ok(Ok((turn, _))) => break Some(turn),
                    // The folder of the claims cannot be used. An export by two engines does no harm.
                    Ok(Err(error)) => {
                        tracing::warn!("failed to ask other engines for the end of the run: {error}");
                        break Some(Turn::Mine);
                    }
                    Err(_) => break Some(Turn::Mine),
                },
                () = &mut again, if waits => {
                    waits = false;
                    reply = self.ask_turn(exports);
                }
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => self.tick(),
            }
            if self.state.phase != Phase::Running || !self.state.is_over() {
                break None;
            }
        };
        self.run_concludes = false;
        if !self.state.is_over() {
            self.turn_over(None);
            return None;
        }
        turn
    }

    fn ask_turn(&self, exports: bool) -> oneshot::Receiver<io::Result<(Turn, bool)>> {
        let (reply, turn) = oneshot::channel();
        self.plan.claims.tell(ClaimsRequest::Turn(exports, reply));
        turn
    }

    /// This engine no longer ends the run. `ended`: the end is done; true: with an export.
    pub(crate) fn turn_over(&self, ended: Option<bool>) {
        self.plan.claims.tell(ClaimsRequest::TurnOver(ended));
    }

    /// Gives all claims back.
    pub(crate) async fn leave_claims(&self) {
        let (reply, left) = oneshot::channel();
        self.plan.claims.tell(ClaimsRequest::Leave(reply));
        // Without an answer, other engines take the claims over.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, left).await;
    }

    /// Reads the results of the videos that other engines have done. Videos without a result are extracted again.
    async fn check_others(&mut self) {
        let done = self.state.videos.iter_enumerated().filter(|(_, video)| matches!(video.status, Status::Done { .. }));
        let done: Vec<_> = done.filter_map(|(id, _)| Some((id, self.state.files.get(id)?.clone()))).collect();
        let task_context = self.plan.task_context.clone();
        let look = tokio::task::spawn_blocking(move || {
            let (ids, files): (Vec<_>, Vec<_>) = done.into_iter().unzip();
            let found = assess::look_each(&task_context.layout, &task_context.recipe, &files)?;
            let mut found: Vec<_> = ids.into_iter().zip(found).zip(files).collect();
            // Another engine may have extracted a file that has changed since this one saw it.
            for ((_, found), file) in found.iter_mut().filter(|((_, found), _)| *found == StoredResult::Stale) {
                let now = as_they_are(&task_context.root, vec![file.clone()]);
                *found = now.first().map_or(StoredResult::Stale, |file| task_context.found(file));
            }
            io::Result::Ok(found.into_iter().map(|(found, _)| found).collect::<Vec<_>>())
        });
        let Ok(Ok(found)) = look.await else { return };
        for (id, found) in found {
            if !matches!(found, StoredResult::Done { .. }) {
                self.take(Incoming::Missed(id, found));
            }
        }
    }
}

/// Says that other engines get a request.
pub(super) fn passed_on(engines: usize) -> String {
    format!("passed on to {}, which will follow within a minute", count(engines, "engine", "engines"))
}

/// The videos that the engine can use.
fn load(state: &State, videos_per_s: f64) -> Load {
    let alive = || state.workers.iter().filter(|worker| !worker.status.is_gone());
    let places: usize = alive().map(|worker| worker.capacity).sum();
    let works = state.phase == Phase::Running && state.paused.is_none() && state.hold.is_none();
    // The last place of a worker is for decoding ahead.
    let free =
        alive().map(|worker| worker.capacity.saturating_sub(1).max(1).saturating_sub(worker.in_flight.len())).sum();
    let (want, free) = match works {
        true => (((videos_per_s * AHEAD / 1000.0) as usize).max(2 * places), free),
        false => (0, 0),
    };
    let mean = if videos_per_s > 0.0 { places as f64 / videos_per_s * 1000.0 } else { f64::from(u32::MAX) };
    // Rounded, so that it does not change with each video.
    let (want, patience) = (want.next_multiple_of(8), (mean as u64).next_power_of_two() * 4 + 60_000);
    Load { want, free, patience }
}
