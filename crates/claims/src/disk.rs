//! A folder of files on a disk that machines share.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use reeldeck_common::bounded;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 24;

/// A folder of small files.
#[derive(Clone, Debug)]
pub struct DiskFolder {
    path: PathBuf,
    /// The end of the names of temporary files.
    me: String,
}

/// A condition that a file system does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A file that exists cannot be created again.
    Create,
    /// A renamed file has only its new name.
    Rename,
    /// A listing shows the files.
    List,
}

impl Promise {
    /// What the file system does instead, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Create => "it creates a file that exists already",
            Self::Rename => "a renamed file keeps its old name or does not get its new one",
            Self::List => "it does not list a file that was just created",
        }
    }
}

impl DiskFolder {
    /// The folder at this path, used by the engine `me`.
    pub fn new(path: &Path, me: &str) -> Self {
        Self { path: path.to_owned(), me: me.to_owned() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all files. A folder that does not exist has none.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(|error| self.named("", &error))?,
        };
        let mut names = vec![];
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Creates a file. False if it exists.
    ///
    /// # Errors
    /// When it can be neither created nor found.
    pub fn create(&self, name: &str, text: &str) -> io::Result<bool> {
        match OpenOptions::new().write(true).create_new(true).open(self.path.join(name)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            file => {
                let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
                written.map(|()| true).map_err(|error| self.named(name, &error))
            }
        }
    }

    /// The error with the file.
    fn named(&self, name: &str, error: &io::Error) -> io::Error {
        let (path, text) = (self.path.join(name).display().to_string(), error.to_string());
        io::Error::new(error.kind(), if text.contains(&path) { text } else { format!("{path}: {text}") })
    }

    /// The text of a file. None if it does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        // Others may have put something else in its place.
        match bounded::read(&self.path.join(name), MAX_BYTES) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.named(name, &error)),
        }
    }

    /// Replaces the text of a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.{}.tmp", self.me));
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, self.path.join(name)));
        written.map_err(|error| self.named(name, &error))
    }

    /// Renames a file; replaces the target. False if the file does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be renamed.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        match fs::rename(self.path.join(from), self.path.join(to)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            renamed => renamed.map(|()| true).map_err(|error| self.named(from, &error)),
        }
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.named(name, &error)),
            _ => Ok(()),
        }
    }

    /// Tests what claims need: exclusive creation, renames and listings. Leaves no file.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn check(&self) -> io::Result<Result<(), Promise>> {
        let (one, two) = (format!("check.{}.one", self.me), format!("check.{}.two", self.me));
        self.remove(&one)?;
        self.remove(&two)?;
        let kept = self.try_out(&one, &two);
        self.remove(&one)?;
        self.remove(&two)?;
        kept
    }

    fn try_out(&self, one: &str, two: &str) -> io::Result<Result<(), Promise>> {
        if !self.create(one, "1")? || self.create(one, "2")? || self.read(one)?.is_none_or(|text| text != "1") {
            return Ok(Err(Promise::Create));
        }
        if !self.list()?.iter().any(|name| name == one) {
            return Ok(Err(Promise::List));
        }
        let renamed = self.rename(one, two)? && !self.rename(one, two)? && self.read(one)?.is_none();
        Ok(if renamed && self.read(two)?.is_some() { Ok(()) } else { Err(Promise::Rename) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_and_renamed_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DiskFolder::new(&dir.path().join("claims"), "a");
        assert!(folder.list().unwrap().is_empty());
        fs::create_dir(folder.path()).unwrap();
        assert_eq!(folder.check().unwrap(), Ok(()));
        assert!(folder.list().unwrap().is_empty());
        assert!(folder.create("000", "a").unwrap() && !folder.create("000", "b").unwrap());
        assert!(folder.rename("000", "000.open").unwrap() && !folder.rename("000", "000.open").unwrap());
        assert_eq!((folder.read("000").unwrap(), folder.read("000.open").unwrap()), (None, Some("a".into())));
        folder.write("000.open", "c").unwrap();
        assert_eq!(folder.read("000.open").unwrap().unwrap(), "c");
        folder.remove("000.open").unwrap();
        folder.remove("000.open").unwrap();
        assert!(folder.list().unwrap().is_empty());
    }

    #[test]
    fn something_else_in_the_place_of_a_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DiskFolder::new(dir.path(), "a");
        fs::create_dir(dir.path().join("000")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(dir.path().join("001")).status().unwrap();
        assert!(pipe.success());
        for name in ["000", "001"] {
            let error = folder.read(name).unwrap_err().to_string();
            assert!(error.contains(&dir.path().join(name).display().to_string()), "{error}");
        }
        assert!(!folder.create("001", "a").unwrap(), "it exists");
    }
}
