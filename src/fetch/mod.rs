//! Downloads a checkpoint into the user's cache, atomically and once, and resumes after failures of the network. A file is kept
//! only if its digest matches, or, where none is promised, if it is a whole checkpoint.

mod address;
mod cache;
mod environment;
mod http;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::DecimalBytes;
use reeldeck_common::digest::sha256_of_file;
use reeldeck_common::error::is_absent;
use reeldeck_common::machine::disk_space;
use reeldeck_pickle::checkpoint::{CheckpointError, CheckpointFile};

pub(crate) use address::{has_secrets, is_address, public};
pub use cache::Cache;
pub(crate) use cache::{promised_digest, user_folder};

use crate::dataset::shown;
use crate::progress::{Progress, Size};
use cache::{DownloadLock, Part};
use environment::EnvironmentError;
use http::{Client, TransferError};

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its URL, `http` or `https`.
    pub url: String,
    /// First digits of its SHA-256; empty if unknown.
    pub sha256_prefix: String,
}

/// Timeouts, retries, and the disk.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// A connection without data for this long is closed.
    pub silence: Duration,
    /// Pause before the first retry. It doubles with each further retry without progress.
    pub pause: Duration,
    /// The longest pause that a server may ask for.
    pub longest_pause: Duration,
    /// Number of consecutive attempts without progress.
    pub attempts: u32,
    /// Number of all attempts. A server may break off, begin anew, and never come to an end.
    pub most_attempts: u32,
    /// Measures the free bytes on the disk of the file at this path.
    pub free_space: fn(&Path) -> io::Result<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            attempts: 5,
            most_attempts: 200,
            free_space,
        }
    }
}

impl Policy {
    /// The pause after an attempt. `idle`: the number of consecutive attempts without progress.
    fn pause_after(&self, idle: u32, why: &TransferError) -> Duration {
        let own = self.pause * 2u32.saturating_pow(idle.saturating_sub(1).min(5));
        match why {
            TransferError::Status { retry_after: Some(after), .. } => own.max((*after).min(self.longest_pause)),
            _ => own,
        }
    }
}

fn free_space(path: &Path) -> io::Result<u64> {
    disk_space(path).map(|space| space.free)
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network or the server failed.
    #[error("failed to download {address}: {cause}{}", how_otherwise(address, *is_shortened, place))]
    Network {
        /// The URL without secrets.
        address: String,
        /// Whether the URL has more than the address.
        is_shortened: bool,
        /// Where the file would be stored.
        place: PathBuf,
        /// The cause. The message has it, before what to do.
        cause: TransferError,
    },
    /// The digest differs from the promised one.
    #[error(
        "the file at {address} is not the expected one: its SHA-256 should begin with {promised}, but it is {found}; it was not \
         kept. Check the address, or name a file that you trust with --checkpoint"
    )]
    Another {
        /// The URL without secrets.
        address: String,
        /// The promised first digits.
        promised: String,
        /// The actual digest.
        found: String,
    },
    /// The file is not a whole checkpoint.
    #[error("the file at {address} is not a whole checkpoint; it was not kept. Check the address, or try again later")]
    Damaged {
        /// The URL without secrets.
        address: String,
        /// The problem.
        source: CheckpointError,
    },
    /// Nothing shows whether the file is whole.
    #[error(
        "the server of {address} does not say how long the file is, and the file has no checksums that would show whether it is \
         whole; it was not kept. Download it with another program, and name it with --checkpoint"
    )]
    Unverifiable {
        /// The URL without secrets.
        address: String,
    },
    /// The URL does not name a file.
    #[error("{url:?} is not the address of a file: {why}")]
    Address {
        /// The URL without secrets.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The disk of the cache is full.
    #[error(
        "the download needs {}, and the disk of {} has {} left; make room, or name a folder on another disk with XDG_CACHE_HOME",
        needed.map_or("more space".into(), |needed| format!("{} more", DecimalBytes(needed))),
        shown(folder),
        DecimalBytes(*free)
    )]
    NoSpace {
        /// The folder of the file.
        folder: PathBuf,
        /// Bytes that were still to come, if known.
        needed: Option<u64>,
        /// Free bytes.
        free: u64,
    },
    /// The cache cannot be written.
    #[error("failed to write to {}; make room, or name another folder with XDG_CACHE_HOME", shown(path))]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The environment names a proxy or certificates that cannot be used.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The user has no cache folder.
    #[error("no folder for downloads: neither XDG_CACHE_HOME nor HOME is set; set one of them")]
    Homeless,
}

