//! One HTTP connection: the range request, the meaning of the response, and the transfer into the partial download.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::cache::{Part, Version};
use super::environment::{self, EnvironmentError};
use crate::progress::Progress;

/// The largest download, in bytes. No checkpoint is larger.
const MAX_SIZE: u64 = 64 << 30;

/// Disk space that a download leaves free, in bytes.
const RESERVE: u64 = 64 << 20;

/// The free space is measured again after this many bytes.
const MEASURE_INTERVAL: u64 = 8 << 20;

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection did not complete the download.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No connection, or an invalid response.
    #[error("{}", without_address(.0))]
    Http(ureq::Error),
    /// The server refuses.
    #[error("the server answers {code}")]
    Status {
        /// The status code.
        code: u16,
        /// How long to wait before the next attempt, if the server says so.
        retry_after: Option<Duration>,
    },
    /// The connection stalled or broke.
    #[error("{0}")]
    Read(io::Error),
    /// The connection ended early.
    #[error("the server announced {announced} bytes and sent {received}")]
    Short {
        /// Bytes that the server announced.
        announced: u64,
        /// Bytes that are present.
        received: u64,
    },
    /// More bytes than announced.
    #[error("the server sends more than the {announced} bytes that it announced")]
    Long {
        /// Bytes that the server announced.
        announced: u64,
    },
    /// More bytes than any checkpoint has.
    #[error("the file has {} bytes or more, and no checkpoint has more than {MAX_SIZE}; check the address", .0)]
    TooLarge(u64),
    /// The response continues another version of the file, or at another position.
    #[error("the server does not continue the file that was begun")]
    Elsewhere,
    /// The content is compressed, although that was not requested.
    #[error(
        "the server sends the file in the encoding {0:?}, which was not requested; download the file with another program"
    )]
    Encoded(String),
    /// The disk has too little space.
    #[error("not enough disk space")]
    NoSpace {
        /// Bytes that are still to come; `None` if the server does not tell.
        needed: Option<u64>,
        /// Free bytes.
        free: u64,
    },
    /// The partial file cannot be written.
    #[error("{0}")]
    Disk(io::Error),
}

/// Without a source: the text of the cause would follow, with the address that [`without_address`] leaves out.
impl From<ureq::Error> for TransferError {
    fn from(error: ureq::Error) -> Self {
        Self::Http(error)
    }
}

impl TransferError {
    /// Whether another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            Self::Http(error) => !matches!(
                error,
                ureq::Error::BadUri(_)
                    | ureq::Error::HostNotFound
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::RedirectFailed
                    | ureq::Error::RequireHttpsOnly(_)
                    | ureq::Error::TooManyRedirects
                    | ureq::Error::Rustls(_)
            ),
            Self::Disk(_) | Self::Encoded(_) | Self::NoSpace { .. } | Self::TooLarge(_) => false,
            Self::Read(_) | Self::Short { .. } | Self::Long { .. } | Self::Elsewhere => true,
        }
    }
}

