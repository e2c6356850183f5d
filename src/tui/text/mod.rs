//! Text in terminal columns: width, truncation, alignment, wrapping, and safe display of names.

use std::borrow::Cow;

use reeldeck_common::video::printable;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

mod units;

pub(super) use crate::out::duration;
pub(super) use units::{about, bytes, bytes_of, clock, count, number, percent, plural, rate, share};

/// Shown for an unknown value.
pub(super) const UNKNOWN: &str = "–";

/// The number of columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    match is_plain(text) {
        true => text.len(),
        false => text.graphemes(true).map(columns).sum(),
    }
}

/// Fast path for the most common text.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// The columns of a grapheme, at most 2.
fn columns(grapheme: &str) -> usize {
    UnicodeWidthStr::width(grapheme).min(2)
}

/// Escapes what would disturb a line: what [`printable`] escapes, and a leading combining mark, which would join the character
/// before it.
pub(super) fn sanitized(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let shown = printable(text);
    match shown.chars().next().filter(|first| combines(*first)) {
        Some(first) => {
            let rest = shown.get(first.len_utf8()..).unwrap_or_default();
            Cow::Owned(format!("{}{rest}", first.escape_unicode()))
        }
        None => Cow::Owned(shown),
    }
}

/// The character joins the one before it.
fn combines(c: char) -> bool {
    format!(" {c}").graphemes(true).count() == 1
}

/// `host/…/file` for a long URL; any other text as it is.
pub(super) fn short_address(text: &str) -> String {
    let short = text.split_once("://").and_then(|(_, rest)| {
        let (host, path) = rest.split_once('/')?;
        let (_, name) = path.rsplit_once('/')?;
        Some(format!("{host}/…/{name}"))
    });
    short.unwrap_or_else(|| text.to_owned())
}

/// The text without a full stop at its end, to be continued or to end a sentence.
pub(super) fn without_stop(text: &str) -> &str {
    let text = text.trim_end();
    text.strip_suffix('.').filter(|text| !text.ends_with('.')).unwrap_or(text)
}

/// Shortens the text to `room` columns, with `ellipsis` at the end.
pub(super) fn truncate<'a>(text: &'a str, room: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let mark = width(ellipsis);
    if mark > room {
        return Cow::Owned(ellipsis.graphemes(true).take(room).collect());
    }
    let mut out = prefix(text, room - mark).0.to_owned();
    out.push_str(ellipsis);
    Cow::Owned(out)
}

/// Shortens the text to `room` columns at its start. Paths use it, because their end says most.
pub(super) fn truncate_start<'a>(text: &'a str, room: usize, ellipsis: &str) -> Cow<'a, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let mark = width(ellipsis);
    if mark > room {
        return Cow::Owned(ellipsis.graphemes(true).take(room).collect());
    }
    let mut left = room - mark;
    let mut from = text.len();
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        match left.checked_sub(columns(grapheme)) {
            Some(rest) => (left, from) = (rest, at),
            None => break,
        }
    }
    Cow::Owned(format!("{ellipsis}{}", text.get(from..).unwrap_or_default()))
}

/// The longest prefix that fits, with its width.
fn prefix(text: &str, room: usize) -> (&str, usize) {
    let (mut end, mut taken) = (0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        let wide = columns(grapheme);
        if taken + wide > room {
            break;
        }
        taken += wide;
        end = at + grapheme.len();
    }
    (text.get(..end).unwrap_or_default(), taken)
}

/// Truncates or pads to exactly `room` columns.
pub(super) fn align_left(text: &str, room: usize, ellipsis: &str) -> String {
    let mut out = truncate(text, room, ellipsis).into_owned();
    out.extend(std::iter::repeat_n(' ', room.saturating_sub(width(&out))));
    out
}

/// As [`align_left`], with the padding at the start.
pub(super) fn align_right(text: &str, room: usize, ellipsis: &str) -> String {
    let clipped = truncate(text, room, ellipsis);
    let mut out = " ".repeat(room.saturating_sub(width(&clipped)));
    out.push_str(&clipped);
    out
}

/// Breaks the text into lines of at most `room` columns, at spaces if possible, or else after a slash.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    if room == 0 {
        return vec![];
    }
    let (mut lines, mut line, mut taken) = (vec![], String::new(), 0);
    for word in text.split(' ') {
        let wide = width(word);
        if taken > 0 && taken + 1 + wide > room {
            lines.push(std::mem::take(&mut line));
            taken = 0;
        } else if taken > 0 || (line.is_empty() && word.is_empty() && !lines.is_empty()) {
            line.push(' ');
            taken += 1;
        }
        let mut word = word;
        while taken + width(word) > room {
            // A character wider than the whole line is left out; otherwise the loop would not end.
            let (mut head, mut head_width) = prefix(word, room - taken);
            if let Some(at) = head.rfind('/').filter(|at| *at > 0) {
                head = head.get(..=at).unwrap_or(head);
                head_width = width(head);
            }
            let at = if head.is_empty() && taken == 0 {
                word.graphemes(true).next().map_or(word.len(), str::len)
            } else {
                head.len()
            };
            line.push_str(head);
            taken += head_width;
            word = word.get(at..).unwrap_or_default();
            if taken > 0 {
                lines.push(std::mem::take(&mut line));
                taken = 0;
            }
        }
        line.push_str(word);
        taken += width(word);
    }
    lines.push(line);
    lines
}

