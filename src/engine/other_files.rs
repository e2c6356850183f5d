//! The files of the dataset folder that are no videos: refused and ignored ones, with the reason, for clients.

use std::path::Path;

use crate::dataset::scan::Scan;
use crate::protocol::row::RowState;

/// Files that are not extracted. They have no number in the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OtherFiles {
    /// Files that look like videos and cannot be used.
    pub refused: Vec<OtherFile>,
    /// Other files and incomplete downloads. Of many, only some are named.
    pub ignored: Vec<OtherFile>,
    /// The number of ignored files.
    pub ignored_count: usize,
    /// A file or folder that could not be read, and why. There may be videos in it.
    pub unreadable: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherFile {
    /// The path in the dataset folder, safe for a terminal.
    pub shown: String,
    /// Why it is not extracted, and the next step.
    pub reason: String,
}

impl OtherFile {
    /// The folders of its path, the innermost first.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.shown.rsplit('/').skip(1)
    }
}

impl OtherFiles {
    /// Those of a scan.
    pub(crate) fn of(scan: &Scan, out: &Path) -> Self {
        let file = |shown: &String, reason: &str| OtherFile { shown: shown.clone(), reason: reason.to_owned() };
        let refused = scan.refused.iter().map(|refused| file(&refused.shown, &refused.reason.to_string()));
        let incomplete = "an incomplete download; let the downloader finish";
        let other = |shown: &str| match shown.split('/').any(|part| part.starts_with('.')) {
            true => "hidden: its name or that of a folder begins with a dot",
            false if shown.contains("lost+found") => "a folder of the file system",
            false => "not a video by its extension; see `[scan] extensions`",
        };
        let ignored = scan.incomplete.iter().map(|shown| file(shown, incomplete));
        Self {
            refused: refused.collect(),
            ignored: ignored.chain(scan.ignored_names.iter().map(|shown| file(shown, other(shown)))).collect(),
            ignored_count: scan.incomplete.len() + scan.ignored,
            unreadable: scan.unreadable(out).map(|refused| format!("{}: {}", refused.shown, refused.reason)),
        }
    }

    /// The number of files that are named.
    pub(crate) fn len(&self) -> usize {
        self.refused.len() + self.ignored.len()
    }

    /// A file by position, the refused ones first.
    pub(crate) fn get(&self, at: u32) -> Option<(RowState, &OtherFile)> {
        let at = at as usize;
        match self.refused.get(at) {
            Some(file) => Some((RowState::Refused, file)),
            None => Some((RowState::Ignored, self.ignored.get(at.checked_sub(self.refused.len())?)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_file_is_hidden_or_no_video() {
        let names = ["A/.v.mp4", ".trash/v.mp4", "notes.txt"].map(str::to_owned).to_vec();
        let files = OtherFiles::of(&Scan { ignored: 3, ignored_names: names, ..Scan::default() }, Path::new(""));
        let reasons: Vec<_> =
            (0..3).map(|at| files.get(at).unwrap().1.reason.split([':', ';']).next().unwrap()).collect();
        assert_eq!(reasons, ["hidden", "hidden", "not a video by its extension"]);
    }
}
