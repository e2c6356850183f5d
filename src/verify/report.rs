//! Writes the result of a verification: all findings, the videos to extract again, and the comparisons.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner, Sweeper};
use reeldeck_common::layout::Layout;
use reeldeck_common::video::printable;

use super::{Compared, Report};

/// The videos to extract again, one `Class/file` per line.
pub(crate) const RETRY: &str = "retry.txt";
/// All findings: video, kind and text, separated by tabs.
pub(crate) const FINDINGS: &str = "findings.tsv";
/// The comparisons with the reference.
pub(crate) const AGAINST: &str = "against.tsv";
/// The comparisons with features that were extracted again.
pub(crate) const AGAIN: &str = "again.tsv";

/// The folder of the files.
pub(crate) fn folder(layout: &Layout) -> PathBuf {
    layout.exports().join("verify")
}

/// Writes the files. A file without content is removed, except for the findings, so that no outdated file stays.
///
/// # Errors
/// Errors of the file system.
pub(crate) fn write(report: &Report, layout: &Layout, owner: &Owner) -> io::Result<()> {
    let folder = folder(layout);
    fs::create_dir_all(&folder)?;
    atomic::sweep_folder(&folder, &Sweeper::of_command())?;
    atomic::write(&folder.join(FINDINGS), owner, |writer| {
        writeln!(writer, "video\tsort\twhat")?;
        report.findings.iter().try_for_each(|finding| {
            writeln!(writer, "{}\t{}\t{}", finding.video, finding.kind.name(), printable(&finding.text))
        })
    })?;
    let retry = report.to_retry();
    or_remove(&folder.join(RETRY), owner, retry.is_empty(), |writer| {
        retry.iter().try_for_each(|video| writeln!(writer, "{video}"))
    })?;
    for (name, compared) in [(AGAINST, &report.against), (AGAIN, &report.again)] {
        or_remove(&folder.join(name), owner, compared.is_empty(), |writer| table(writer, compared))?;
    }
    Ok(())
}

fn or_remove(
    path: &Path,
    owner: &Owner,
    is_empty: bool,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if !is_empty {
        return atomic::write(path, owner, |writer| fill(writer));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn table(writer: &mut dyn Write, compared: &[Compared]) -> io::Result<()> {
    writeln!(writer, "video\tmax_abs\tmean_abs\trelative_l2\tequal\tworst_clip")?;
    compared.iter().try_for_each(|Compared { video, difference: d }| {
        let worst = d.worst.first().map_or(String::new(), |(clip, _)| clip.to_string());
        writeln!(writer, "{video}\t{:e}\t{:e}\t{:e}\t{}\t{worst}", d.max_abs, d.mean_abs, d.relative_l2, d.is_equal)
    })
}
