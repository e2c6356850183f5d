//! Addresses without their secrets.

/// Whether a value of `checkpoint` is an address and not a path. A mistyped address is one too: messages show paths in full, and
/// an address may have a password.
pub(crate) fn is_address(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    text.contains("://") || begins_with_scheme(text) || first.contains(':') && text.contains('@')
}

fn begins_with_scheme(text: &str) -> bool {
    ["http:", "https:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// The address as it is shown, logged and stored: without user name, password, query and fragment, any of which may be a
/// secret.
pub(crate) fn public(url: &str) -> String {
    let scheme_end = match url.find("://") {
        Some(colon) => colon + 3,
        None if begins_with_scheme(url) => {
            url.len() - url.trim_start_matches(|c| c != ':').trim_start_matches([':', '/']).len()
        }
        None => 0,
    };
    let (scheme, rest) = url.split_at(scheme_end);
    let (authority, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // By the standard a password ends at a slash. Some people type one that has slashes, so what looks like a host and its port
    // may be a user name and the beginning of a password.
    let may_hold_password = if authority.contains(':') { rest } else { authority };
    let host = may_hold_password.rfind('@').map_or(0, |at| at + 1);
    let shown = rest[host..].split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}{shown}")
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
            ("http://me:sec/ret@a.org/w.pth", "http://a.org/w.pth"),
            ("http://me:sec?r#et@a.org/w.pth?token", "http://a.org/w.pth"),
            ("http://me:12/34@a.org/w.pth", "http://a.org/w.pth"),
            ("http:/me:sec/ret@a.org/w.pth", "http:/a.org/w.pth"),
            ("HTTPS:me:secret@a.org/w.pth", "HTTPS:a.org/w.pth"),
            ("me:sec/ret@a.org/w.pth", "a.org/w.pth"),
        ] {
            assert_eq!(public(url), shown);
            assert_eq!(has_secrets(url), url != shown);
            assert!(is_address(url), "{url}");
        }
    }

    #[test]
    fn paths_are_no_addresses() {
        for path in
            ["w.pth", "/a/me@b:c/w.pth", "me@b/w.pth", "a:b/w.pth", "./me:secret@a.org/w.pth", "https/w.pth", ""]
        {
            assert!(!is_address(path), "{path}");
        }
    }
}
