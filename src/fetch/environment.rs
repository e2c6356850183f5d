//! What the environment sets for downloads: a proxy and certificates. ureq ignores a proxy that it cannot use; here that is an
//! error, because without the proxy the download would fail later, or take another way than the user has chosen.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use reeldeck_common::bounded;
use ureq::tls::{Certificate, PemItem, RootCerts};
use ureq::{Proxy, ProxyProtocol};

use crate::dataset::shown;

/// The variables in which ureq looks for a proxy, in its order.
const PROXIES: [&str; 6] = ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// The variable that names a file of certificates.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// Certificate bundles of common distributions, to which an administrator may have added certificates.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The largest file of certificates, in bytes.
const MAX_BUNDLE: u64 = 64 << 20;

/// A variable of the environment that cannot be used. The value of a proxy is not shown, because it may have a password.
#[derive(Debug, thiserror::Error)]
#[error("{variable} {problem}; correct or unset it")]
pub struct EnvironmentError {
    variable: &'static str,
    problem: String,
}

/// Checks the proxy that ureq takes from the environment.
///
/// # Errors
/// When the first variable that is set names no proxy, or one of a kind that is not supported.
pub(super) fn check_proxy(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), EnvironmentError> {
    let set = PROXIES.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.is_empty())?)));
    let Some((name, value)) = set else { return Ok(()) };
    let proxy = value.to_str().and_then(|value| Proxy::new(value).ok());
    let problem = match proxy.map(|proxy| proxy.protocol()) {
        Some(ProxyProtocol::Http | ProxyProtocol::Https) => return Ok(()),
        Some(_) => "names a SOCKS proxy, and only http:// and https:// are supported",
        None => "is not the address of a proxy, such as http://proxy.example:3128",
    };
    Err(EnvironmentError { variable: name, problem: problem.into() })
}

/// The certificates in `SSL_CERT_FILE`, else the system's, which may include those of a company's proxy, else the bundled ones.
///
/// # Errors
/// When the file in the variable cannot be read or has no certificate.
pub(super) fn certificates(variable: impl Fn(&str) -> Option<OsString>) -> Result<RootCerts, EnvironmentError> {
    if let Some(named) = variable(CERTIFICATES).filter(|value| !value.is_empty()) {
        let path = Path::new(&named);
        let problem = match read(path) {
            Ok(found) if !found.is_empty() => return Ok(RootCerts::Specific(Arc::new(found))),
            Ok(_) => format!("names {}, which has no certificate in PEM format", shown(path)),
            Err(error) => format!("names {}, which cannot be read ({error})", shown(path)),
        };
        return Err(EnvironmentError { variable: CERTIFICATES, problem });
    }
    let found = BUNDLES.iter().find_map(|path| read(Path::new(path)).ok().filter(|found| !found.is_empty()));
    Ok(found.map_or(RootCerts::WebPki, |found| RootCerts::Specific(Arc::new(found))))
}

fn read(bundle: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let bytes = bounded::read(bundle, MAX_BUNDLE)?;
    let items = ureq::tls::parse_pem(&bytes);
    let certificates = items.filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(certificates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(variables: &[(&str, &str)]) -> Result<(), String> {
        let value = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        check_proxy(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_without_its_password() {
        for fine in ["http://proxy:3128", "https://me:secret@proxy", "proxy:3128", ""] {
            assert_eq!(checked(&[("HTTPS_PROXY", fine)]), Ok(()), "{fine}");
        }
        assert_eq!(checked(&[("ALL_PROXY", "http://proxy"), ("HTTP_PROXY", "?")]), Ok(()), "the first one is used");
        for bad in ["htp://me:secret@proxy", "http://me:secret@", "http://me:secret@[proxy", "socks5://me:secret@proxy"]
        {
            let error = checked(&[("https_proxy", bad), ("HTTP_PROXY", "http://proxy")]).unwrap_err();
            assert!(error.starts_with("https_proxy ") && error.ends_with("; correct or unset it"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_used_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certificates.pem");
        let found = || certificates(|name| (name == CERTIFICATES).then(|| path.clone().into())).map(drop);
        let error = found().unwrap_err().to_string();
        assert!(error.starts_with("SSL_CERT_FILE names ") && error.contains("cannot be read"), "{error}");
        std::fs::write(&path, "no certificate").unwrap();
        let error = found().unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM format"), "{error}");
        assert!(certificates(|_| None).is_ok());
    }
}
