//! A record of what each exported file was made from, so that the next export can keep it.
//!
//! A file is kept if it was made from a feature with the same digest, and if size and modification time of both files are
//! unchanged. Times alone are not enough: they do not change when an older feature is restored. The digest alone does not
//! suffice: it is stored in the header and stays when the numbers are damaged. The line of a file is appended when the file is
//! complete under its temporary name, so that a kill leaves no file without a line. A line that does not match its file is ignored.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::error::is_absent;
use reeldeck_common::source::SourceStamp;
use serde::{Deserialize, Serialize};

use super::dataset;

/// The file's name in the folder of an export.
const FILE: &str = ".made.jsonl";
/// Raised when a format changes, so that older files are written again.
const VERSION: u32 = 1;

/// How a file was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    /// The file's name in the folder.
    pub file: String,
    /// What it was made from.
    pub from: String,
    /// Size and modification time when it was complete.
    pub stamp: SourceStamp,
}

/// A line has some 200 bytes, so this is enough for millions of files.
const MAX_BYTES: u64 = 1 << 30;

/// The record of one folder.
#[derive(Debug)]
pub(super) struct ExportRecord {
    folder: PathBuf,
    made: HashMap<String, Record>,
    /// Lines that are invalid or that a later line replaces.
    superseded: usize,
    journal: Option<File>,
    /// Lines of files that may still have their temporary names.
    pending: HashMap<String, Record>,
}

