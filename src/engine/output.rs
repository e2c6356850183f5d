//! Checks whether the output folder can be written to again during a hold, and whether it is the same folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use reeldeck_common::error::is_absent;
use reeldeck_common::layout::Layout;
use reeldeck_common::machine::has_inodes;

use super::registration::{EngineFile, Registration};
use crate::dataset::shown;

/// The output folder and its identity.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    layout: Layout,
    registration: Registration,
    /// The device number of its file system.
    device: u64,
    /// The free space that is required to resume, in bytes.
    room: u64,
}

/// The state of a folder that can be written to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputState {
    /// It is unchanged.
    Unchanged,
    /// Parts of it were removed, so results may be lost.
    Recreated,
}

impl Output {
    /// Takes note of the folder's identity.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn new(layout: Layout, registration: Registration, room: u64) -> io::Result<Self> {
        let device = fs::metadata(layout.out())?.dev();
        Ok(Self { layout, registration, device, room })
    }

    /// Checks the folder by writing to it.
    ///
    /// # Errors
    /// What is wrong with the folder and what to do about it, for users.
    pub(crate) fn look(&self) -> Result<OutputState, String> {
        let out = shown(self.layout.out());
        let unusable = |error: io::Error| self.in_words(&error);
        let there = fs::metadata(self.layout.out()).map_err(|error| {
            format!("the output folder {out} is gone ({error}); bring it back, or mount its disk again")
        })?;
        let mut back = OutputState::Unchanged;
        match self.registration.look().map_err(unusable)? {
            EngineFile::Same => {}
            EngineFile::Remounted => self.registration.renew().map_err(|error| error.to_string())?,
            EngineFile::Gone if there.dev() != self.device => {
                return Err(format!(
                    "another file system is mounted at the output folder {out}; mount the original one again"
                ));
            }
            EngineFile::Gone => {
                back = OutputState::Recreated;
                self.layout.prepare().map_err(unusable)?;
                self.registration.renew().map_err(|error| error.to_string())?;
            }
        }
        if !(self.layout.features().is_dir() && self.layout.failures().is_dir()) {
            back = OutputState::Recreated;
            self.layout.prepare().map_err(unusable)?;
        }
        self.write_something().map_err(unusable)?;
        Ok(back)
    }

    fn in_words(&self, error: &io::Error) -> String {
        let out = shown(self.layout.out());
        match error.kind() {
            io::ErrorKind::StorageFull if !has_inodes(self.layout.out()) => {
                format!(
                    "no space left in the output folder {out}: its disk can hold no more files; remove some (`df -i` counts them)"
                )
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("no space left in the output folder {out}; free at least {} MB", self.room.div_ceil(1_000_000))
            }
            io::ErrorKind::FileTooLarge => format!(
                "a file in the output folder {out} may not have {} MB; stop the run, raise the limit that `ulimit -f` shows, \
                 and start it again",
                self.room.div_ceil(1_000_000)
            ),
            _ => format!("the output folder {out} cannot be written to ({error}); make it writable again"),
        }
    }

    fn write_something(&self) -> io::Result<()> {
        let _journal = self.nameless(&self.layout.private())?;
        let _failure = self.nameless(&self.layout.failures())?;
        let mut file = self.nameless(&self.layout.features())?;
        let block = vec![1; 1 << 20];
        let mut left = self.room;
        while left > 0 {
            let now = left.min(block.len() as u64);
            file.write_all(block.get(..now as usize).unwrap_or_default())?;
            left -= now;
        }
        file.sync_all()
    }

    /// A file without a name, which disappears with this process.
    fn nameless(&self, folder: &Path) -> io::Result<File> {
        let path = folder.join(format!(".room-{}", std::process::id()));
        // A file of an earlier process with this id may be there, and a link must not be followed.
        match fs::remove_file(&path) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
        let file = File::create_new(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_the_size_of_files_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("out"), "s");
        layout.prepare().unwrap();
        let registration = Registration::new(&layout.private()).unwrap();
        let output = Output::new(layout, registration, 2_000_000).unwrap();
        let text = output.in_words(&rustix::io::Errno::FBIG.into());
        assert!(text.contains("may not have 2 MB") && text.contains("ulimit -f"), "{text}");
    }

    #[test]
    fn a_removed_and_recreated_folder_is_another_folder() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let layout = Layout::new(&out, "s");
        layout.prepare().unwrap();
        let registration = Registration::new(&layout.private()).unwrap();
        let output = Output::new(layout.clone(), registration, 100_000).unwrap();
        assert_eq!(output.look(), Ok(OutputState::Unchanged));
        fs::rename(&out, dir.path().join("away")).unwrap();
        let says = output.look().unwrap_err();
        assert!(says.contains("is gone") && says.contains("mount its disk again"), "{says}");
        fs::rename(dir.path().join("away"), &out).unwrap();
        assert_eq!(output.look(), Ok(OutputState::Unchanged));
        fs::remove_dir_all(layout.features()).unwrap();
        assert_eq!(output.look(), Ok(OutputState::Recreated));
        fs::remove_dir_all(&out).unwrap();
        assert!(output.look().is_err());
        fs::create_dir(&out).unwrap();
        assert_eq!(output.look(), Ok(OutputState::Recreated));
        assert_eq!(output.look(), Ok(OutputState::Unchanged));
        assert!(layout.features().is_dir());
        assert_eq!(fs::read_dir(layout.features()).unwrap().count(), 0);
    }
}
