//! Runs many probe processes over one list of videos. Videos whose process crashed are probed again at the end, one at a
//! time.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use reeldeck_common::probe::{Answer, Probed, Verdict};
use reeldeck_common::source::SourceStamp;

use super::process::{Prober, Reply};
use super::{Ended, Outcome, ProbeError, Request, Setup, is_arriving};

/// After this number of consecutive disk stalls per process, the disk counts as absent.
const MAX_SILENT: usize = 2;

/// A message of a slot.
enum PoolEvent {
    Found(usize, Outcome),
    /// The process of this video crashed.
    Suspect(usize),
    /// The process of this video waits for the disk.
    Silent(usize, String),
    Failed(ProbeError),
}

/// The result of one attempt.
enum Tried {
    Found(Outcome),
    /// The process ended, with the reason.
    Down(String),
    /// Another process or the kernel has killed the process, with the reason. The video may be healthy.
    Killed(String),
    Silent(String),
    Cancelled,
}

/// Probes the videos with these indices and passes each finding to `take`.
pub(super) fn run(
    request: Request<'_>,
    setup: &Setup,
    indices: &[usize],
    cancel: &AtomicBool,
    take: &mut dyn FnMut(usize, Outcome),
) -> Result<Ended, ProbeError> {
    // Set when the caller cancels, and when continuing is pointless.
    let stop = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    let processes = setup.processes.clamp(1, indices.len().max(1));
    let mut suspects = vec![];
    let mut failed = None;
    std::thread::scope(|scope| {
        let (sender, news) = mpsc::channel();
        for started in 0..processes {
            let (sender, stop, next) = (sender.clone(), &stop, &next);
            let work = move || {
                let mut next = || indices.get(next.fetch_add(1, Ordering::Relaxed)).copied();
                slot(request, setup, &mut next, stop, &sender);
            };
            match std::thread::Builder::new().spawn_scoped(scope, work) {
                Ok(_) => {}
                // Those that run do the work.
                Err(_) if started > 0 => break,
                Err(error) => {
                    failed = Some(ProbeError::Thread(reeldeck_common::thread::refused("probe", &error)));
                    return;
                }
            }
        }
        drop(sender);
        let mut silent = 0;
        loop {
            match news.recv_timeout(Duration::from_millis(50)) {
                Ok(PoolEvent::Found(index, finding)) => {
                    silent = 0;
                    take(index, finding);
                }
                Ok(PoolEvent::Suspect(index)) => suspects.push(index),
                Ok(PoolEvent::Silent(index, why)) => {
                    silent += 1;
                    take(index, Outcome::Unreadable(why));
                    if silent >= MAX_SILENT * processes && failed.is_none() {
                        failed = Some(ProbeError::Silent { root: request.root.to_owned() });
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Ok(PoolEvent::Failed(error)) => {
                    failed.get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if cancel.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    suspects.sort_unstable();
    for index in suspects {
        match alone(request, setup, index, cancel)? {
            Some(finding) => take(index, finding),
            None => return Ok(Ended::Cancelled),
        }
    }
    Ok(if cancel.load(Ordering::Relaxed) { Ended::Cancelled } else { Ended::Complete })
}

/// Probes videos with one process at a time until none is left.
fn slot(
    request: Request<'_>,
    setup: &Setup,
    next: &mut dyn FnMut() -> Option<usize>,
    stop: &AtomicBool,
    news: &Sender<PoolEvent>,
) {
    let mut process = None;
    while !stop.load(Ordering::Relaxed)
        && let Some(index) = next()
    {
        let told = match attempt(request, setup, index, &mut process, stop) {
            Ok(Tried::Found(finding)) => PoolEvent::Found(index, finding),
            Ok(Tried::Down(_) | Tried::Killed(_)) => PoolEvent::Suspect(index),
            Ok(Tried::Silent(why)) => PoolEvent::Silent(index, why),
            Ok(Tried::Cancelled) => return,
            Err(error) => PoolEvent::Failed(error),
        };
        if news.send(told).is_err() {
            return;
        }
    }
}

/// Probes a video while nothing else runs, so that a crash is due to this video. `None` when cancelled.
fn alone(
    request: Request<'_>,
    setup: &Setup,
    index: usize,
    cancel: &AtomicBool,
) -> Result<Option<Outcome>, ProbeError> {
    Ok(match attempt(request, setup, index, &mut None, cancel)? {
        Tried::Found(finding) => Some(finding),
        Tried::Silent(why) | Tried::Killed(why) => Some(Outcome::Unreadable(why)),
        Tried::Cancelled => None,
        Tried::Down(how) => {
            let Some(video) = request.videos.get(index) else { return Ok(None) };
            let verdict = Verdict::Corrupt { reason: format!("crashes the prober: {how}") };
            let probed = Probed { level: request.level, source: video.stamp, verdict };
            Some(Outcome::Probed { probed, cached: false })
        }
    })
}

fn has_changed(path: &Path, before: SourceStamp) -> bool {
    SourceStamp::read(path).is_ok_and(|stamp| stamp != before)
}

fn attempt(
    request: Request<'_>,
    setup: &Setup,
    index: usize,
    process: &mut Option<Prober>,
    cancel: &AtomicBool,
) -> Result<Tried, ProbeError> {
    let Some(video) = request.videos.get(index) else { return Ok(Tried::Cancelled) };
    if is_arriving(video.stamp, setup.settle) {
        return Ok(Tried::Found(Outcome::Arriving));
    }
    let path = video.name.under(request.root);
    let asked = match process {
        Some(running) => running,
        None => match Prober::start(setup, cancel)? {
            Some(started) => process.insert(started),
            None => return Ok(Tried::Cancelled),
        },
    };
    let reply = asked.ask(&path, request.level, request.limits, setup.stall, cancel);
    let seconds = setup.stall.as_secs_f64();
    let tried = match reply {
        // A file that changes meanwhile is still being written, however long its last change was ago.
        Reply::Answer(Answer { found: Ok(probed), .. })
            if probed.source == video.stamp && !has_changed(&path, video.stamp) =>
        {
            return Ok(Tried::Found(Outcome::Probed { probed, cached: false }));
        }
        Reply::Answer(Answer { found, .. }) => {
            // The file differs from the scanned one, so it is still being written.
            let changed = has_changed(&path, video.stamp);
            return Ok(Tried::Found(match found {
                Err(why) if !changed => Outcome::Unreadable(why),
                _ => Outcome::Arriving,
            }));
        }
        Reply::Ended(how) => Tried::Down(format!("it {how}")),
        Reply::Killed(how) => Tried::Killed(format!(
            "the process that checked it {how}. Check that enough memory is free, then scan again"
        )),
        Reply::Hung { busy: true } => Tried::Down(format!("it computed for {seconds:.0} s without progress")),
        Reply::Hung { busy: false } => {
            Tried::Silent(format!("the disk or the network gave no answer for {seconds:.0} s"))
        }
        Reply::Cancelled => Tried::Cancelled,
    };
    *process = None;
    Ok(tried)
}
