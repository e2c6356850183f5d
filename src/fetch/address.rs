//! Addresses without their secrets.

/// The address as it is shown, logged and stored: without user name, password, query and fragment, any of which may be a
/// secret.
pub(crate) fn public(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

/// Whether [`public`] leaves something out.
pub(crate) fn has_secrets(url: &str) -> bool {
    public(url) != url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_query_are_left_out() {
        for (url, shown) in [
            ("https://a.org/x/w.pth", "https://a.org/x/w.pth"),
            ("https://me:secret@a.org:8443/x/w.pth?token=1#f", "https://a.org:8443/x/w.pth"),
            ("https://me@you:p@a.org/w.pth", "https://a.org/w.pth"),
            ("https://a.org/@w.pth", "https://a.org/@w.pth"),
            ("http://a.org?token=1", "http://a.org"),
            ("me:secret@a.org/w.pth", "a.org/w.pth"),
        ] {
            assert_eq!(public(url), shown);
            assert_eq!(has_secrets(url), url != shown);
        }
    }
}
