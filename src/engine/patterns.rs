//! Patterns of video names, as `retry` accepts them.

use glob::{MatchOptions, Pattern};
use reeldeck_common::video::VideoName;

/// Patterns. Without any, every name matches.
pub(crate) struct Patterns<'a>(Vec<(&'a str, Pattern, bool)>);

impl<'a> Patterns<'a> {
    /// `*` matches any text and `?` any character.
    ///
    /// # Errors
    /// When a pattern is invalid.
    pub(crate) fn new(patterns: &'a [String]) -> Result<Self, String> {
        let compile = |text: &'a String| match Pattern::new(text) {
            Ok(pattern) => Ok((text.as_str(), pattern, false)),
            Err(error) => Err(format!("invalid pattern {text:?}: {error}")),
        };
        patterns.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a pattern matches `Class/file`, the file name, or its stem.
    pub(crate) fn matches(&mut self, video: &VideoName) -> bool {
        let options = MatchOptions { require_literal_separator: false, ..MatchOptions::new() };
        let name = video.file();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let mut hit = self.0.is_empty();
        for (text, pattern, used) in &mut self.0 {
            let matches = [video.as_str(), name, stem].iter().any(|n| n == text || pattern.matches_with(n, options));
            *used |= matches;
            hit |= matches;
        }
        hit
    }

    /// A pattern that has matched nothing.
    pub(crate) fn unused(&self) -> Option<&'a str> {
        self.0.iter().find(|(.., used)| !used).map(|(text, ..)| *text)
    }
}
