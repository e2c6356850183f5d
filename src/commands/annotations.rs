//! `reeldeck annotations`: writes a trainer's annotation files from the manifest and the measured frame counts.

use reeldeck_common::atomic::Owner;
use reeldeck_common::video::{VideoName, printable};

use super::list::MAX_NAMED;
use crate::config::{Settings, Verbosity};
use crate::dataset::manifest::Kind;
use crate::dataset::probe::known;
use crate::dataset::scan::scan;
use crate::dataset::shown;
use crate::dataset::state::State;
use crate::error::{Exit, ExitError};
use crate::export::annotations::{self, Dataset, ESTIMATED, FILES};
use crate::out::outln;
use crate::out::{self, count};
use crate::progress::Progress;

/// Writes the files into `annotations` in the output folder. Returns [`Exit::Incomplete`] if a frame count is an estimate,
/// a duration differs from the manifest's, or a feature is not usable.
///
/// # Errors
/// When the folders cannot be used, the manifest cannot be read or has no durations, or a file cannot be written. Then the
/// old files stay.
pub(crate) fn run_annotations(settings: &Settings) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let manifest = super::needed_manifest(settings)?;
    if manifest.kind == Kind::List {
        let path = shown(&manifest.path);
        let message = format!(
            "annotations need the official annotation file, and {path} is a plain list, without durations and segments; \
             name the annotation file with --manifest"
        );
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let most = if settings.verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    out::stderr(format_args!("{}", manifest.odd_segments.text(most)));
    let scan = scan(&settings.root, &settings.scan)?;
    super::check_readable(&scan, settings)?;
    let folder = settings.out.join("annotations");
    if settings.dry_run {
        outln!("would write the annotations of {} to {}", count(manifest.len(), "video", "videos"), shown(&folder));
        return Ok(Exit::Done);
    }
    let meter = settings.meter();
    let written = annotations::write(
        &folder,
        &settings.out,
        &Dataset {
            manifest: &manifest,
            videos: &scan.videos,
            probes: &known(&settings.out, &scan.videos)?,
            accepted: settings.accepted(),
        },
        &Owner::this_process(),
        &meter,
    );
    meter.end();
    let written = written?;
    if settings.verbosity > Verbosity::Quiet {
        let [train, val, test] = written.videos;
        let [train_file, val_file, test_file] = FILES;
        outln!("wrote {} to {}:", count(written.total(), "video", "videos"), shown(&folder));
        outln!("  {train_file} {train}, {val_file} {val}, {test_file} {test}");
        outln!("frames: {} from features, {} from probes", written.from_features, written.from_probes);
    }
    if written.estimated() > 0 {
        outln!(
            "estimated as duration x 30: {} ({} without a file, {} not extracted or not usable); {ESTIMATED} names them",
            written.estimated(),
            written.without_file,
            written.without_count
        );
    }
    say_several(&written.several, most);
    say_wrong_durations(&written.wrong_durations, most);
    say_broken(&written.broken, most);
    let is_complete = written.estimated() == 0 && written.wrong_durations.is_empty() && written.broken.is_empty();
    Ok(if is_complete { Exit::Done } else { Exit::Incomplete })
}

/// Prints the videos whose features are damaged or cannot be read.
fn say_broken(videos: &[(VideoName, String)], most: usize) {
    for (video, why) in videos.iter().take(most) {
        outln!("not usable {}: {}", printable(video.as_str()), printable(why));
    }
    if videos.len() > most {
        outln!("{} more features are not usable; `reeldeck verify -v` names them all", videos.len() - most);
    }
    if !videos.is_empty() {
        outln!("  next: `reeldeck verify` lists these features; `reeldeck --batch` extracts damaged ones again");
    }
}

/// Prints which file was used of the videos with several files.
fn say_several(videos: &[(VideoName, Vec<VideoName>)], most: usize) {
    for (used, others) in videos.iter().take(most) {
        let others = others.iter().map(|other| printable(other.as_str())).collect::<Vec<_>>().join(", ");
        outln!("note: one video has several files; used {}, not {others}", printable(used.as_str()));
    }
    if videos.len() > most {
        outln!("note: {} more videos have several files; `reeldeck scan -v` names them all", videos.len() - most);
    }
}

/// Prints the videos of another duration than the manifest's, as a scan does.
fn say_wrong_durations(videos: &[(VideoName, State)], most: usize) {
    for (video, state) in videos.iter().take(most) {
        outln!("{} {}: {}", state.word(), printable(video.as_str()), printable(&state.reason()));
    }
    let Some((_, state)) = videos.first() else { return };
    if videos.len() > most {
        outln!("{} {} more; `reeldeck scan -v` names them all", state.word(), videos.len() - most);
    }
    outln!("  next: {}", state.next_step().unwrap_or_default());
}
