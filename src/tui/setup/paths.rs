//! What a path in the form means.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The home folder, which `~` stands for.
pub(in crate::tui) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// Expands a leading `~`, as a shell would.
pub(super) fn expanded<'a>(text: &'a str, home: Option<&Path>) -> Cow<'a, str> {
    let text = text.trim();
    match (text.strip_prefix('~'), home.and_then(Path::to_str)) {
        (Some(""), Some(home)) => Cow::Borrowed(home).into_owned().into(),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            Cow::Owned(format!("{}{rest}", home.trim_end_matches('/')))
        }
        _ => Cow::Borrowed(text),
    }
}

/// The absolute path that a text means.
pub(super) fn place(text: &str, folder: &Path, home: Option<&Path>) -> PathBuf {
    folder.join(&*expanded(text, home)).components().collect()
}
