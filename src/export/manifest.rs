//! What was made from what: a line for each exported file, so that an export that goes on knows what it has.
//!
//! A file is kept when it was made from the feature with this very digest, and neither of the two files has been touched
//! since (size and modification time). Times alone would not do: they stay when an older feature is put back. The digest
//! alone would not do either: it is what a file says of itself, and stays when the numbers behind it are damaged; what
//! was touched is read whole again, and checked. A line is appended after its file is complete, so that a line without a
//! file, or with another one, is all that can go wrong; the file is then written again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::source::SourceStamp;
use serde::{Deserialize, Serialize};

/// The file's name in the folder of an export.
const FILE: &str = ".made.jsonl";
/// Raised when a format is written in another way, so that older files are made again.
const VERSION: u32 = 1;

/// How a file was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Its name in the folder.
    pub file: String,
    /// What it was made from.
    pub from: String,
    /// The file as it was then.
    pub stamp: SourceStamp,
}

/// The record of one folder.
#[derive(Debug)]
pub struct Manifest {
    folder: PathBuf,
    made: HashMap<String, Record>,
    /// Lines that say nothing any more.
    superseded: usize,
    journal: Option<File>,
}

impl Manifest {
    /// Reads what is there. What is not understood is as good as not there.
    pub fn open(folder: &Path) -> Self {
        let text = fs::read(folder.join(FILE)).unwrap_or_default();
        let mut record = Self { folder: folder.to_owned(), made: HashMap::new(), superseded: 0, journal: None };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                // What a record names may be removed one day: nothing outside of its own folder.
                Ok(made)
                    if made.version == VERSION && Path::new(&made.file).file_name() == Some(made.file.as_ref()) =>
                {
                    record.superseded += usize::from(record.made.insert(made.file.clone(), made).is_some());
                }
                _ => record.superseded += 1,
            }
        }
        record
    }

    /// The file's size, if it was made from this, and is as it was left.
    pub fn kept(&self, file: &str, from: &str) -> Option<u64> {
        let made = self.made.get(file).filter(|made| made.from == from)?;
        self.is_untouched(made).then_some(made.stamp.size)
    }

    /// The size of the file that is there by this name, whatever it was made from.
    pub fn size(&self, file: &str) -> u64 {
        self.made.get(file).map_or(0, |made| made.stamp.size)
    }

    fn is_untouched(&self, made: &Record) -> bool {
        SourceStamp::read(&self.folder.join(&made.file)).is_ok_and(|stamp| stamp == made.stamp)
    }

    /// Notes that a file is complete. Gives its size.
    ///
    /// # Errors
    /// When the file cannot be looked at or the note not be written.
    pub fn add(&mut self, file: &str, from: &str) -> io::Result<u64> {
        let stamp = SourceStamp::read(&self.folder.join(file))?;
        let made = Record { version: VERSION, file: file.to_owned(), from: from.to_owned(), stamp };
        let mut line = serde_json::to_vec(&made)?;
        line.push(b'\n');
        let journal = match &mut self.journal {
            Some(journal) => journal,
            None => {
                let mut journal = File::options().append(true).create(true).open(self.folder.join(FILE))?;
                // The last line may have been cut short; this ends it.
                journal.write_all(b"\n")?;
                self.journal.insert(journal)
            }
        };
        journal.write_all(&line)?;
        self.superseded += usize::from(self.made.insert(made.file.clone(), made).is_some());
        Ok(stamp.size)
    }

    /// Removes the files that were made here and are not wanted any more, and forgets what is not there. Gives how many
    /// were removed. A file that was touched since is not ours any more, and stays.
    ///
    /// # Errors
    /// Whatever the file system reports.
    pub fn retain(&mut self, owner: &Owner, is_wanted: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut unwanted: Vec<Record> = self.made.values().filter(|made| !is_wanted(&made.file)).cloned().collect();
        unwanted.retain(|made| self.is_untouched(made));
        for made in &unwanted {
            fs::remove_file(self.folder.join(&made.file))?;
        }
        let before = self.made.len();
        self.made.retain(|file, _| is_wanted(file));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_only_if_made_from_the_same_and_untouched_since() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Manifest::open(dir.path());
        for name in ["a.npy", "b.npy", "c.npy"] {
            fs::write(dir.path().join(name), name).unwrap();
            record.add(name, "d1").unwrap();
        }
        record.add("b.npy", "d2").unwrap();
        // As after a power cut in the middle of a line.
        let mut journal = File::options().append(true).open(dir.path().join(FILE)).unwrap();
        journal.write_all(b"{\"version\":1,\"file\":\"c").unwrap();

        let mut record = Manifest::open(dir.path());
        assert_eq!((record.kept("a.npy", "d1"), record.kept("a.npy", "d2")), (Some(5), None));
        assert_eq!((record.kept("b.npy", "d1"), record.kept("b.npy", "d2")), (None, Some(5)));
        record.add("a.npy", "d3").unwrap();
        let mut record = Manifest::open(dir.path());
        assert_eq!(record.kept("a.npy", "d3"), Some(5), "the cut line does not take the next one with it");

        fs::write(dir.path().join("c.npy"), "touched").unwrap();
        assert_eq!(record.kept("c.npy", "d1"), None);
        let removed = record.retain(&Owner::this_process(), |file| file == "a.npy").unwrap();
        assert_eq!(removed, 1, "b goes, c is not ours any more");
        assert!(dir.path().join("c.npy").exists() && !dir.path().join("b.npy").exists());
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap().lines().count(), 1);
        assert_eq!(Manifest::open(dir.path()).kept("a.npy", "d3"), Some(5));
    }
}