/// How to get the file on another machine, and where to put it.
fn how_otherwise(address: &str, is_shortened: bool, place: &Path) -> String {
    let more = if is_shortened { "   (with your user name, password or query, which are not shown here)" } else { "" };
    format!(
        "\nif this machine has no network, download the file on another one:\n  wget -c {address}{more}\nand copy it to:\n  {}\n\
         or use another file: --checkpoint FILE, or checkpoint = \"FILE\" in config.toml; `seeded` are seeded weights to try things out",
        shown(place)
    )
}

/// Downloads a file unless it is in the cache, and returns its path. Of several processes one downloads the file, and the
/// others wait.
///
/// # Errors
/// When the download fails, the digest differs from the promised one, or the file is no whole checkpoint. A partial download
/// is kept and resumed by the next attempt.
pub fn get(download: &Download, cache: &Cache, policy: Policy, progress: &dyn Progress) -> Result<PathBuf, FetchError> {
    let place = cache.place(&download.url)?;
    if is_there(&place)? {
        return Ok(place);
    }
    let disk = |path: &Path| {
        let path = path.to_owned();
        move |source| FetchError::Disk { path, source }
    };
    let held = DownloadLock::take(&place, |lock| progress.note(&waits(lock))).map_err(disk(&place))?;
    // The other process may have completed the download.
    if is_there(&place)? {
        return Ok(place);
    }
    let client = Client::new(&download.url, policy.silence)?;
    let promised = promised(download, &place);
    let address = address::public(&download.url);
    let mut part = Part::open(&held, &place, &download.url).map_err(disk(&place))?;
    let mut is_resumed = part.len() > 0;
    loop {
        let transfer = Transfer { client: &client, download, place: &place, policy, has_digest: !promised.is_empty() };
        let is_end_certain = transfer.run(&mut part, progress)?;
        part.finish().map_err(disk(part.path()))?;
        if promised.is_empty() {
            check_whole(&part, is_end_certain, address).inspect_err(|_| part.discard())?;
            break;
        }
        progress.begin("verifying the weights", Size::Bytes { present: 0, total: Some(part.len()) });
        let found = sha256_of_file(part.path(), &mut |bytes| progress.step(bytes)).map_err(disk(part.path()))?;
        progress.end();
        if found.starts_with(&promised) {
            break;
        }
        part.clear().map_err(disk(part.path()))?;
        // The part may combine two versions of the file. A second attempt from the start decides.
        if !std::mem::take(&mut is_resumed) {
            part.discard();
            return Err(FetchError::Another { address, promised, found });
        }
        progress.note("the partial download does not match the file; downloading it from the start");
    }
    part.keep(&place).map_err(disk(&place))?;
    Ok(place)
}

/// Whether a downloaded file is in its place.
///
/// # Errors
/// When that cannot be told. A second download would not help.
pub(crate) fn is_there(place: &Path) -> Result<bool, FetchError> {
    match fs::metadata(place) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if is_absent(&error) => Ok(false),
        Err(source) => Err(FetchError::Disk { path: place.to_owned(), source }),
    }
}

/// What the command waits for.
fn waits(lock: &Path) -> String {
    format!("another process is downloading the weights and holds {}; waiting for its end", shown(lock))
}

/// The longer of the caller's digest and the digest in the name. If they contradict each other, no file matches.
fn promised(download: &Download, place: &Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let by_name = promised_digest(&name).unwrap_or_default();
    if by_name.len() > download.sha256_prefix.len() { by_name.to_owned() } else { download.sha256_prefix.clone() }
}

