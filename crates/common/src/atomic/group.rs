//! Files of one folder that belong together and are replaced together.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Owner, Temporary, begin, sync_folder, write};
use crate::error::is_absent;
use crate::open;

/// The file that is written last. It names the files of the group and their sizes.
pub const MARKER: &str = "complete.json";
/// Replacing files takes milliseconds, and seconds on a slow disk.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// The version of the marker's structure.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Marker<'a> {
    format: u32,
    files: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    name: &'a str,
    bytes: u64,
}

/// Replaces the files `names` in `folder` together, and removes the files `outdated`, which have no successor. `fill` gets a
/// writer for each name, in their order.
///
/// A rename replaces a single file. So the old files are removed before the new ones, which are complete and durable by then,
/// get their names. A reader finds the old files, the new files, or notices that some are missing; it never finds an old file
/// beside a new one. [`MARKER`] is removed first and written last: a folder that has it is complete. A lock keeps another process
/// from replacing the files at the same time, where the file system has locks.
///
/// # Errors
/// When the file system or `fill` fails, or another process holds the lock for long. The old files are kept if it fails before the first of them is removed; later, the
/// marker is missing. Temporary files are removed.
pub fn write_group(
    folder: &Path,
    owner: &Owner,
    names: &[&str],
    outdated: &[&str],
    fill: impl FnOnce(&mut [BufWriter<File>]) -> io::Result<()>,
) -> io::Result<()> {
    let mut files = Files(vec![]);
    let mut writers = vec![];
    for name in names {
        let (temporary, file) = begin(&folder.join(name), owner)?;
        files.0.push(Some(temporary));
        writers.push(BufWriter::with_capacity(1 << 18, file));
    }
    fill(&mut writers)?;
    let mut members = vec![];
    for (name, writer) in names.iter().zip(writers) {
        let file = writer.into_inner()?;
        file.sync_all()?;
        members.push(Member { name, bytes: file.metadata()?.len() });
    }
    let _held = lock_folder(folder)?;
    for old in [MARKER].iter().chain(names).chain(outdated) {
        match fs::remove_file(folder.join(old)) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    sync_folder(folder)?;
    for (name, temporary) in names.iter().zip(&mut files.0) {
        if let Some(temporary) = temporary.take() {
            temporary.finish(&folder.join(name), Ok(()))?;
        }
    }
    write(&folder.join(MARKER), owner, |writer| {
        serde_json::to_writer_pretty(&mut *writer, &Marker { format: FORMAT, files: members })?;
        writer.write_all(b"\n")
    })
}

/// Locks a folder, for changes of several files or of one that is read before. The kernel releases the lock when the file is
/// closed, or the process ends.
///
/// # Errors
/// When the folder cannot be opened or locked, or another process holds the lock for a minute. Where the file system has no
/// locks, processes that write at the same time are not kept apart.
pub fn lock_folder(folder: &Path) -> io::Result<File> {
    let file = open::folder(folder)?;
    match open::lock(&file, LOCK_TIMEOUT) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let text = format!("another process writes in {}; try again when it has ended", folder.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
        }
        Err(error) if !open::has_no_locks(&error) => Err(error),
        _ => Ok(file),
    }
}

/// Temporary files, removed when dropped.
struct Files(Vec<Option<Temporary>>);

impl Drop for Files {
    fn drop(&mut self) {
        self.0.iter_mut().filter_map(Option::take).for_each(Temporary::discard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(folder: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        };
        let mut texts: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
        texts.sort();
        texts
    }

    fn put(folder: &Path, text: &str) -> io::Result<()> {
        write_group(folder, &Owner::this_process(), &["a", "b"], &[], |writers| {
            writers.iter_mut().try_for_each(|writer| writer.write_all(text.as_bytes()))
        })
    }

    #[test]
    fn the_marker_names_the_files() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "old").unwrap();
        put(dir.path(), "newer").unwrap();
        let texts = texts(dir.path());
        let names: Vec<_> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", MARKER]);
        assert_eq!((texts[0].1.as_str(), texts[1].1.as_str()), ("newer", "newer"));
        let marker: serde_json::Value = serde_json::from_str(&texts[2].1).unwrap();
        assert_eq!(marker["files"][1], serde_json::json!({"name": "b", "bytes": 5}));
    }

    #[test]
    fn an_error_while_filling_keeps_the_old_files() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "old").unwrap();
        let before = texts(dir.path());
        let failed = write_group(dir.path(), &Owner::this_process(), &["a"], &["b"], |writers| {
            writers[0].write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(texts(dir.path()), before);
    }

    #[test]
    fn two_writers_never_mix_their_files() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "first").unwrap();
        std::thread::scope(|scope| {
            for writer in ["one", "two", "three"] {
                let folder = dir.path();
                scope.spawn(move || {
                    for _ in 0..20 {
                        put(folder, writer).unwrap();
                        let _held = lock_folder(folder).unwrap();
                        let [a, b, marker] = ["a", "b", MARKER].map(|name| fs::read_to_string(folder.join(name)));
                        assert_eq!(a.unwrap(), b.unwrap());
                        assert!(marker.is_ok());
                    }
                });
            }
        });
    }

    #[test]
    fn an_outdated_file_goes_with_the_old_group() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "old").unwrap();
        write_group(dir.path(), &Owner::this_process(), &["a"], &["b"], |writers| writers[0].write_all(b"new"))
            .unwrap();
        let texts = texts(dir.path());
        let names: Vec<_> = texts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.as_slice(), texts[0].1.as_str()), (["a", MARKER].as_slice(), "new"));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_no_old_file_beside_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "old").unwrap();
        // A folder cannot be removed as a file.
        fs::remove_file(dir.path().join("b")).unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        assert!(put(dir.path(), "new").is_err());
        fs::remove_dir(dir.path().join("b")).unwrap();
        assert!(texts(dir.path()).is_empty());
    }
}
