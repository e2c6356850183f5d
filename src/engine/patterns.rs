//! Patterns of video names, as `retry` accepts them.

use std::collections::{BTreeSet, HashMap};

use glob::{MatchOptions, Pattern, PatternError};
use reeldeck_common::video::VideoName;

/// Patterns. Without any, every name matches.
pub(crate) struct Patterns<'a> {
    /// A name may contain characters that make it an invalid pattern, or one that matches only other names.
    patterns: Vec<(&'a str, Result<Pattern, PatternError>)>,
    /// Whether each pattern has matched.
    used: Vec<bool>,
    by_text: HashMap<&'a str, usize>,
}

impl<'a> Patterns<'a> {
    /// `*` matches any text, `?` any character and `[ab]` one of these characters. An exact name matches itself, whatever its
    /// characters.
    pub(crate) fn new(texts: &'a [String]) -> Self {
        let texts: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
        let patterns: Vec<_> = texts.into_iter().map(|text| (text, Pattern::new(text))).collect();
        let by_text = patterns.iter().enumerate().map(|(at, (text, _))| (*text, at)).collect();
        Self { used: vec![false; patterns.len()], patterns, by_text }
    }

    /// Whether a pattern matches `Class/file`, the file name, or its stem.
    pub(crate) fn matches(&mut self, video: &VideoName) -> bool {
        let options = MatchOptions { require_literal_separator: false, ..MatchOptions::new() };
        let name = video.file();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let names = [video.as_str(), name, stem];
        let mut hit = self.patterns.is_empty();
        for at in names.iter().filter_map(|name| self.by_text.get(name)) {
            hit = true;
            self.used.get_mut(*at).into_iter().for_each(|used| *used = true);
        }
        for ((_, pattern), used) in self.patterns.iter().zip(&mut self.used) {
            if let Ok(pattern) = pattern
                && names.iter().any(|name| pattern.matches_with(name, options))
            {
                (*used, hit) = (true, true);
            }
        }
        hit
    }

    /// What is wrong with the first pattern that has matched nothing.
    pub(crate) fn unused(&self) -> Option<String> {
        let at = self.used.iter().position(|used| !used)?;
        self.patterns.get(at).map(|(text, pattern)| match pattern {
            Ok(_) => format!("no video matches {text:?}"),
            Err(error) => format!(
                "no video has the name {text:?}, and it is an invalid pattern (at character {}: {}); write [[] for a [",
                error.pos + 1,
                error.msg
            ),
        })
    }
}

/// The patterns that are invalid: each of them can only be an exact name.
pub(crate) fn invalid(texts: &[String]) -> Vec<String> {
    texts.iter().filter(|text| Pattern::new(text).is_err()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> VideoName {
        VideoName::new(name).unwrap()
    }

    #[test]
    fn an_exact_name_matches_itself() {
        for exact in ["A/v [1].mp4", "A/v [x.mp4", "A/[!].mp4", "A/a**b.mp4", "A/***.mp4", "A/v[z-a].mp4"] {
            let video = name(exact);
            for text in [exact, video.file(), video.file().strip_suffix(".mp4").unwrap()].map(str::to_owned) {
                let texts = [text, "A/other.mp4".into()];
                let mut patterns = Patterns::new(&texts);
                assert!(patterns.matches(&video), "{texts:?}");
                assert_eq!(patterns.unused().unwrap(), "no video matches \"A/other.mp4\"");
            }
        }
    }

    #[test]
    fn an_invalid_pattern_that_is_no_name_is_an_error() {
        let texts = ["v*".into(), "A/v_[a.mp4".into()];
        let mut patterns = Patterns::new(&texts);
        assert!(patterns.matches(&name("A/v_1.mp4")) && !patterns.matches(&name("B/w.mp4")));
        let error = patterns.unused().unwrap();
        assert!(error.contains("invalid pattern (at character 5: ") && error.contains("\"A/v_[a.mp4\""), "{error}");
        assert_eq!(invalid(&texts), texts[1..]);
    }
}
