//! The name of a video: `Class/file`, relative to the dataset folder.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A video's name: a class folder and a file name, UTF-8, without control characters. It is safe to join to any folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct VideoName(String);

/// Why a name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is not UTF-8.
    #[error("the name is not UTF-8 text; rename the file")]
    NotUtf8,
    /// It contains a newline, a tab or another control character.
    #[error("the name contains a newline or another control character; rename the file")]
    Control,
    /// It is not exactly `Class/file`, or a part of it is `.` or `..`.
    #[error("not of the form Class/file")]
    Shape,
}

impl VideoName {
    /// Checks a name of the form `Class/file`.
    ///
    /// # Errors
    /// When the name has another form or contains control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        let mut parts = name.split('/');
        let plain = |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p != "." && p != "..");
        if plain(parts.next()) && plain(parts.next()) && parts.next().is_none() {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError::Shape)
        }
    }

    /// The name of the video at a path relative to the dataset folder.
    ///
    /// # Errors
    /// As [`VideoName::new`], and when the path is not UTF-8.
    pub fn from_relative_path(path: &Path) -> Result<Self, NameError> {
        Self::new(path.to_str().ok_or(NameError::NotUtf8)?)
    }

    /// `Class/file`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The class, which is the folder's name.
    pub fn class(&self) -> &str {
        self.0.split_once('/').map_or("", |(class, _)| class)
    }

    /// The file name with its extension.
    pub fn file(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, file)| file)
    }

    /// The video's path in the dataset folder `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

impl fmt::Display for VideoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for VideoName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(|error| serde::de::Error::custom(format!("{name:?}: {error}")))
    }
}

/// Escapes control and bidirectional formatting characters, so that text from a file is safe to print on a terminal.
pub fn printable(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_consist_of_class_and_file() {
        let name = VideoName::new("Horseback riding/v_-a \"b\".mp4").unwrap();
        assert_eq!((name.class(), name.file()), ("Horseback riding", "v_-a \"b\".mp4"));
        for bad in ["v.mp4", "/a/b", "a//b", "a/b/c", "../b", "a/..", "./b", "", "/"] {
            assert_eq!(VideoName::new(bad), Err(NameError::Shape), "{bad:?}");
        }
        for bad in ["a/b\nc.mp4", "a\t/b.mp4", "a/\u{1b}[2J.mp4"] {
            assert_eq!(VideoName::new(bad), Err(NameError::Control), "{bad:?}");
        }
        assert!(serde_json::from_str::<VideoName>("\"../../etc/passwd\"").is_err());
    }

    #[test]
    fn printable_escapes_control_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{202e}");
        assert_eq!(printable("Zürich 日本"), "Zürich 日本");
    }
}