/// Checks a file without a promised digest: it must be a checkpoint with correct checksums. If its end is uncertain, it must
/// have checksums.
fn check_whole(part: &Part, is_end_certain: bool, address: String) -> Result<(), FetchError> {
    let checked = CheckpointFile::open(part.path()).and_then(|file| {
        file.read()?;
        Ok(file.has_checksums())
    });
    match checked {
        Ok(true) => Ok(()),
        Ok(false) if is_end_certain => Ok(()),
        Ok(false) => Err(FetchError::Unverifiable { address }),
        Err(source) => Err(FetchError::Damaged { address, source }),
    }
}

/// The transfer of one file.
struct Transfer<'t> {
    client: &'t Client,
    download: &'t Download,
    place: &'t Path,
    policy: Policy,
    /// A promised digest will show whether the file is whole.
    has_digest: bool,
}

impl Transfer<'_> {
    /// Completes the part over as many connections as necessary. Returns whether the end of the file is certain.
    fn run(&self, part: &mut Part, progress: &dyn Progress) -> Result<bool, FetchError> {
        let policy = self.policy;
        let (mut idle, mut answered, mut left) = (0, false, policy.most_attempts);
        // A part that is cleared and grows as far as before is no progress.
        let mut furthest = part.len();
        loop {
            let path = part.path().to_owned();
            let answer = self.client.ask(&self.download.url, part, self.has_digest);
            answered |= matches!(answer, Ok(_) | Err(TransferError::Status { .. }));
            let came = answer.and_then(|answer| {
                progress.begin("weights", Size::Bytes { present: part.len(), total: answer.total });
                http::receive(answer, part, &|| (policy.free_space)(&path), progress)
            });
            progress.end();
            let why = match came {
                Ok(is_end_certain) => return Ok(is_end_certain),
                Err(why) if why.may_pass() => why,
                Err(why) => return Err(self.failed(part, why)),
            };
            idle = if part.len() > furthest { 0 } else { idle + 1 };
            furthest = furthest.max(part.len());
            left = left.saturating_sub(1);
            // Compute nodes often have no network. Without any response, two attempts suffice.
            if left == 0 || idle >= if answered { policy.attempts } else { policy.attempts.min(2) } {
                return Err(self.failed(part, why));
            }
            let next = match part.len() {
                0 => "starting again".to_owned(),
                present => format!("resuming at {}", DecimalBytes(present)),
            };
            let pause = policy.pause_after(idle, &why);
            let when = if pause.as_secs() > 0 { format!(" in {} s", pause.as_secs()) } else { String::new() };
            progress.note(&format!("the download was interrupted ({why}); {next}{when}"));
            std::thread::sleep(pause);
        }
    }

    fn failed(&self, part: &Part, why: TransferError) -> FetchError {
        if part.len() == 0 {
            part.discard();
        }
        match why {
            TransferError::Disk(source) => FetchError::Disk { path: part.path().to_owned(), source },
            TransferError::NoSpace { needed, free } => {
                // A file of unknown length cannot be resumed with any benefit, and must not fill the disk.
                if needed.is_none() {
                    part.discard();
                }
                FetchError::NoSpace { folder: self.place.parent().unwrap_or(self.place).to_owned(), needed, free }
            }
            cause => FetchError::Network {
                address: address::public(&self.download.url),
                is_shortened: address::has_secrets(&self.download.url),
                place: self.place.to_owned(),
                cause,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_examined_is_not_downloaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("w.pth");
        assert!(!is_there(&place).unwrap());
        std::os::unix::fs::symlink(&place, &place).unwrap();
        let error = is_there(&place).unwrap_err();
        assert!(matches!(&error, FetchError::Disk { path, .. } if *path == place), "{error}");
    }

    #[test]
    fn pauses_grow_without_progress_and_follow_the_server() {
        let policy = Policy::default();
        let busy =
            |seconds: Option<u64>| TransferError::Status { code: 503, retry_after: seconds.map(Duration::from_secs) };
        let pauses = [1, 2, 3, 6, 9].map(|idle| policy.pause_after(idle, &busy(None)).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 32]);
        assert_eq!(policy.pause_after(0, &busy(None)).as_secs(), 1, "after progress");
        assert_eq!([0, 20, 9999].map(|after| policy.pause_after(2, &busy(Some(after))).as_secs()), [2, 20, 60]);
    }
}