/// Replaces characters by ASCII look-alikes, or by one question mark per column.
pub(super) fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        match grapheme.is_ascii() {
            true => out.push_str(grapheme),
            false => push_ascii(grapheme, &mut out),
        }
    }
    Cow::Owned(out)
}

/// Keeps the number of columns.
fn push_ascii(grapheme: &str, out: &mut String) {
    let mut chars = grapheme.chars();
    let like = match (chars.next(), chars.next()) {
        (Some(c), None) => ascii_lookalike(c),
        _ => None,
    };
    match like {
        Some(like) => out.push(like),
        None => out.extend(std::iter::repeat_n('?', columns(grapheme))),
    }
}

fn ascii_lookalike(c: char) -> Option<char> {
    Some(match c {
        '–' | '—' | '─' | '━' | '═' | '╌' | '┄' | '−' => '-',
        '│' | '┃' | '║' | '╎' | '┆' | '▏' | '▎' => '|',
        '╭' | '╮' | '╰' | '╯' | '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' | '┏' | '┓' | '┗' | '┛' | '╔'
        | '╗' | '╚' | '╝' => '+',
        '·' | '•' | '…' => '.',
        '×' => 'x',
        '≈' => '~',
        '←' => '<',
        '→' | '▶' | '▸' => '>',
        '↑' | '▴' => '^',
        '↓' | '▾' | '▼' => 'v',
        '●' => '*',
        '█' | '▇' | '▆' | '▓' => '#',
        '▅' | '▄' | '▃' | '▒' => '=',
        '▂' | '▁' | '░' => '_',
        '°' => '\'',
        'µ' | 'μ' => 'u',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        '\u{a0}' => ' ',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_text_is_truncated_with_an_ellipsis() {
        assert_eq!(truncate("abcdef", 6, "…"), "abcdef");
        assert_eq!(truncate("abcdef", 5, "…"), "abcd…");
        assert_eq!(truncate("abcdef", 5, "..."), "ab...");
        assert_eq!(truncate("abcdef", 2, "..."), "..");
        assert_eq!(truncate("abcdef", 0, "…"), "");
        assert_eq!(truncate("日本語", 5, "…"), "日本…");
        assert_eq!(truncate("日本語", 4, "…"), "日…");
        assert_eq!(align_left("日本語", 4, "…"), "日… ");
        assert_eq!(truncate_start("/data/hacs/v.mp4", 10, "…"), "…acs/v.mp4");
        assert_eq!(align_right("64 %", 6, "…"), "  64 %");
        assert_eq!(align_left("e\u{301}a", 3, "…"), "e\u{301}a ");
    }

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        assert_eq!(sanitized("plain name"), "plain name");
        assert_eq!(sanitized("a\u{1b}[2J\tb"), "a\\u{1b}[2J\\tb");
        assert_eq!(sanitized("a\u{200b}\u{202e}\u{feff}"), "a\\u{200b}\\u{202e}\\u{feff}");
        assert_eq!(sanitized("Zürich 日本"), "Zürich 日本");
    }

    #[test]
    fn lines_break_at_spaces_if_possible() {
        assert_eq!(wrap("failed to open the file", 10), ["failed to", "open the", "file"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("in /mnt/big/hacs/clips", 12), ["in", "/mnt/big/", "hacs/clips"]);
        assert_eq!([without_stop("it ended. "), without_stop("and so on ...")], ["it ended", "and so on ..."]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("日本", 1), [""]);
        assert!(wrap("a", 0).is_empty());
    }

    #[test]
    fn a_leading_combining_mark_is_escaped() {
        assert_eq!(sanitized("\u{301}a"), "\\u{301}a");
        assert_eq!(sanitized("a\u{301}"), "a\u{301}");
        let text = sanitized("\u{a9ba}\u{1b3e}");
        assert_eq!(width(&align_right(&text, 12, "…")), 12, "{text}");
    }

    #[test]
    fn ascii_keeps_the_width() {
        assert_eq!(to_ascii("│ 2:31 · 1280×720 … 日本 é"), "| 2:31 . 1280x720 . ???? ?");
    }

    proptest! {
        #[test]
        fn text_never_exceeds_its_width(text: String, room in 0..40_usize) {
            let text = sanitized(&text);
            prop_assert!(!text.chars().any(char::is_control));
            for ellipsis in ["…", "..."] {
                prop_assert!(width(&truncate(&text, room, ellipsis)) <= room);
                prop_assert!(width(&truncate_start(&text, room, ellipsis)) <= room);
                prop_assert_eq!(width(&align_left(&text, room, ellipsis)), room);
                prop_assert_eq!(width(&align_right(&text, room, ellipsis)), room);
            }
            let narrow = to_ascii(&text);
            prop_assert!(narrow.is_ascii());
            prop_assert_eq!(narrow.len(), width(&text));
            let lines = wrap(&text, room);
            prop_assert!(lines.iter().all(|line| width(line) <= room));
            if room > 1 {
                let bare = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
                prop_assert_eq!(bare(&lines.concat()), bare(&text));
            }
        }
    }
}
