//! The list of videos in MMAction2's format: one name, such as `Class/file`, and its label per line.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;
use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::video::{NameError, VideoName};
use serde::{Deserialize, Serialize};

use super::shown_bytes;

const BOM: &str = "\u{feff}";

/// The label of each video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LabelStyle {
    /// Always -1, as in MMAction2; extraction needs no label
    #[default]
    MinusOne,
    /// Index of the class in the sorted list of classes, from 0; -1 for videos without a class folder
    Index,
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// The video.
    pub name: VideoName,
    /// Its label.
    pub label: i64,
}

/// An invalid line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}: {text}")]
pub(crate) struct ListError {
    /// The line, counted from 1.
    pub line: usize,
    /// The position in the line, in characters from 1.
    pub column: usize,
    /// The line, with control characters escaped.
    pub text: String,
    /// The problem.
    pub problem: ListProblem,
}

/// Why a line is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListProblem {
    /// Not UTF-8.
    #[error("not UTF-8 text; save the list as UTF-8")]
    NotUtf8,
    /// No label after the video.
    #[error("no label after the video; write `Class/file -1`")]
    NoLabel,
    /// The label is not a number.
    #[error("the label is not a whole number; write `Class/file -1`")]
    Label,
    /// The name is not allowed.
    #[error("the video's name cannot be used: {0}")]
    Name(NameError),
    /// The same video is in an earlier line.
    #[error("the same video as in line {0}; remove one of them")]
    Duplicate(usize),
}

/// The videos with their labels, in the given order.
pub(crate) fn entries(names: &[VideoName], style: LabelStyle) -> Vec<ListEntry> {
    let classes: BTreeSet<&str> = names.iter().map(VideoName::class).filter(|class| !class.is_empty()).collect();
    let index: HashMap<&str, i64> = classes.into_iter().zip(0..).collect();
    let label = |name: &VideoName| match style {
        LabelStyle::MinusOne => -1,
        LabelStyle::Index => index.get(name.class()).copied().unwrap_or(-1),
    };
    names.iter().map(|name| ListEntry { name: name.clone(), label: label(name) }).collect()
}

/// Writes the list with `\n` as line ends.
///
/// # Errors
/// Errors of the writer.
pub(crate) fn write_lines(writer: &mut impl Write, entries: &[ListEntry]) -> io::Result<()> {
    // Reading removes a byte order mark, so a name that begins with one needs a second one.
    if entries.first().is_some_and(|entry| entry.name.as_str().starts_with(BOM)) {
        writer.write_all(BOM.as_bytes())?;
    }
    entries.iter().try_for_each(|ListEntry { name, label }| writeln!(writer, "{name} {label}"))
}

/// Writes the list atomically.
///
/// # Errors
/// Errors of the file system.
fn write_list(path: &Path, entries: &[ListEntry], owner: &Owner) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    atomic::write(path, owner, |writer| write_lines(writer, entries))
}