/// The text of an error. Those about an address repeat it, secrets included.
fn without_address(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "the address is invalid".into(),
        ureq::Error::RequireHttpsOnly(_) => "the server redirects from https to http".into(),
        ureq::Error::HostNotFound => NO_ADDRESS.into(),
        ureq::Error::Io(error) if error.to_string().contains("lookup address") => NO_ADDRESS.into(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

const NO_ADDRESS: &str = "the name of the server cannot be resolved; this machine may have no internet";

/// An HTTP client.
pub(super) struct Client(Agent);

/// The response of a server.
pub(super) struct Answer {
    /// Length of the whole file, if known.
    pub total: Option<u64>,
    /// The bytes after the end of the part; `None` if the part is complete.
    pub body: Option<Body>,
}

impl Client {
    /// A client that uses the proxy of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) and never
    /// redirects from https to http.
    ///
    /// # Errors
    /// When the environment names a proxy or certificates that cannot be used.
    pub(super) fn new(url: &str, silence: Duration) -> Result<Self, EnvironmentError> {
        environment::check_proxy(|name| std::env::var_os(name))?;
        let certificates = environment::certificates(|name| std::env::var_os(name))?;
        let tls = TlsConfig::builder().root_certs(certificates).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(url.starts_with("https:"))
            .http_status_as_error(false)
            .user_agent(concat!("reeldeck/", env!("CARGO_PKG_VERSION")))
            // The bytes of the file, without compression.
            .accept_encoding("identity")
            .timeout_connect(Some(silence.min(CONNECT_TIMEOUT)))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        Ok(Self(config.new_agent()))
    }

    /// Requests the bytes that the part lacks. Clears the part if the response does not continue exactly the same version of
    /// the file. `has_digest`: a promised digest will show whether the file is whole.
    ///
    /// # Errors
    /// When there is no response, or none with the file.
    pub(super) fn ask(&self, url: &str, part: &mut Part, has_digest: bool) -> Result<Answer, TransferError> {
        let mut request = self.0.get(url);
        let begun = part.version().filter(|_| part.len() > 0).cloned();
        if let Some(Version { validator, .. }) = &begun {
            request = request.header("Range", format!("bytes={}-", part.len())).header("If-Range", validator);
        }
        let answer = request.call()?;
        let code = answer.status().as_u16();
        if let (200 | 206, Some(encoding)) = (code, encoding(&answer)) {
            return Err(TransferError::Encoded(encoding));
        }
        match (code, begun) {
            (206, Some(begun)) => match content_range(&answer) {
                Some((start, total)) if start == part.len() && continues(&answer, &begun, total, has_digest) => {
                    Ok(Answer { total, body: Some(answer.into_body()) })
                }
                _ => Err(start_over(part)),
            },
            (200, _) => {
                let total = length(&answer);
                part.clear().map_err(TransferError::Disk)?;
                let version = validator(&answer).map(|validator| Version { validator, total });
                part.set_version(version).map_err(TransferError::Disk)?;
                Ok(Answer { total, body: Some(answer.into_body()) })
            }
            // A process ended after the part was complete and before it was renamed.
            (416, Some(begun))
                if whole(&answer) == Some(part.len()) && (has_digest || begun.total == Some(part.len())) =>
            {
                Ok(Answer { total: Some(part.len()), body: None })
            }
            (206 | 416, _) => Err(start_over(part)),
            (code, _) => Err(TransferError::Status { code, retry_after: retry_after(&answer) }),
        }
    }
}

/// The time in a response's `Retry-After`. A date is ignored: the clocks may differ.
fn retry_after(answer: &Response<Body>) -> Option<Duration> {
    header(answer, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn start_over(part: &mut Part) -> TransferError {
    part.clear().map_or_else(TransferError::Disk, |()| TransferError::Elsewhere)
}

/// Whether a partial response belongs to the version that was begun. `total` is the length that it states.
fn continues(answer: &Response<Body>, begun: &Version, total: Option<u64>, has_digest: bool) -> bool {
    let name = if begun.validator.starts_with('"') { "etag" } else { "last-modified" };
    let is_same = match header(answer, name) {
        Some(validator) => validator == begun.validator,
        // Some servers leave it out because the request had it.
        None => has_digest,
    };
    let is_as_long = match (total, begun.total) {
        (Some(total), Some(begun)) => total == begun,
        _ => has_digest,
    };
    is_same && is_as_long
}

/// Appends the received bytes to the part. `free` measures the free disk space in bytes. Returns whether the end of the file
/// is certain, which it is only if its length was announced.
///
/// # Errors
/// When the number of bytes differs from the announced length, or the disk gets full.
pub(super) fn receive(
    answer: Answer,
    part: &mut Part,
    free: &dyn Fn() -> io::Result<u64>,
    progress: &dyn Progress,
) -> Result<bool, TransferError> {
    let Answer { total, body } = answer;
    let most = total.unwrap_or(MAX_SIZE);
    if most > MAX_SIZE {
        return Err(TransferError::TooLarge(most));
    }
    let Some(body) = body else { return Ok(true) };
    check_space(total, part, free)?;
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut block = vec![0; 1 << 18];
    let mut measure_at = part.len() + MEASURE_INTERVAL;
    loop {
        let read = match reader.read(&mut block) {
            Ok(read) => read,
            // A missed length explains the failure better than the client's error.
            Err(error) => match total {
                Some(announced) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(TransferError::Short { announced, received: part.len() });
                }
                _ => return Err(TransferError::Read(error)),
            },
        };
        if read == 0 {
            break;
        }
        if part.len() + read as u64 > most {
            part.clear().map_err(TransferError::Disk)?;
            return Err(match total {
                Some(announced) => TransferError::Long { announced },
                None => TransferError::TooLarge(MAX_SIZE),
            });
        }
        part.append(block.get(..read).unwrap_or_default()).map_err(TransferError::Disk)?;
        progress.step(read as u64);
        if part.len() >= measure_at {
            measure_at = part.len() + MEASURE_INTERVAL;
            check_space(total, part, free)?;
        }
    }
    match total {
        Some(announced) if part.len() < announced => Err(TransferError::Short { announced, received: part.len() }),
        total => Ok(total.is_some()),
    }
}

/// Fails if the bytes that are still to come do not fit.
fn check_space(total: Option<u64>, part: &Part, free: &dyn Fn() -> io::Result<u64>) -> Result<(), TransferError> {
    let needed = total.map(|total| total.saturating_sub(part.len()));
    let free = free().map_err(TransferError::Disk)?;
    if free < needed.unwrap_or(0).saturating_add(RESERVE) {
        return Err(TransferError::NoSpace { needed, free });
    }
    Ok(())
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn length(answer: &Response<Body>) -> Option<u64> {
    // In a response with both, the length means nothing.
    let is_chunked = answer.headers().contains_key("transfer-encoding");
    header(answer, "content-length").filter(|_| !is_chunked)?.trim().parse().ok()
}

/// The encoding of the content; `None` if the bytes are those of the file.
fn encoding(answer: &Response<Body>) -> Option<String> {
    let of = |name, plain| header(answer, name).map(str::trim).filter(|text| !text.eq_ignore_ascii_case(plain));
    of("content-encoding", "identity").or_else(|| of("transfer-encoding", "chunked")).map(str::to_owned)
}

/// The start and the total length in `bytes 100-199/200`.
fn content_range(answer: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let (range, total) = header(answer, "content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

/// The total length in `bytes */200`.
fn whole(answer: &Response<Body>) -> Option<u64> {
    header(answer, "content-range")?.trim().strip_prefix("bytes */")?.parse().ok()
}

/// What identifies the version of the file: a strong entity tag, else the time of the last change. A file may change twice
/// within a second, so a time that is that of the response identifies nothing.
fn validator(answer: &Response<Body>) -> Option<String> {
    let tag = header(answer, "etag").filter(|tag| tag.starts_with('"'));
    let date = header(answer, "date");
    let changed = header(answer, "last-modified").filter(|changed| date.is_some_and(|date| date != *changed));
    tag.or(changed).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn an_error_says_each_cause_once_and_no_secret() {
        let address = || "http://user:secret@host/w.pth?token=secret".to_owned();
        for error in
            [ureq::Error::BadUri(address()), ureq::Error::RequireHttpsOnly(address()), ureq::Error::HostNotFound]
        {
            let error = TransferError::from(error);
            assert!(error.source().is_none() && !error.to_string().contains("secret"), "{error}");
        }
    }
}
