//! The name of a video: its path relative to the dataset folder, such as `Class/file`.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The maximum number of folders in a name.
pub const MAX_FOLDERS: usize = 16;

/// The longest name of a file or a folder, in bytes. No usual file system has longer ones.
const MAX_PART: usize = 255;

/// Names of folders that hold a part of the dataset, in lower case.
const SPLITS: [&str; 8] = ["train", "training", "val", "valid", "validation", "test", "testing", "train_val"];

/// A video's name: its path relative to the dataset folder, UTF-8, without control characters. It has a file name and at most
/// [`MAX_FOLDERS`] folders: `Class/file`, `file`, `train/Class/file`. It is safe to join to any folder.
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
    /// A part of it is empty, `.` or `..`, or it has too many folders.
    #[error("not a path such as Class/file, with at most {MAX_FOLDERS} folders")]
    Shape,
    /// A file or a folder has a longer name than file systems can have.
    #[error("a part of the name has more than {MAX_PART} bytes; no file has such a name")]
    Long,
}

impl VideoName {
    /// Checks a name.
    ///
    /// # Errors
    /// When the name is not a relative path, has too many folders or contains control characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        if name.split('/').any(|part| part.len() > MAX_PART) {
            return Err(NameError::Long);
        }
        let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if name.split('/').all(is_plain) && name.matches('/').count() <= MAX_FOLDERS {
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

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the folder that contains the file; empty for the dataset folder.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The number of folders in the name.
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// The class: the name of the folder that contains the file. Empty in the dataset folder, and in a split's folder, such as
    /// `test/file`.
    pub fn class(&self) -> &str {
        match self.folder().rsplit_once('/') {
            Some((_, class)) => class,
            None if is_split(self.folder()) => "",
            None => self.folder(),
        }
    }

    /// Whether the first folder has the name of a split.
    pub fn is_in_split(&self) -> bool {
        self.0.split_once('/').is_some_and(|(first, _)| is_split(first))
    }

    /// The file name with its extension.
    pub fn file(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, file)| file)
    }

    /// The video's path in the dataset folder `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

/// Whether a folder has the name of a split, such as `train`, in any case.
fn is_split(folder: &str) -> bool {
    SPLITS.iter().any(|split| split.eq_ignore_ascii_case(folder))
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

/// Makes text from disk safe for a terminal: control characters and invalid UTF-8 become visible escapes that keep different
/// names distinguishable.
pub fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// A path that is safe for a terminal.
pub fn shown(path: &Path) -> String {
    shown_bytes(path.as_os_str().as_encoded_bytes())
}

/// Whether [`printable_lines`] changes the text.
pub fn is_escaped(text: &str) -> bool {
    text.chars().any(is_escaped_in_lines)
}

fn is_escaped_in_lines(c: char) -> bool {
    is_unprintable(c) && !matches!(c, '\n' | '\t')
}

/// As [`printable`], but keeps line breaks and tabs: for text of several lines whose parts are escaped already.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    if !is_escaped(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_escaped_in_lines(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether [`printable`] escapes the character: control characters, the marks and overrides of the Unicode bidirectional
/// algorithm, line and paragraph separators, and what Unicode calls default-ignorable (zero-width characters, fillers,
/// variation selectors and tags).
pub(crate) fn is_unprintable(c: char) -> bool {
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
    fn a_name_has_folders_a_class_and_a_file() {
        for (name, folder, class, file) in [
            ("Horseback riding/v_-a \"b\".mp4", "Horseback riding", "Horseback riding", "v_-a \"b\".mp4"),
            ("v.mp4", "", "", "v.mp4"),
            ("train/Archery/v.mp4", "train/Archery", "Archery", "v.mp4"),
            ("Test/v.mp4", "Test", "", "v.mp4"),
            ("a/b/c/v.mp4", "a/b/c", "c", "v.mp4"),
        ] {
            let video = VideoName::new(name).unwrap();
            assert_eq!((video.folder(), video.class(), video.file()), (folder, class, file));
            assert_eq!(video.depth(), folder.split('/').filter(|part| !part.is_empty()).count());
        }
        assert!(VideoName::new("val/v.mp4").unwrap().is_in_split());
        assert!(!VideoName::new("A/val/v.mp4").unwrap().is_in_split());
        let deepest = format!("{}v", "a/".repeat(MAX_FOLDERS));
        assert!(VideoName::new(&deepest).is_ok());
        for bad in ["/a/b", "a//b", "../b", "a/..", "./b", "", "/", "a/../b/v", "v/", &format!("a/{deepest}")] {
            assert_eq!(VideoName::new(bad), Err(NameError::Shape), "{bad:?}");
        }
        for bad in ["a/b\nc.mp4", "a\t/b.mp4", "a/\u{1b}[2J.mp4"] {
            assert_eq!(VideoName::new(bad), Err(NameError::Control), "{bad:?}");
        }
        let long = "é".repeat(127);
        assert!(VideoName::new(&format!("{long}/{long}v")).is_ok());
        assert_eq!(VideoName::new(&format!("a/{long}vv")), Err(NameError::Long));
        assert!(serde_json::from_str::<VideoName>("\"../../etc/passwd\"").is_err());
    }

    #[test]
    fn printable_escapes_control_invisible_and_direction_characters() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{202e}");
        assert_eq!(printable("Zürich 日本"), "Zürich 日本");
        assert_eq!(printable("a\u{200b}b\u{e0041}c\u{feff}"), "a\\u{200b}b\\u{e0041}c\\u{feff}");
    }

    #[test]
    fn control_characters_and_invalid_utf8_are_escaped() {
        assert_eq!(shown_bytes(b"A/v_\xff\xc3\xa9\n\x1b.mp4"), "A/v_\\xffé\\n\\u{1b}.mp4");
    }

    #[test]
    fn printable_lines_keeps_line_breaks_and_tabs() {
        assert_eq!(printable_lines("a\tb\nc\u{1b}[2J\u{202e}\r"), "a\tb\nc\\u{1b}[2J\\u{202e}\\r");
        assert!(matches!(printable_lines("a\tb\n日本"), Cow::Borrowed(_)));
    }
}