/// Writes the list of the dataset to an output folder. A list with a `result.pkl` beside it belongs to that file by position
/// and is not replaced.
///
/// # Errors
/// When such a list has other content, and errors of the file system.
pub(crate) fn write_dataset_list(path: &Path, entries: &[ListEntry], owner: &Owner) -> io::Result<()> {
    // A file that cannot be looked at may be there.
    if path.try_exists()? && path.with_file_name("result.pkl").try_exists()? {
        let mut lines = vec![];
        write_lines(&mut lines, entries)?;
        let is_same = match bounded::read(path, lines.len() as u64) {
            Err(error) if error.kind() != io::ErrorKind::FileTooLarge => return Err(error),
            there => there.is_ok_and(|there| there == lines),
        };
        if is_same {
            return Ok(());
        }
        let message = "this list belongs to the result.pkl beside it, which depends on its order; name another output folder \
                       with --out";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    write_list(path, entries, owner)
}

/// The names that MMAction2's loader cannot read, because it splits lines at white space.
pub(crate) fn names_with_spaces(names: &[VideoName]) -> Vec<&VideoName> {
    names.iter().filter(|name| name.as_str().contains(char::is_whitespace)).collect()
}

/// Parses a list. The label follows the last space of a line, so names may contain spaces. A byte order mark, `\r\n` and
/// blank lines are accepted.
///
/// # Errors
/// The first line without a valid name and label, or with a video of an earlier line.
pub(crate) fn parse_list(bytes: &[u8]) -> Result<Vec<ListEntry>, ListError> {
    let bytes = bytes.strip_prefix(BOM.as_bytes()).unwrap_or(bytes);
    let mut entries = Vec::new();
    let mut lines: HashMap<VideoName, usize> = HashMap::new();
    for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = text.trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        let failed = |(at, problem): (usize, ListProblem)| {
            let before = text.get(..at).unwrap_or(text);
            // Continuation bytes of UTF-8 are not characters.
            let column = 1 + before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            ListError { line, column, text: excerpt(text), problem }
        };
        let entry = parse_line(text).map_err(failed)?;
        if let Some(first) = lines.insert(entry.name.clone(), line) {
            return Err(failed((0, ListProblem::Duplicate(first))));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Parses a line. An error has its byte offset.
fn parse_line(line: &[u8]) -> Result<ListEntry, (usize, ListProblem)> {
    let line = std::str::from_utf8(line).map_err(|error| (error.valid_up_to(), ListProblem::NotUtf8))?;
    let (name, label) = line.rsplit_once(' ').ok_or((line.len(), ListProblem::NoLabel))?;
    let label = label.parse().map_err(|_| match label.contains(['/', '.']) {
        // The last word belongs to a name with a space, so the label is missing.
        true => (line.len(), ListProblem::NoLabel),
        false => (name.len() + 1, ListProblem::Label),
    })?;
    let control = name.find(char::is_control).unwrap_or(0);
    Ok(ListEntry { name: VideoName::new(name).map_err(|error| (control, ListProblem::Name(error)))?, label })
}

/// The beginning of a line. The file may be anything, with lines of any length.
fn excerpt(line: &[u8]) -> String {
    const MAX_LEN: usize = 300;
    let mut shown = shown_bytes(&line[..line.len().min(MAX_LEN)]);
    if line.len() > MAX_LEN {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<VideoName> {
        names.iter().map(|name| VideoName::new(name).unwrap()).collect()
    }

    fn text(list: &[&str], style: LabelStyle) -> String {
        let mut bytes = Vec::new();
        write_lines(&mut bytes, &entries(&names(list), style)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_list_beside_other_results_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, owner) = (dir.path().join("hacs_data.txt"), Owner::this_process());
        let write = |list: &[&str]| write_dataset_list(&path, &entries(&names(list), LabelStyle::MinusOne), &owner);
        write(&["B/v_2.mp4"]).unwrap();
        write(&["A/v_1.mp4", "B/v_2.mp4"]).unwrap();
        fs::write(dir.path().join("result.pkl"), "").unwrap();
        write(&["A/v_1.mp4", "B/v_2.mp4"]).unwrap();
        // Shorter, as long, and longer than the list that is there.
        for list in [&["B/v_2.mp4"][..], &["A/v_1.mp4", "B/v_3.mp4"], &["A/v_1.mp4", "B/v_2.mp4", "C/v_3.mp4"]] {
            let error = write(list).unwrap_err().to_string();
            assert!(error.contains("name another output folder"), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "A/v_1.mp4 -1\nB/v_2.mp4 -1\n");
    }

    #[test]
    fn lines_have_the_original_format() {
        let list = ["A b/v_1.mp4", "A/v_2.mp4", "B/v_3.mp4", "B/v_4.mp4"];
        let minus_one = "A b/v_1.mp4 -1\nA/v_2.mp4 -1\nB/v_3.mp4 -1\nB/v_4.mp4 -1\n";
        assert_eq!(text(&list, LabelStyle::MinusOne), minus_one);
        // Classes are sorted, so `A` precedes `A b`, although `A b/` precedes `A/`.
        assert_eq!(text(&list, LabelStyle::Index), "A b/v_1.mp4 1\nA/v_2.mp4 0\nB/v_3.mp4 2\nB/v_4.mp4 2\n");
        assert_eq!(text(&[], LabelStyle::Index), "");
        // Splits are no classes, and a class has one label in all of them.
        let deeper = ["test/v_1.mp4", "train/B/v_2.mp4", "val/A/v_4.mp4", "val/B/v_3.mp4"];
        let labelled = "test/v_1.mp4 -1\ntrain/B/v_2.mp4 1\nval/A/v_4.mp4 0\nval/B/v_3.mp4 1\n";
        assert_eq!(text(&deeper, LabelStyle::Index), labelled);
        assert_eq!(names_with_spaces(&names(&["A/v.mp4", "A b/v.mp4", "A/v\u{a0}x.mp4"])).len(), 2);
    }

    #[test]
    fn an_old_list_survives_a_failed_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out/hacs_data.txt");
        let owner = Owner::this_process();
        write_list(&path, &entries(&names(&["A/v.mp4"]), LabelStyle::MinusOne), &owner).unwrap();
        let failed = atomic::write(&path, &owner, |writer| {
            write_lines(writer, &entries(&names(&["B/v.mp4"]), LabelStyle::MinusOne))?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"A/v.mp4 -1\n");
    }

    #[test]
    fn marks_line_ends_blank_lines_and_spaces_are_accepted() {
        let text = "\u{feff}A/v_1.mp4 -1\r\n\r\n  \nA b/my v.mp4 17 \n B/v.mp4 -1\n\"C\"/it's.mp4 0";
        let entries = parse_list(text.as_bytes()).unwrap();
        let found: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.label)).collect();
        assert_eq!(found, [("A/v_1.mp4", -1), ("A b/my v.mp4", 17), (" B/v.mp4", -1), ("\"C\"/it's.mp4", 0)]);
        assert_eq!(parse_list(b"").unwrap(), []);
    }

    #[test]
    fn invalid_lines_are_reported() {
        use ListProblem::*;
        for (line, column, problem) in [
            (&b"A/v.mp4"[..], 8, NoLabel),
            (b"A/my v.mp4", 11, NoLabel),
            (b"A/v.mp4 x", 9, Label),
            (b"A/v.mp4 99999999999999999999", 9, Label),
            (b"A/v.mp4 -1\t2", 9, Label),
            (b"A/v.mp4\t-1", 11, NoLabel),
            (b"A/\xff.mp4 -1", 3, NotUtf8),
            (b"A/\xc3\xa9\xff.mp4 -1", 4, NotUtf8),
            (b"A/a\x1bb.mp4 -1", 4, Name(NameError::Control)),
            (b"A/v.mp4\r -1", 8, Name(NameError::Control)),
            (b"../v.mp4 -1", 1, Name(NameError::Shape)),
            (b"A/../v.mp4 -1", 1, Name(NameError::Shape)),
            (b"/etc/passwd -1", 1, Name(NameError::Shape)),
            (b" -1", 1, Name(NameError::Shape)),
            (b"X/v.mp4 5", 1, Duplicate(1)),
        ] {
            let error = parse_list(&[b"X/v.mp4 -1\n\n", line].concat()).unwrap_err();
            assert_eq!((error.line, error.column, &error.problem), (3, column, &problem), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
        let error = parse_list(b"A/\x1b[2J\xff.mp4 -1").unwrap_err().to_string();
        assert_eq!(error, "line 1, column 7: not UTF-8 text; save the list as UTF-8: A/\\u{1b}[2J\\xff.mp4 -1");
        assert!(parse_list(&[b'x'; 1 << 20]).unwrap_err().to_string().len() < 500);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(raw in proptest::collection::btree_set("[^/]{1,12}/[^/]{1,12}", 0..20), index: bool) {
            let names: Vec<_> = raw.iter().filter_map(|name| VideoName::new(name).ok()).collect();
            let style = if index { LabelStyle::Index } else { LabelStyle::MinusOne };
            let mut bytes = Vec::new();
            let written = entries(&names, style);
            write_lines(&mut bytes, &written).unwrap();
            prop_assert_eq!(parse_list(&bytes).unwrap(), written);
        }

        #[test]
        fn names_of_spaces_and_marks_are_read_back(raw in "[ \u{feff}\u{a0}a.]{1,4}/[ \u{feff}\u{2028}a.]{1,4}") {
            if let Ok(name) = VideoName::new(&raw) {
                let mut bytes = Vec::new();
                write_lines(&mut bytes, &entries(std::slice::from_ref(&name), LabelStyle::MinusOne)).unwrap();
                prop_assert_eq!(parse_list(&bytes).unwrap(), [ListEntry { name, label: -1 }]);
            }
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_list(&bytes);
        }

        #[test]
        fn a_changed_list_is_read_in_order_or_refused(
            changes in proptest::collection::vec((any::<bool>(), 0..80usize, any::<u8>()), 1..6),
        ) {
            let mut bytes = "\u{feff}A/v_1.mp4 -1\r\n\r\nA b/my v.mp4 17\nB/v_é.mp4 -1\n\"C\"/it's.mp4 0".as_bytes().to_vec();
            for (insert, at, byte) in changes {
                let at = at % bytes.len();
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            match parse_list(&bytes) {
                Ok(entries) => {
                    let mut again = Vec::new();
                    write_lines(&mut again, &entries).unwrap();
                    prop_assert_eq!(parse_list(&again).unwrap(), entries);
                }
                Err(error) => {
                    prop_assert!(error.line >= 1 && error.line <= bytes.iter().filter(|b| **b == b'\n').count() + 1);
                    prop_assert!(error.column >= 1 && error.column <= bytes.len() + 1);
                    prop_assert!(!error.to_string().contains(char::is_control));
                }
            }
        }
    }
}
