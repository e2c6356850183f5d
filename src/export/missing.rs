//! The lists of videos that must be fetched: for the dataset's maintainers, for OpenTAD, for a downloader.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use reeldeck_common::atomic::{self, Owner};

use crate::dataset::report::{Report, Row};

/// For the dataset's maintainers: `id,Class_name` a line, as their own script writes it.
pub const REQUEST: &str = "request.txt";
/// OpenTAD's `block_list`: an id a line, no line break after the last, as its own script writes it.
pub const BLOCK_LIST: &str = "missing_files.txt";
/// For a downloader: an address a line.
pub const DOWNLOAD: &str = "download.txt";

/// What the lists hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Videos of the manifest that are missing or corrupt: the lines of the block list.
    pub wanted: usize,
    /// Those of them whose class is known: the lines of the request.
    pub requested: usize,
    /// Those of them whose address is known: the lines for the downloader.
    pub addresses: usize,
}

/// Counts what [`write()`] would write.
pub fn count(report: &Report<'_>) -> Written {
    let mut written = Written::default();
    for row in wanted(report) {
        written.wanted += 1;
        written.requested += usize::from(request(&row).is_some());
        written.addresses += usize::from(address(&row).is_some());
    }
    written
}

/// Writes the three lists in `folder`, each complete or not at all, in the manifest's order. Where nothing is wanted they
/// are empty.
///
/// # Errors
/// Whatever the file system reports.
pub fn write(folder: &Path, report: &Report<'_>, owner: &Owner) -> io::Result<Written> {
    fs::create_dir_all(folder)?;
    atomic::write(&folder.join(REQUEST), owner, |writer| {
        wanted(report).filter_map(|row| request(&row)).try_for_each(|line| writeln!(writer, "{line}"))
    })?;
    atomic::write(&folder.join(BLOCK_LIST), owner, |writer| {
        wanted(report).filter_map(|row| row.id).enumerate().try_for_each(|(at, id)| {
            let separator = if at == 0 { "" } else { "\n" };
            write!(writer, "{separator}{id}")
        })
    })?;
    atomic::write(&folder.join(DOWNLOAD), owner, |writer| {
        wanted(report).filter_map(|row| address(&row)).try_for_each(|line| writeln!(writer, "{line}"))
    })?;
    Ok(count(report))
}

fn wanted<'a>(report: &Report<'a>) -> impl Iterator<Item = Row<'a>> {
    report.rows().filter(|row| row.listed.is_some() && row.state.is_wanted())
}

/// One line for a video of several classes too: it is one file, and one answer is enough.
fn request(row: &Row<'_>) -> Option<String> {
    let (id, class) = (row.id?, row.labels.first()?);
    Some(format!("{id},{}", class.replace(' ', "_")))
}

fn address(row: &Row<'_>) -> Option<String> {
    row.listed?.address(row.id?)
}
