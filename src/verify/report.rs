//! Writes the result of a verification: all findings, the videos to extract again, and the comparisons.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

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

/// Replaces the files together, as [`atomic::write_group`] does. A file without content is removed, except for the findings,
/// so that no outdated file stays.
///
/// # Errors
/// Errors of the file system.
pub(crate) fn write(report: &Report, layout: &Layout, owner: &Owner) -> io::Result<()> {
    let folder = folder(layout);
    fs::create_dir_all(&folder)?;
    atomic::sweep_folder(&folder, &Sweeper::of_command())?;
    let retry = report.to_retry();
    let mut names = vec![FINDINGS];
    let mut outdated = vec![];
    for (name, is_empty) in
        [(RETRY, retry.is_empty()), (AGAINST, report.against.is_empty()), (AGAIN, report.again.is_empty())]
    {
        if is_empty { outdated.push(name) } else { names.push(name) }
    }
    atomic::write_group(&folder, owner, &names, &outdated, |writers| {
        names.iter().zip(writers).try_for_each(|(name, writer)| match *name {
            FINDINGS => findings(writer, report),
            RETRY => retry.iter().try_for_each(|video| writeln!(writer, "{video}")),
            AGAINST => table(writer, &report.against),
            _ => table(writer, &report.again),
        })
    })
}

fn findings(writer: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(writer, "video\tkind\ttext")?;
    report.findings.iter().try_for_each(|finding| {
        writeln!(writer, "{}\t{}\t{}", finding.video, finding.kind.name(), printable(&finding.text))
    })
}

fn table(writer: &mut dyn Write, compared: &[Compared]) -> io::Result<()> {
    writeln!(writer, "video\tmax_abs\tmean_abs\trelative_l2\tequal\tworst_clip")?;
    compared.iter().try_for_each(|Compared { video, difference: d }| {
        let worst = d.worst.first().map_or(String::new(), |(clip, _)| clip.to_string());
        writeln!(writer, "{video}\t{:e}\t{:e}\t{:e}\t{}\t{worst}", d.max_abs, d.mean_abs, d.relative_l2, d.is_equal)
    })
}
