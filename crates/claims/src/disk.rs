//! A folder of files on a disk that machines share.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

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
            entries => entries?,
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
            file => file?.write_all(text.as_bytes()).map(|()| true),
        }
    }

    /// The text of a file. None if it does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > MAX_BYTES => return Err(ErrorKind::FileTooLarge.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            _ => {}
        }
        match fs::read(path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the text of a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.{}.tmp", self.me));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, self.path.join(name))
    }

    /// Renames a file; replaces the target. False if the file does not exist.
    ///
    /// # Errors
    /// When it exists and cannot be renamed.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        match fs::rename(self.path.join(from), self.path.join(to)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            renamed => renamed.map(|()| true),
        }
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// When it exists and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
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
}
