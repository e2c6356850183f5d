//! The end of a run in words, and its progress before, for the card, the header, the notification and the last line.

use super::action::Action;
use super::app::App;
use super::attach_command::attach_from_anywhere;
use super::text;
use crate::protocol::snapshot::{Counts, InFlight, Phase, Snapshot};
use crate::protocol::summary::{Ending, RunSummary};

/// `, 14 queued` after the end of a run: they wait for the next one.
fn queued(counts: &Counts) -> String {
    match counts.unfinished() {
        0 => String::new(),
        queued => format!(", {} queued", text::count(queued as u64)),
    }
}

/// `run finished in 20 s: 83 done, 4 failed`.
pub(super) fn sentence(run: &RunSummary) -> String {
    let mut sentence = format!(
        "run {} {} {}: {}{}",
        run.ending.word(),
        if run.ending == Ending::Finished { "in" } else { "after" },
        text::duration(run.seconds),
        run.counts.of_run_in_words(|number| text::count(number as u64)),
        queued(&run.counts)
    );
    if let Some(reason) = &run.reason {
        sentence.push_str(&format!("; {reason}"));
    }
    sentence
}

/// The word for an engine without an active run.
pub(super) fn idle_word(snapshot: &Snapshot) -> String {
    match &snapshot.last_run {
        None => "idle".into(),
        // A run that has failed says why, not how much is left.
        Some(run) if run.ending == Ending::Failed => run.ending.word().into(),
        Some(run) => format!("{}{}", run.ending.word(), queued(&snapshot.counts)),
    }
}

/// What an engine without a run shows where no video is left to extract, with the next key: `all done: e export`, `1 failed:
/// R retry`.
pub(super) fn nothing_left(app: &App, snapshot: &Snapshot) -> Option<String> {
    let Counts { videos, queued, failed, .. } = snapshot.counts;
    // New settings may find other videos.
    if snapshot.phase != Phase::Waiting || videos == 0 || queued > 0 || app.new_settings.wait() {
        return None;
    }
    Some(match failed {
        0 => format!("all done: {} export", app.keymap.key_text(Action::Export)),
        _ if only_corrupt_failed(snapshot) => {
            format!("{} corrupt: {} shows why", text::count(failed as u64), app.keymap.key_text(Action::Problems))
        }
        _ => format!("{} failed: {} retry", text::count(failed as u64), app.keymap.key_text(Action::RetryAll)),
    })
}

/// Extracting the failed videos again does not help: all of them are corrupt.
pub(super) fn only_corrupt_failed(snapshot: &Snapshot) -> bool {
    let Counts { failed, failed_corrupt, .. } = snapshot.counts;
    failed > 0 && failed == failed_corrupt
}

/// The share of the run's videos that are done or failed, 0 to 1, with those in progress in part. What earlier runs have done
/// does not count. Excluded videos of this run do, so that the share does not fall when one of them ends. Reaches 1 at the end of
/// a run. `None` if there are no videos.
pub(super) fn progress(snapshot: &Snapshot) -> Option<f64> {
    let counts = &snapshot.counts;
    let processed = counts.processed_in_run() as f64;
    let all = processed + counts.unfinished() as f64;
    let in_flight = snapshot.devices.iter().flat_map(|device| &device.in_flight);
    let in_part = in_flight.filter_map(InFlight::share).sum::<f64>().min(counts.running as f64);
    (all > 0.0).then(|| (processed + in_part) / all)
}

/// The percentage for the title of the terminal; `None` without an active run.
pub(super) fn title_percent(app: &App) -> Option<u8> {
    let (snapshot, _) = app.run().filter(|(run, _)| run.is_active() && !app.is_stale())?;
    Some((progress(&snapshot)? * 100.0).floor().clamp(0.0, 100.0) as u8)
}

/// The line that is printed after the window has closed.
pub(super) fn exit_message(app: &App) -> Option<String> {
    let snapshot = app.snapshot()?;
    let pid = app.welcome().map(|welcome| welcome.pid);
    match (app.phase(), pid, &snapshot.last_run) {
        (Some(Phase::Finishing | Phase::Stopping), Some(pid), _) => {
            Some(format!("the run is stopping (process {pid})"))
        }
        (_, Some(pid), _) if app.is_active() => {
            let percent = title_percent(app).map_or_else(String::new, |percent| format!(", {percent} % done"));
            let attach = attach_from_anywhere(app);
            Some(format!("the run continues (process {pid}{percent}); `{attach}` shows it again"))
        }
        _ if app.active_others() > 0 => {
            let engines = text::plural(app.active_others() as u64, "engine continues", "engines continue");
            let percent = title_percent(app).map_or_else(String::new, |percent| format!(", {percent} % done"));
            Some(format!("{engines} the run{percent}; `{}` follows it", attach_from_anywhere(app)))
        }
        // A summary from before this window was opened is no news.
        (_, _, Some(run)) if app.saw_end => {
            let exports = run.exports.last().map(|export| format!("; exported to {}", export.path.display()));
            Some(sentence(run) + &exports.unwrap_or_default())
        }
        _ if snapshot.counts.videos > 0 => {
            let videos = text::plural(snapshot.counts.videos as u64, "video", "videos");
            Some(format!("{} of {videos} done; no run is active", text::count(snapshot.counts.done as u64)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::tests::fixtures::{gpus, summary};

    fn counts(done: usize, failed: usize, queued: usize) -> Counts {
        Counts { videos: done + failed + queued, done, failed, queued, ..Counts::default() }
    }

    #[test]
    fn an_end_is_finished_stopped_or_failed() {
        let said = |ending, counts| sentence(&RunSummary { reason: None, ..summary(ending, counts) });
        assert_eq!(said(Ending::Finished, counts(83, 4, 0)), "run finished in 20 s: 83 done, 4 failed");
        assert_eq!(said(Ending::Stopped, counts(3, 0, 14)), "run stopped after 20 s: 3 done, 0 failed, 14 queued");
        let reason = Some("no usable device".into());
        let failed = sentence(&RunSummary { reason, ..summary(Ending::Failed, counts(3, 0, 14)) });
        assert_eq!(failed, "run failed after 20 s: 3 done, 0 failed, 14 queued; no usable device");
        let resumed = Counts { resumed: 80, failed_before: 3, ..counts(83, 4, 0) };
        assert_eq!(
            said(Ending::Finished, resumed),
            "run finished in 20 s: 3 done, 1 failed in this run; 83 done, 4 failed in all"
        );
    }

    #[test]
    fn progress_counts_videos_in_part_and_ends_at_one() {
        let mut snapshot = Snapshot { clips_per_video: 100, counts: counts(5, 1, 3), ..Snapshot::default() };
        snapshot.counts.running = 1;
        snapshot.devices = gpus(1);
        snapshot.devices[0].in_flight[0].clips = 50;
        assert_eq!(progress(&snapshot), Some(0.65));
        assert_eq!(progress(&Snapshot { counts: counts(5, 1, 0), ..Snapshot::default() }), Some(1.0));
        assert_eq!(progress(&Snapshot::default()), None);
        let again = Counts { resumed: 14, failed_before: 2, ..counts(14, 3, 1) };
        assert_eq!(progress(&Snapshot { counts: again, ..Snapshot::default() }), Some(0.5), "of this run");
    }
}
