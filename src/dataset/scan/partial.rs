//! Files that downloaders leave while a download is not complete.

use std::path::Path;

/// Extensions of incomplete downloads, in lower case: of yt-dlp, aria2, browsers, BitTorrent clients and WinSCP.
const EXTENSIONS: [&str; 15] = [
    "part",
    "ytdl",
    "tmp",
    "temp",
    "partial",
    "aria2",
    "aria2__temp",
    "crdownload",
    "download",
    "opdownload",
    "unconfirmed",
    "filepart",
    "!ut",
    "!qb",
    "bc!",
];
/// Extensions of the files that a downloader keeps beside the file it writes, and removes at the end.
const BESIDE: [&str; 3] = ["aria2", "aria2__temp", "ytdl"];

/// Whether files with this extension, in lower case, are incomplete downloads.
pub(crate) fn is_partial_extension(extension: &str) -> bool {
    EXTENSIONS.contains(&extension)
}

/// Whether a file or folder with this name is an incomplete download.
pub(super) fn is_partial(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let extension = extension.to_ascii_lowercase();
    // yt-dlp's fragments: `v.mp4.part-Frag12`, `v.mp4-Frag12`.
    if is_partial_extension(&extension) || is_fragment(&extension) {
        return true;
    }
    // yt-dlp's streams before they are merged, `v.f137.mp4`, and the file that it converts into, `v.temp.mp4`.
    let Some((_, inner)) = stem.rsplit_once('.') else { return is_fragment(stem) };
    inner.eq_ignore_ascii_case("temp") || inner.strip_prefix('f').is_some_and(is_format_id) || is_fragment(stem)
}

/// `v-Frag12`.
fn is_fragment(text: &str) -> bool {
    text.rsplit_once('-')
        .and_then(|(_, last)| last.get(..4).zip(last.get(4..)))
        .is_some_and(|(word, number)| word.eq_ignore_ascii_case("frag") && is_number(number))
}

/// A format of YouTube, `137` or `251-drc`, or of a streaming protocol, `hls-1080p`. A single digit may belong to a title.
fn is_format_id(id: &str) -> bool {
    let (number, _) = id.split_once('-').unwrap_or((id, ""));
    (2..=4).contains(&number.len()) && is_number(number) || ["hls-", "dash-"].iter().any(|kind| id.starts_with(kind))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The path of the file that a downloader still writes, if `path` is the file that it keeps beside it.
pub(super) fn belongs_to(path: &Path) -> Option<&Path> {
    let (file, extension) = path.to_str()?.rsplit_once('.')?;
    BESIDE.iter().any(|beside| beside.eq_ignore_ascii_case(extension)).then(|| Path::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_downloaders_are_incomplete_and_titles_are_not() {
        for name in [
            "v_x.mp4.part",
            "v_x.f137.mp4.part",
            "v_x.mp4.part-Frag12",
            "v_x.mp4.part-Frag12.part",
            "v_x.f137.mp4",
            "v_x.f251.webm",
            "v_x.f251-drc.webm",
            "v_x.fhls-1080p.mp4",
            "v_x.temp.mp4",
            "v_x.mp4-Frag12",
            "v_x-Frag12.mp4",
            "v_x.mp4.ytdl",
            "v_x.mp4.aria2",
            "v_x.mp4.crdownload",
            "v_x.mp4.download",
            "v_x.mp4.PARTIAL",
            "v_x.tmp",
            "v_x.mp4.!qB",
        ] {
            assert!(is_partial(name), "{name}");
        }
        for name in [
            "v_x.mp4",
            "v_.f1.mp4",
            "v_x.final.mp4",
            "v_x.f.mp4",
            "v_f137.mp4",
            "temp.mp4",
            "v_x-Frag.mp4",
            "v_x.part1.mp4",
            "part",
            "v_x",
        ] {
            assert!(!is_partial(name), "{name}");
        }
        assert_eq!(belongs_to(Path::new("A/v.mp4.aria2")), Some(Path::new("A/v.mp4")));
        assert_eq!(belongs_to(Path::new("A/v.mp4.part")), None);
    }
}
