//! `reeldeck list`: scans the dataset folder and writes the list of videos.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use reeldeck_common::atomic::{Owner, Sweeper, sweep_folder};
use reeldeck_common::layout;
use reeldeck_common::video::{VideoName, printable};

use crate::cli::ListArgs;
use crate::config::{Settings, Verbosity};
use crate::dataset::scan::{FolderLayout, Refusal, Refused, Scan, scan};
use crate::dataset::video_list::{ListEntry, entries, names_with_spaces, write_dataset_list, write_lines};
use crate::dataset::{names, shown};
use crate::error::Exit;
use crate::out::{self, count, errln};

/// How many files are named per reason without `-v`.
pub(crate) const MAX_NAMED: usize = 20;

/// Writes the list to `hacs_data.txt` in the output folder or to standard output, and a summary to standard error.
///
/// Returns [`Exit::Incomplete`] if a file was refused. Without any video it writes nothing and returns [`Exit::Empty`].
///
/// # Errors
/// When the folders cannot be used, or the list cannot be written. Then the old list stays.
pub(crate) fn run_list(settings: &Settings, args: &ListArgs) -> anyhow::Result<Exit> {
    settings.check_folders()?;
    let scan = scan(&settings.root, &settings.scan)?;
    let mut text = refusals(&scan.refused, settings.verbosity);
    text.push_str(&incomplete(&scan, settings.verbosity));
    if scan.videos.is_empty() {
        text.push_str(&nothing_found(&scan, settings));
        say(&text);
        return Ok(Exit::Empty);
    }
    if settings.verbosity > Verbosity::Quiet {
        text.push_str(&summary(&scan));
    }
    let names = names(&scan.videos);
    let style = args.label_style.unwrap_or(settings.label_style);
    // The refused files are printed even if writing fails.
    let wrote = deliver(settings, args, &scan, &entries(&names, style));
    if let Ok(wrote) = &wrote
        && settings.verbosity > Verbosity::Quiet
    {
        text.push_str(wrote);
    }
    say(&text);
    wrote?;
    Ok(if scan.refused.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// Writes the list. Returns the line that reports it.
fn deliver(settings: &Settings, args: &ListArgs, scan: &Scan, entries: &[ListEntry]) -> anyhow::Result<String> {
    if args.stdout {
        if io::stdout().is_terminal() {
            let mut lines = vec![];
            write_lines(&mut lines, entries).context("failed to write the list")?;
            out::stdout(format_args!("{}", String::from_utf8_lossy(&lines)));
            return Ok(String::new());
        }
        let mut writer = BufWriter::new(io::stdout().lock());
        return match write_lines(&mut writer, entries).and_then(|()| writer.flush()) {
            // The reader, such as `head`, has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(String::new()),
            written => written.map(|()| String::new()).context("failed to write the list to standard output"),
        };
    }
    // The old list may have the videos of a folder that cannot be read now.
    super::check_readable(scan, settings)?;
    let path = layout::Layout::new(&settings.out, "").list();
    if settings.dry_run {
        return Ok(format!("would write {}\n", shown(&path)));
    }
    let failed =
        || format!("failed to write {}; check space and permissions, or name another folder with --out", shown(&path));
    sweep_folder(&settings.out, &Sweeper::of_command()).with_context(failed)?;
    write_dataset_list(&path, entries, &Owner::this_process()).with_context(failed)?;
    Ok(format!("wrote {}\n", shown(&path)))
}

/// One line for each refused file. Beyond `MAX_NAMED` files of one reason, the rest is only counted.
pub(crate) fn refusals(refused: &[Refused], verbosity: Verbosity) -> String {
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for Refused { shown, reason } in refused {
        by_reason.entry(reason.to_string()).or_default().push(shown);
    }
    let mut text = String::new();
    for (reason, names) in by_reason {
        for name in names.iter().take(most) {
            let _ = writeln!(text, "refused {name}: {reason}");
        }
        if names.len() > most {
            let more = names.len() - most;
            let _ = writeln!(text, "refused {more} more for the same reason ({reason}); -v names them all");
        }
    }
    text
}

/// One line for each incomplete download. Beyond `MAX_NAMED` of them, the rest is only counted.
pub(crate) fn incomplete(scan: &Scan, verbosity: Verbosity) -> String {
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { MAX_NAMED };
    let mut text = String::new();
    for name in scan.incomplete.iter().take(most) {
        let _ = writeln!(text, "incomplete {name}");
    }
    if scan.incomplete.len() > most {
        let _ = writeln!(text, "incomplete {} more; -v names them all", scan.incomplete.len() - most);
    }
    if !scan.incomplete.is_empty() {
        text.push_str(
            "  next: let the downloader finish; if a file is complete, rename it, or remove the .aria2 or .ytdl file beside it\n",
        );
    }
    text
}

/// The number of videos and classes, and notes about names that trainers cannot read.
pub(crate) fn summary(scan: &Scan) -> String {
    let (videos, classes) = (count(scan.videos.len(), "video", "videos"), count(scan.classes(), "class", "classes"));
    let place = match (scan.layout, scan.classes()) {
        (Some(FolderLayout::Flat), _) => "directly in the folder".to_owned(),
        (_, 0) if !scan.videos.is_empty() => "without class folders".to_owned(),
        _ => format!("in {classes}"),
    };
    let mut text = format!("{videos} {place}; {} refused, {} ignored", scan.refused.len(), scan.ignored);
    if !scan.incomplete.is_empty() {
        let _ = write!(text, ", {}", count(scan.incomplete.len(), "incomplete download", "incomplete downloads"));
    }
    text.push('\n');
    let names = names(&scan.videos);
    let spaced = names_with_spaces(&names);
    if let Some(first) = spaced.first() {
        let _ = writeln!(
            text,
            "note: {} with a space, such as {first:?}; reeldeck reads such lines, MMAction2's own loader does not",
            count(spaced.len(), "name", "names"),
            first = first.as_str(),
        );
    }
    let duplicate_stems = scan.duplicate_stems();
    if let Some((stem, names)) = duplicate_stems.first() {
        let names: Vec<String> = names.iter().take(3).map(|name| printable(name.as_str())).collect();
        let _ = writeln!(
            text,
            "note: {} shared by several videos, such as {stem:?} ({}); all are listed, but trainers tell videos by name",
            count(duplicate_stems.len(), "name is", "names are"),
            names.join(", "),
        );
    }
    text
}

/// Prints the videos that have a feature and are not in the dataset folder.
pub(crate) fn say_without_video(names: &[VideoName], verbosity: Verbosity) {
    if names.is_empty() || verbosity == Verbosity::Quiet {
        return;
    }
    let most = if verbosity > Verbosity::Normal { usize::MAX } else { 5 };
    let (features, them) = match names.len() {
        1 => ("feature is of a video that is", "it"),
        _ => ("features are of videos that are", "them"),
    };
    errln!("note: {} {features} not in the dataset folder; no export contains {them}:", names.len());
    errln!("{}", out::first(names, names.len(), most));
}

/// The error for a dataset folder without videos.
fn nothing_found(scan: &Scan, settings: &Settings) -> String {
    let endings: Vec<String> = settings.scan.extensions.iter().map(|extension| format!(".{extension}")).collect();
    let root = shown(&settings.root);
    let passed = count(scan.ignored, "other file", "other files");
    let hint = hint(&scan.refused, &settings.root)
        .unwrap_or_else(|| "check --root, or add an extension to `[scan] extensions` in the configuration".into());
    format!(
        "error: no video found: looked in {root} for files ending in {}; {passed} ignored\n  {hint}\n",
        endings.join(", ")
    )
}

/// A hint if `root` is one level above or below the dataset folder, or the layout is not clear.
pub(crate) fn hint(refused: &[Refused], root: &Path) -> Option<String> {
    let any = "to take videos at any depth, set `[scan] layout = \"any\"` in the configuration";
    if refused.iter().any(|r| matches!(r.reason, Refusal::NoClass)) {
        let parent = shown(root.parent()?);
        let root = shown(root);
        return Some(format!("if {root} is a class folder, name its parent folder: --root {parent:?}; {any}"));
    }
    let is_deep = |r: &&Refused| matches!(r.reason, Refusal::TooDeep | Refusal::Unclear);
    let deep = refused.iter().find(is_deep)?;
    // The dataset folder may be one level down: `first/Class/file`.
    match deep.shown.split('/').collect::<Vec<_>>().as_slice() {
        [first, _, _] => Some(format!(
            "if the class folders are one level further down, name their parent folder: --root {:?}; {any}",
            format!("{}/{first}", shown(root))
        )),
        _ => Some(any.into()),
    }
}

fn say(text: &str) {
    // A closed stream is ignored.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(shown: &str, reason: Refusal) -> Refused {
        Refused { shown: shown.into(), reason }
    }

    #[test]
    fn entries_with_one_reason_are_grouped_unless_all_are_requested() {
        let mut all: Vec<_> = (0..25).map(|i| refused(&format!("A/b/{i}.mp4"), Refusal::TooDeep)).collect();
        all.push(refused("v.mp4", Refusal::NoClass));
        let text = refusals(&all, Verbosity::Normal);
        assert_eq!(text.lines().count(), 22, "{text}");
        assert!(text.contains("refused 5 more for the same reason (deeper than Class/file"), "{text}");
        assert!(text.contains("refused v.mp4: not in a class folder"), "{text}");
        assert_eq!(refusals(&all, Verbosity::Verbose).lines().count(), 26);
    }

    #[test]
    fn a_root_one_level_too_high_or_too_low_is_recognised() {
        let root = Path::new("/data/x");
        let low = hint(&[refused("v.mp4", Refusal::NoClass)], root).unwrap();
        assert!(low.contains("--root \"/data\"; ") && low.contains("layout = \"any\""), "{low}");
        let high = hint(&[refused("hacs/Archery/v.mp4", Refusal::TooDeep)], root).unwrap();
        assert!(high.contains("--root \"/data/x/hacs\"; ") && high.contains("layout = \"any\""), "{high}");
        let deeper = hint(&[refused("a/b/Archery/v.mp4", Refusal::Unclear)], root).unwrap();
        assert!(deeper.starts_with("to take videos at any depth"), "{deeper}");
        assert_eq!(hint(&[refused("a.mp4", Refusal::Dangling)], root), None);
    }
}
