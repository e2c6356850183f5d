//! One HTTP connection: the range request, the meaning of the response, and the transfer into the partial download.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::cache::Part;
use crate::progress::Progress;

/// The largest download, in bytes. No checkpoint is larger.
const MAX_SIZE: u64 = 64 << 30;

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Certificate bundles of common distributions, to which an administrator may have added certificates.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why a connection did not complete the download.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// No connection, or an invalid response.
    #[error("{0}")]
    Http(#[from] ureq::Error),
    /// The server refuses.
    #[error("the server answers {0}")]
    Status(u16),
    /// The connection stalled or broke.
    #[error("{0}")]
    Read(io::Error),
    /// The connection ended early.
    #[error("the server said {said} bytes and sent {came}")]
    Short {
        /// Bytes that the server announced.
        said: u64,
        /// Bytes that are present.
        came: u64,
    },
    /// More bytes than announced.
    #[error("the server sends more than the {said} bytes that it said")]
    Long {
        /// Bytes that the server announced, or the limit.
        said: u64,
    },
    /// The response continues another file or at another position.
    #[error("the server continues at another place than asked")]
    Elsewhere,
    /// The partial file cannot be written.
    #[error("{0}")]
    Disk(io::Error),
}

impl TransferError {
    /// Whether another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status(code) => matches!(code, 408 | 425 | 429 | 500..=599),
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
            Self::Disk(_) => false,
            Self::Read(_) | Self::Short { .. } | Self::Long { .. } | Self::Elsewhere => true,
        }
    }
}

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
    pub(super) fn new(url: &str, silence: Duration) -> Self {
        let tls = TlsConfig::builder().root_certs(certificates()).build();
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
        Self(config.new_agent())
    }

    /// Requests the bytes that the part lacks. Clears the part if the response does not continue it.
    ///
    /// # Errors
    /// When there is no response, or none with the file.
    pub(super) fn ask(&self, url: &str, part: &mut Part, digest_tells: bool) -> Result<Answer, TransferError> {
        let mut request = self.0.get(url);
        // Without a version mark, the pieces may belong to two files. Only a promised digest would reveal it.
        let resumable = part.len() > 0 && (part.mark().is_some() || digest_tells);
        if resumable {
            request = request.header("Range", format!("bytes={}-", part.len()));
            if let Some(mark) = part.mark() {
                request = request.header("If-Range", mark);
            }
        }
        let answer = request.call()?;
        match answer.status().as_u16() {
            206 if resumable => {
                let Some((start, total)) = content_range(&answer) else {
                    part.clear().map_err(TransferError::Disk)?;
                    return Err(TransferError::Elsewhere);
                };
                if start != part.len() {
                    part.clear().map_err(TransferError::Disk)?;
                    return Err(TransferError::Elsewhere);
                }
                Ok(Answer { total, body: Some(answer.into_body()) })
            }
            200 => {
                part.clear().map_err(TransferError::Disk)?;
                part.set_mark(mark(&answer)).map_err(TransferError::Disk)?;
                let total = length(&answer);
                Ok(Answer { total, body: Some(answer.into_body()) })
            }
            // A process ended after the part was complete and before it was renamed.
            416 if resumable && whole(&answer) == Some(part.len()) => {
                Ok(Answer { total: Some(part.len()), body: None })
            }
            416 => {
                part.clear().map_err(TransferError::Disk)?;
                Err(TransferError::Elsewhere)
            }
            code => Err(TransferError::Status(code)),
        }
    }
}

/// Appends the received bytes to the part.
///
/// # Errors
/// When the number of bytes differs from the announced length.
pub(super) fn receive(
    body: Option<Body>,
    total: Option<u64>,
    part: &mut Part,
    progress: &dyn Progress,
) -> Result<(), TransferError> {
    let most = total.unwrap_or(MAX_SIZE);
    if most > MAX_SIZE {
        return Err(TransferError::Long { said: MAX_SIZE });
    }
    let Some(body) = body else { return Ok(()) };
    let mut reader = body.into_with_config().limit(u64::MAX).reader();
    let mut block = vec![0; 1 << 18];
    loop {
        let read = match reader.read(&mut block) {
            Ok(read) => read,
            // A missed length explains the failure better than the client's error.
            Err(error) => match total {
                Some(said) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(TransferError::Short { said, came: part.len() });
                }
                _ => return Err(TransferError::Read(error)),
            },
        };
        if read == 0 {
            break;
        }
        if part.len() + read as u64 > most {
            part.clear().map_err(TransferError::Disk)?;
            return Err(TransferError::Long { said: most });
        }
        part.append(block.get(..read).unwrap_or_default()).map_err(TransferError::Disk)?;
        progress.step(read as u64);
    }
    match total {
        Some(said) if part.len() < said => Err(TransferError::Short { said, came: part.len() }),
        _ => Ok(()),
    }
}

fn header<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

fn length(answer: &Response<Body>) -> Option<u64> {
    header(answer, "content-length")?.trim().parse().ok()
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

/// Identifies the version of the file: a strong entity tag, else the time of the last change.
fn mark(answer: &Response<Body>) -> Option<String> {
    let tag = header(answer, "etag").filter(|tag| tag.starts_with('"'));
    tag.or_else(|| header(answer, "last-modified")).map(str::to_owned)
}

/// The system's certificates, which may include those of a company's proxy; else the bundled ones.
fn certificates() -> RootCerts {
    let named = std::env::var("SSL_CERT_FILE").ok();
    let bundles = named.as_deref().into_iter().chain(BUNDLES.iter().copied());
    for bundle in bundles {
        let Ok(bytes) = std::fs::read(bundle) else { continue };
        let found: Vec<_> = ureq::tls::parse_pem(&bytes)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            return RootCerts::Specific(Arc::new(found));
        }
    }
    RootCerts::WebPki
}
