//! The cache on disk: the place of each file, its partial download, and the lock of the process that downloads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use reeldeck_common::atomic;
use reeldeck_common::bounded;
use reeldeck_common::digest::sha256;
use reeldeck_common::open;

use super::{FetchError, address};

/// An address, a version and a length.
const MAX_MARK: u64 = 1 << 16;

/// The user's cache folder of reeldeck: `$XDG_CACHE_HOME/reeldeck` or `~/.cache/reeldeck`. `None` without both variables.
pub(crate) fn user_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(base?.join("reeldeck"))
}

/// A folder of downloaded files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache(PathBuf);

impl Cache {
    /// A cache in this folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The user's cache: `checkpoints` in the user's cache folder.
    ///
    /// # Errors
    /// When the user has no cache folder.
    pub fn of_user() -> Result<Self, FetchError> {
        Ok(Self(user_folder().ok_or(FetchError::Homeless)?.join("checkpoints")))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The path at which the file of this URL is stored. A name that contains its digest identifies the content wherever it
    /// comes from. Other names may have different contents at different URLs, so each URL gets its own folder.
    ///
    /// # Errors
    /// A URL that does not name a file.
    pub fn place(&self, url: &str) -> Result<PathBuf, FetchError> {
        let bad = |why| FetchError::Address { url: address::public(url), why };
        let is_http = |scheme: &str| ["https", "http"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        let parts = url.split_once("://").filter(|(scheme, _)| is_http(scheme));
        let (_, rest) = parts
            .ok_or_else(|| bad("it begins with neither https:// nor http://; begin the path of a file with ./ or /"))?;
        let (_, path) = rest.split_once('/').ok_or_else(|| bad("it names no file"))?;
        let name = path.split(['?', '#']).next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        if name.is_empty() || name.starts_with('.') || name.len() > 200 {
            return Err(bad("it does not end in a file name"));
        }
        match promised_digest(&name) {
            Some(_) => Ok(self.0.join(name)),
            None => Ok(self.0.join(sha256(url.as_bytes()).get(..8).unwrap_or_default()).join(name)),
        }
    }
}

/// The digest in a file name. OpenMMLab appends the first eight digits of the SHA-256: `…_20221013-15b93b10.pth`.
pub(crate) fn promised_digest(name: &str) -> Option<&str> {
    let (_, digits) = name.strip_suffix(".pth")?.rsplit_once('-')?;
    (digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(digits)
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    place.with_file_name(name)
}

/// The exclusive right to download a file. The kernel releases the lock also when the process is killed.
pub(super) struct DownloadLock {
    _lock: File,
    /// Whether the lock is held. Without support for locks, the partial file's name contains the process id.
    alone: bool,
}

impl DownloadLock {
    /// Waits for the lock. Calls `waiting` with the path of the lock if another process holds it.
    pub(super) fn take(place: &Path, waiting: impl FnOnce(&Path)) -> io::Result<Self> {
        fs::create_dir_all(place.parent().unwrap_or(place))?;
        let path = beside(place, ".lock");
        let lock = open::in_place(OpenOptions::new().create(true).truncate(false).write(true), &path)?;
        let alone = match lock.try_lock() {
            Ok(()) => true,
            Err(fs::TryLockError::WouldBlock) => {
                waiting(&path);
                lock.lock()?;
                true
            }
            Err(fs::TryLockError::Error(_)) => false,
        };
        Ok(Self { _lock: lock, alone })
    }
}

/// Identifies the version of the file that a partial download belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// A strong entity tag or a time of change, as the server wrote it.
    pub(super) validator: String,
    /// The length of the whole file, if known.
    pub(super) total: Option<u64>,
}

/// A partial download. A file beside it, which only the user can read, notes its address without secrets, and its version.
pub(super) struct Part {
    path: PathBuf,
    mark_path: PathBuf,
    address: String,
    file: File,
    len: u64,
    version: Option<Version>,
}

impl Part {
    /// Opens the partial download of this URL, or begins an empty one.
    pub(super) fn open(held: &DownloadLock, place: &Path, url: &str) -> io::Result<Self> {
        let own = if held.alone { String::new() } else { format!(".{}", std::process::id()) };
        let path = beside(place, &format!("{own}.part"));
        let mark_path = beside(place, &format!("{own}.part.mark"));
        let file = open::append(&path)?;
        let len = file.metadata()?.len();
        let address = address::public(url);
        let noted = bounded::read(&mark_path, MAX_MARK).unwrap_or_default();
        let mut lines = str::from_utf8(&noted).unwrap_or_default().lines();
        let is_same = lines.next() == Some(address.as_str());
        let validator = lines.next().filter(|validator| is_same && !validator.is_empty()).map(str::to_owned);
        let total = lines.next().and_then(|total| total.parse().ok());
        let version = validator.map(|validator| Version { validator, total });
        let mut part = Self { path, mark_path, address, file, len, version };
        if !is_same {
            part.clear()?;
        }
        Ok(part)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The version of the file that this is a part of; `None` if it cannot be told from another one.
    pub(super) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    pub(super) fn set_version(&mut self, version: Option<Version>) -> io::Result<()> {
        // An existing file would keep its permissions.
        match fs::remove_file(&self.mark_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut text = format!("{}\n", self.address);
        if let Some(Version { validator, total }) = &version {
            text.push_str(&format!("{validator}\n{}\n", total.map_or(String::new(), |total| total.to_string())));
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.mark_path)?;
        file.write_all(text.as_bytes())?;
        self.version = version;
        Ok(())
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        // A failed write may have written some bytes.
        self.len = self.file.metadata()?.len();
        written
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.len = 0;
        self.set_version(None)
    }

    pub(super) fn finish(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Renames the complete file to its place in the cache.
    pub(super) fn keep(&self, place: &Path) -> io::Result<()> {
        // Before the rename: nothing looks at the mark of a file that is in its place.
        match fs::remove_file(&self.mark_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::rename(&self.path, place)?,
        }
        atomic::sync_folder(place.parent().unwrap_or(place))
    }

    pub(super) fn discard(&self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.mark_path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_digest_share_one_place_for_all_urls() {
        let cache = Cache::at("/c");
        let place = |url: &str| cache.place(url).unwrap().to_string_lossy().into_owned();
        assert_eq!(place("https://a.org/x/w_1-15b93b10.pth?key=1#f"), "/c/w_1-15b93b10.pth");
        assert_eq!(place("http://b.org/w_1-15b93b10.pth"), "/c/w_1-15b93b10.pth");
        assert_eq!(place("HTTPS://b.org/w_1-15b93b10.pth"), "/c/w_1-15b93b10.pth");
        assert_ne!(place("https://a.org/w.pth"), place("https://b.org/w.pth"));
        assert!(place("https://a.org/my%20w.pth").ends_with("/my_20w.pth"));
        for bad in ["ftp://a.org/w.pth", "https://a.org", "https://a.org/", "https://a.org/..", "w.pth"] {
            assert!(cache.place(bad).is_err(), "{bad}");
        }
    }
}
