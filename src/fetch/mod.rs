//! Downloads a file into the user's cache, atomically and once, and resumes after failures of the network.

mod cache;
mod http;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reeldeck_common::digest::sha256_of_file;

pub use cache::Cache;
pub(crate) use cache::{promised_digest, user_folder};

use crate::progress::{Progress, Size};
use cache::{DownloadLock, Part};
use http::{Answer, Client, TransferError};

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its URL, `http` or `https`.
    pub url: String,
    /// First digits of its SHA-256; empty if unknown.
    pub sha256_prefix: String,
}

/// Timeouts and retries.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// A connection without data for this long is closed.
    pub silence: Duration,
    /// Pause before the first retry. It doubles with each further retry.
    pub pause: Duration,
    /// Number of consecutive attempts without progress.
    pub attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), pause: Duration::from_secs(1), attempts: 5 }
    }
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network or the server failed.
    #[error("failed to get {url}{}", how_otherwise(url, place))]
    Network {
        /// The URL.
        url: String,
        /// Where the file would be stored.
        place: PathBuf,
        /// The cause.
        source: TransferError,
    },
    /// The digest differs from the promised one.
    #[error(
        "{url} is another file than promised: its SHA-256 should begin with {promised}, and it is {found}; it was not kept. \
         Ask whoever gave you the address, or name a file that you trust with --checkpoint"
    )]
    Another {
        /// The URL.
        url: String,
        /// The promised first digits.
        promised: String,
        /// The actual digest.
        found: String,
    },
    /// The URL does not name a file.
    #[error("{url:?} is no address that a file can be got from: {why}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The cache cannot be written.
    #[error("failed to keep the file in {}; name another folder with XDG_CACHE_HOME, or make room", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The user has no cache folder.
    #[error("there is no folder for the cache: neither XDG_CACHE_HOME nor HOME is set")]
    Homeless,
}

/// How to get the file on another machine, and where to put it.
fn how_otherwise(url: &str, place: &std::path::Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "\nwithout a network here, get it elsewhere:\n  wget -c {url}\nand put it where this machine looks for it:\n  {}\n\
         or name it: --checkpoint {name}",
        place.display()
    )
}

/// Downloads a file unless it is in the cache, and returns its path. Of several processes one downloads the file, and the
/// others wait.
///
/// # Errors
/// When the download fails, or the digest differs from the promised one. A partial download is kept and resumed by the next
/// attempt.
pub fn get(
    download: &Download,
    cache: &Cache,
    policy: RetryPolicy,
    progress: &dyn Progress,
) -> Result<PathBuf, FetchError> {
    let place = cache.place(&download.url)?;
    if place.is_file() {
        return Ok(place);
    }
    let disk = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| FetchError::Disk { path, source }
    };
    let held = DownloadLock::take(&place, || progress.note("another reeldeck is getting the weights; waiting for it"))
        .map_err(disk(&place))?;
    // The other process may have completed the download.
    if place.is_file() {
        return Ok(place);
    }
    let client = Client::new(&download.url, policy.silence);
    let promised = promised(download, &place);
    let mut part = Part::open(&held, &place, &download.url).map_err(disk(&place))?;
    let mut resumed = part.len() > 0;
    loop {
        transfer(&client, download, &place, &mut part, policy, !promised.is_empty(), progress)?;
        let found = part.finish().and_then(|()| sha256_of_file(part.path())).map_err(disk(part.path()))?;
        if found.starts_with(&promised) {
            part.keep(&place).map_err(disk(&place))?;
            return Ok(place);
        }
        part.clear().map_err(disk(part.path()))?;
        // The part may combine two versions of the file. A second attempt from the start decides.
        if !std::mem::take(&mut resumed) {
            part.discard();
            return Err(FetchError::Another { url: download.url.clone(), promised, found });
        }
        progress.note("what was there from before does not fit; getting all of it anew");
    }
}

/// The longer of the caller's digest and the digest in the name. If they contradict each other, no file matches.
fn promised(download: &Download, place: &std::path::Path) -> String {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let by_name = promised_digest(&name).unwrap_or_default();
    if by_name.len() > download.sha256_prefix.len() { by_name.to_owned() } else { download.sha256_prefix.clone() }
}

/// Completes the part over as many connections as necessary.
fn transfer(
    client: &Client,
    download: &Download,
    place: &std::path::Path,
    part: &mut Part,
    policy: RetryPolicy,
    digest_tells: bool,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    let network = |source| FetchError::Network { url: download.url.clone(), place: place.to_owned(), source };
    let (mut idle, mut answered) = (0, false);
    loop {
        let before = part.len();
        let came = client.ask(&download.url, part, digest_tells).and_then(|answer| {
            answered = true;
            let Answer { total, body } = answer;
            progress.begin("weights", Size::Bytes { present: part.len(), total });
            http::receive(body, total, part, progress)
        });
        progress.end();
        let why = match came {
            Ok(()) => return Ok(()),
            Err(TransferError::Disk(source)) => return Err(FetchError::Disk { path: part.path().to_owned(), source }),
            Err(why) if !why.may_pass() => return Err(network(why)),
            Err(why) => why,
        };
        idle = if part.len() > before { 0 } else { idle + 1 };
        // Compute nodes often have no network. Without any response, two attempts suffice.
        if idle >= if answered { policy.attempts } else { policy.attempts.min(2) } {
            return Err(network(why));
        }
        progress.note(&format!("the transfer broke off ({why}); going on from {} MB", part.len() / 1_000_000));
        std::thread::sleep(policy.pause * 2u32.saturating_pow(idle.min(5)));
    }
}