impl ExportRecord {
    /// Reads the record; it is empty where there is none. Invalid lines are ignored.
    ///
    /// # Errors
    /// When the record exists and cannot be read. Taken as empty, it would forget which files the export has to remove.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        let text = match bounded::read(&path, MAX_BYTES) {
            Err(error) if is_absent(&error) => vec![],
            Err(error) => {
                let is_large = error.kind() == io::ErrorKind::FileTooLarge;
                let next = if is_large { "; remove its folder and export again" } else { "" };
                let text = format!("failed to read {}, the record of this export: {error}{next}", path.display());
                return Err(io::Error::new(error.kind(), text));
            }
            Ok(text) => text,
        };
        let mut record = Self {
            folder: folder.to_owned(),
            made: HashMap::new(),
            superseded: 0,
            journal: None,
            pending: HashMap::new(),
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                // Files that a record names may be removed later, so names outside the folder are rejected.
                Ok(made)
                    if made.version == VERSION && Path::new(&made.file).file_name() == Some(made.file.as_ref()) =>
                {
                    record.take(made)?;
                }
                _ => record.superseded += 1,
            }
        }
        Ok(record)
    }

    /// Takes a line. An earlier line of the same file stays if a kill has kept the later file from getting its name.
    fn take(&mut self, made: Record) -> io::Result<()> {
        if let Some(earlier) = self.made.get(&made.file) {
            self.superseded += 1;
            if !self.is_untouched(&made)? && self.is_untouched(earlier)? {
                return Ok(());
            }
        }
        self.made.insert(made.file.clone(), made);
        Ok(())
    }

    /// The file's size, if it was made from `from` and has not changed since.
    pub(super) fn kept(&self, file: &str, from: &str) -> Option<u64> {
        let made = self.made.get(file).filter(|made| made.from == from)?;
        // A file that cannot be looked at is written again.
        self.is_untouched(made).unwrap_or(false).then_some(made.stamp.size)
    }

    /// The recorded size of the file, whatever it was made from.
    pub(super) fn size(&self, file: &str) -> u64 {
        self.made.get(file).map_or(0, |made| made.stamp.size)
    }

    fn is_untouched(&self, made: &Record) -> io::Result<bool> {
        match SourceStamp::read(&self.folder.join(&made.file)) {
            Ok(stamp) => Ok(stamp == made.stamp),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records that a file is complete. Returns its size.
    ///
    /// # Errors
    /// When the file or the record cannot be accessed.
    pub(super) fn add(&mut self, file: &str, from: &str) -> io::Result<u64> {
        let pending = self.pending.remove(file);
        let stamp = match (SourceStamp::read(&self.folder.join(file)), &pending) {
            // It was removed a moment ago. The next export writes it again.
            (Err(error), Some(pending)) if is_absent(&error) => pending.stamp,
            (stamp, _) => stamp?,
        };
        let made = Record { version: VERSION, file: file.to_owned(), from: from.to_owned(), stamp };
        if pending.as_ref() != Some(&made) {
            self.append(&made)?;
        }
        self.superseded += usize::from(self.made.insert(made.file.clone(), made).is_some());
        Ok(stamp.size)
    }

    /// Records a file that is complete under its temporary name. [`add`](Self::add) follows once it has its name.
    ///
    /// # Errors
    /// When the record cannot be written.
    fn announce(&mut self, file: &str, from: &str, stamp: SourceStamp) -> io::Result<()> {
        let made = Record { version: VERSION, file: file.to_owned(), from: from.to_owned(), stamp };
        self.append(&made)?;
        self.pending.insert(file.to_owned(), made);
        Ok(())
    }

    fn append(&mut self, made: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(made)?;
        line.push(b'\n');
        let journal = match &mut self.journal {
            Some(journal) => journal,
            None => {
                let mut journal = reeldeck_common::open::append(&self.folder.join(FILE))?;
                // Ends a last line that a crash may have cut.
                journal.write_all(b"\n")?;
                self.journal.insert(journal)
            }
        };
        journal.write_all(&line)
    }

    /// Lets another process replace the record. The next [`add`](Self::add) opens it again.
    pub(super) fn close(&mut self) {
        self.journal = None;
    }

    /// Removes recorded files for which `is_wanted` is false, and their records. Returns the number of removed files. A file
    /// that changed since it was recorded is kept. `dataset.json`, which names the files, is removed before the first of them.
    ///
    /// # Errors
    /// Errors of the file system.
    pub(super) fn retain(&mut self, owner: &Owner, is_wanted: impl Fn(&Record) -> bool) -> io::Result<usize> {
        let mut unwanted = vec![];
        for made in self.made.values().filter(|made| !is_wanted(made)) {
            if self.is_untouched(made)? {
                unwanted.push(made.clone());
            }
        }
        if !unwanted.is_empty() {
            dataset::remove(&self.folder)?;
        }
        for made in &unwanted {
            fs::remove_file(self.folder.join(&made.file))?;
        }
        let before = self.made.len();
        self.made.retain(|_, made| is_wanted(made));
        if self.superseded > 0 || self.made.len() < before {
            self.rewrite(owner)?;
        }
        Ok(unwanted.len())
    }

    fn rewrite(&mut self, owner: &Owner) -> io::Result<()> {
        self.journal = None;
        let mut made: Vec<&Record> = self.made.values().collect();
        made.sort_unstable_by(|a, b| a.file.cmp(&b.file));
        atomic::write(&self.folder.join(FILE), owner, |writer| {
            made.iter().try_for_each(|made| {
                serde_json::to_writer(&mut *writer, made)?;
                writer.write_all(b"\n")
            })
        })?;
        self.superseded = 0;
        Ok(())
    }
}

/// A record that several threads write.
pub(super) fn locked(record: &Mutex<ExportRecord>) -> MutexGuard<'_, ExportRecord> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the file of one video and its line. [`ExportRecord::add`] follows.
///
/// # Errors
/// Errors of the file system.
pub(super) fn put(record: &Mutex<ExportRecord>, file: &str, from: &str, bytes: &[u8], owner: &Owner) -> io::Result<()> {
    let path = locked(record).folder.join(file);
    atomic::write(&path, owner, |writer| {
        writer.write_all(bytes)?;
        writer.flush()?;
        // A network file system may set the time when it stores the data.
        writer.get_ref().sync_all()?;
        locked(record).announce(file, from, SourceStamp::of(&writer.get_ref().metadata()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_only_if_its_source_and_itself_are_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = ExportRecord::open(dir.path()).unwrap();
        for name in ["a.npy", "b.npy", "c.npy"] {
            fs::write(dir.path().join(name), name).unwrap();
            record.add(name, "d1").unwrap();
        }
        record.add("b.npy", "d2").unwrap();
        // As after a crash in the middle of a line.
        let mut journal = File::options().append(true).open(dir.path().join(FILE)).unwrap();
        journal.write_all(b"{\"version\":1,\"file\":\"c").unwrap();

        let mut record = ExportRecord::open(dir.path()).unwrap();
        assert_eq!((record.kept("a.npy", "d1"), record.kept("a.npy", "d2")), (Some(5), None));
        assert_eq!((record.kept("b.npy", "d1"), record.kept("b.npy", "d2")), (None, Some(5)));
        record.add("a.npy", "d3").unwrap();
        let mut record = ExportRecord::open(dir.path()).unwrap();
        assert_eq!(record.kept("a.npy", "d3"), Some(5), "the cut line does not take the next one with it");

        let describes = dir.path().join("dataset.json");
        fs::write(&describes, "{}").unwrap();
        assert_eq!(record.retain(&Owner::this_process(), |_| true).unwrap(), 0);
        assert!(describes.exists());
        fs::write(dir.path().join("c.npy"), "touched").unwrap();
        assert_eq!(record.kept("c.npy", "d1"), None);
        let removed = record.retain(&Owner::this_process(), |made| made.file == "a.npy").unwrap();
        assert_eq!(removed, 1, "b goes, c is not ours any more");
        assert!(!describes.exists(), "it names b");
        assert!(dir.path().join("c.npy").exists() && !dir.path().join("b.npy").exists());
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap().lines().count(), 1);
        assert_eq!(ExportRecord::open(dir.path()).unwrap().kept("a.npy", "d3"), Some(5));
    }

    #[test]
    fn a_kill_before_or_after_the_rename_leaves_no_file_without_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let put = |from: &str, bytes: &[u8]| {
            let record = Mutex::new(ExportRecord::open(dir.path()).unwrap());
            super::put(&record, "a.npy", from, bytes, &Owner::this_process()).unwrap();
            record.into_inner().unwrap()
        };
        drop(put("d1", b"one"));
        let mut record = ExportRecord::open(dir.path()).unwrap();
        assert_eq!(record.kept("a.npy", "d1"), Some(3), "killed after the rename");
        let stamp = SourceStamp { size: 4, mtime_ns: 1 };
        record.announce("a.npy", "d2", stamp).unwrap();
        let mut record = ExportRecord::open(dir.path()).unwrap();
        assert_eq!(record.kept("a.npy", "d1"), Some(3), "killed before the rename");
        assert_eq!(record.retain(&Owner::this_process(), |_| false).unwrap(), 1);
        assert!(!path.exists());
        // Without a kill, one line is enough. A file that someone removes at once is no error.
        let mut record = put("d3", b"three");
        fs::remove_file(&path).unwrap();
        assert_eq!(record.add("a.npy", "d3").unwrap(), 5);
        assert_eq!(record.kept("a.npy", "d3"), None);
        let lines = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(lines.lines().filter(|line| line.contains("d3")).count(), 1, "{lines}");
    }

    #[test]
    fn a_record_of_any_size_takes_little_memory() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join(FILE)).unwrap().set_len(1 << 40).unwrap();
        let error = ExportRecord::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("the record of this export: it has more than 1073741824 bytes; remove"), "{error}");
    }
}
