//! The log: what happened, for people, in files of bounded size. Writing never holds anybody up; what a full disk cannot
//! take is dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};

use jiff::Timestamp;

use crate::protocol::words::Level;

/// A file that has grown to this is put aside.
const LARGEST: u64 = 8 << 20;
/// Files put aside and kept.
const KEPT: u32 = 3;

/// Writes lines; cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    lines: SyncSender<String>,
}

impl Log {
    /// Appends to `log/<name>.log` in a folder of the output folder.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn open(private: &Path, name: &str) -> io::Result<Self> {
        let path = private.join("log").join(format!("{name}.log"));
        let (lines, waiting) = mpsc::sync_channel::<String>(10_000);
        std::thread::Builder::new().name("log".into()).spawn(move || {
            let mut file = Rotating { path, file: None, size: 0, largest: LARGEST };
            for line in waiting {
                let _ = file.write(&line);
            }
        })?;
        Ok(Self { lines })
    }

    /// Writes a line soon.
    pub fn line(&self, level: Level, text: &str) {
        let time = Timestamp::now().strftime("%F %T%.3f");
        let _ = self.lines.try_send(format!("{time} {:7} {text}\n", level.word()));
    }
}

struct Rotating {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    largest: u64,
}

impl Rotating {
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size > self.largest {
            self.file = None;
            let aside = |n: u32| self.path.with_extension(format!("log.{n}"));
            for n in (1..KEPT).rev() {
                let _ = fs::rename(aside(n), aside(n + 1));
            }
            fs::rename(&self.path, aside(1))?;
        }
        if self.file.is_some() && !self.path.exists() {
            // The output folder was removed and made again.
            self.file = None;
        }
        if self.file.is_none() {
            // Only the log's own folder: where the output folder is gone, nothing is written in its place.
            if let Some(folder) = self.path.parent() {
                let _ = fs::create_dir(folder);
            }
            let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.size += line.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_aside_and_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/x.log");
        let mut log = Rotating { path, file: None, size: 0, largest: 100 };
        for i in 0..100 {
            log.write(&format!("line {i:03} ............\n")).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(dir.path().join("log"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x.log", "x.log.1", "x.log.2", "x.log.3"]);
        assert!(fs::read_to_string(dir.path().join("log/x.log")).unwrap().contains("line 099"));
    }
}
