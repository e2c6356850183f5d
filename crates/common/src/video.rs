//! The name of a video: `Class/file`, relative to the dataset folder.

use std::borrow::Cow;
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

/// Escapes what must not reach a terminal from a file: control characters, line breaks and tabs too, characters that change
/// the direction of writing, and invisible ones, with which two different names look the same.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unprintable(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// As [`printable`], but keeps line breaks and tabs: for text of several lines whose parts are escaped already.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_unprintable(c) && !matches!(c, '\n' | '\t');
    if !text.chars().any(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_escaped(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether [`printable`] escapes the character: control characters, the marks and overrides of the Unicode bidirectional
/// algorithm, line and paragraph separators, and what Unicode calls default-ignorable (zero-width characters, fillers,
/// variation selectors and tags).
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
    fn printable_escapes_control_invisible_and_direction_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{202e}");
        assert_eq!(printable("Zürich 日本"), "Zürich 日本");
        assert_eq!(printable("a\u{200b}b\u{e0041}c\u{feff}"), "a\\u{200b}b\\u{e0041}c\\u{feff}");
    }

    #[test]
    fn printable_lines_keeps_line_breaks_and_tabs() {
        assert_eq!(printable_lines("a\tb\nc\u{1b}[2J\u{202e}\r"), "a\tb\nc\\u{1b}[2J\\u{202e}\\r");
        assert!(matches!(printable_lines("a\tb\n日本"), Cow::Borrowed(_)));
    }
}
