//! Lists of the videos that are missing: for the dataset's maintainers, for OpenTAD, and for a downloader.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use reeldeck_common::atomic::{self, Owner, Sweeper};

use crate::dataset::report::{Report, Row};

/// For the dataset's maintainers: one `id,Class_name` per line, as their own script writes it.
pub(crate) const REQUEST: &str = "request.txt";
/// OpenTAD's `block_list`: one id per line without a final line break, as OpenTAD's script writes it.
pub(crate) const BLOCK_LIST: &str = "missing_files.txt";
/// For a downloader: one address per line.
pub(crate) const DOWNLOAD: &str = "download.txt";

/// The numbers of lines in the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Videos of the manifest that are missing or corrupt: the block list.
    pub wanted: usize,
    /// Those whose class is known: the request.
    pub requested: usize,
    /// Those whose address is known: the downloads.
    pub addresses: usize,
}

/// Counts what [`write()`] would write.
pub(crate) fn count(report: &Report<'_>) -> Written {
    let mut written = Written::default();
    for row in wanted(report) {
        written.wanted += 1;
        written.requested += usize::from(request(&row).is_some());
        written.addresses += usize::from(address(&row).is_some());
    }
    written
}

/// Writes the three lists in `folder`, together, in the order of the manifest. They are empty if nothing is missing.
///
/// # Errors
/// Errors of the file system.
pub(crate) fn write(folder: &Path, report: &Report<'_>, owner: &Owner) -> io::Result<Written> {
    fs::create_dir_all(folder)?;
    atomic::sweep_folder(folder, &Sweeper::of_command())?;
    atomic::write_group(folder, owner, &[REQUEST, BLOCK_LIST, DOWNLOAD], &[], |writers| {
        let [requests, ids, addresses] = writers else { return Err(io::Error::other("there are three files")) };
        for (at, row) in wanted(report).enumerate() {
            if let Some(line) = request(&row) {
                writeln!(requests, "{line}")?;
            }
            if let Some(id) = row.id {
                let separator = if at == 0 { "" } else { "\n" };
                write!(ids, "{separator}{id}")?;
            }
            if let Some(line) = address(&row) {
                writeln!(addresses, "{line}")?;
            }
        }
        Ok(())
    })?;
    Ok(count(report))
}

fn wanted<'a>(report: &Report<'a>) -> impl Iterator<Item = Row<'a>> {
    report.rows().filter(|row| row.listed.is_some() && row.state.is_wanted())
}

/// A video of several classes gets one line: it is one file.
fn request(row: &Row<'_>) -> Option<String> {
    let (id, class) = (row.id?, row.labels.first()?);
    Some(format!("{id},{}", class.replace(' ', "_")))
}

fn address(row: &Row<'_>) -> Option<String> {
    row.listed?.address(row.id?)
}
