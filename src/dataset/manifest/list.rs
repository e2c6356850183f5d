//! A plain list as a manifest: one video per line, as `id` or as `Class/v_id.mp4 -1`, where the class folder and the label may
//! be left out. Both `id` and `v_id.mp4` may be followed by `,class`.

use std::io::{BufRead, Read};

use reeldeck_common::video::{NameError, VideoName};

use super::guard::Place;
use super::names::{check_id, check_label};
use super::{Entry, Problem, Sink, id_of};
use crate::dataset::scan::EXTENSIONS;
use crate::dataset::shown_bytes;

/// Maximum length of a line, in bytes.
const MAX_LEN: u64 = 4096;

/// Passes every video to `sink`, in the list's order.
pub(super) fn read(mut reader: impl BufRead, prefix: &str, sink: &mut Sink<'_>) -> Result<(), (Place, Problem)> {
    let mut bytes = vec![];
    for line in 1.. {
        bytes.clear();
        let start = Place { line, column: 1 };
        let read = reader.by_ref().take(MAX_LEN + 1).read_until(b'\n', &mut bytes);
        if read.map_err(|error| (start, Problem::Io(error)))? == 0 {
            break;
        }
        let text = bytes.trim_ascii_end();
        let failed = |at: usize, why: String| {
            let column = 1 + text.get(..at).unwrap_or(text).iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            let text = shown_bytes(text.get(..100).unwrap_or(text));
            (Place { line, column: column as u32 }, Problem::Content(format!("{why}: {text}")))
        };
        if bytes.len() as u64 > MAX_LEN {
            return Err(failed(text.len(), "the line is longer than 4096 bytes; is this a list of videos?".into()));
        }
        if text.is_empty() {
            continue;
        }
        let utf8 = |error: std::str::Utf8Error| failed(error.valid_up_to(), "not UTF-8 text; save it as UTF-8".into());
        let (id, class) =
            parse(std::str::from_utf8(text).map_err(utf8)?, prefix).map_err(|(at, why)| failed(at, why))?;
        let labels = match class {
            Some(class) => vec![sink.labels.take(&class).map_err(|why| (start, Problem::Content(why)))?],
            None => vec![],
        };
        let (duration_s, split, segments, url, text) = (None, None, vec![], None, String::new());
        let entry = Entry { id: &id, place: start, duration_s, split, labels, segments, url, text };
        (sink.take)(entry, sink.labels).map_err(|problem| (start, problem))?;
    }
    Ok(())
}

/// The id and the class of a line. An error has its byte offset.
fn parse(line: &str, prefix: &str) -> Result<(String, Option<String>), (usize, String)> {
    // An id has no white space, so what has a label is a file.
    let has_label = line.rsplit_once(' ').is_some_and(|(_, label)| label.parse::<i64>().is_ok());
    let (id, class) = if line.contains('/') || has_label || is_file(line) {
        file(line, prefix).map_err(|why| (0, why))?
    } else if let Some((id, class)) = line.split_once(',') {
        let class = class.trim_ascii();
        check_label(class).map_err(|error| (id.len() + 1, error.to_string()))?;
        let id = if is_file(id) { id_in(id, prefix).map_err(|why| (0, why))? } else { id };
        (id.to_owned(), Some(class.to_owned()))
    } else if let Some(at) = line.find(char::is_whitespace) {
        return Err((at, "an id, `id,class` or `Class/file -1` is expected, but this is white space".into()));
    } else {
        (line.to_owned(), None)
    };
    check_id(&id).map_err(|error| (0, error.to_string()))?;
    Ok((id, class))
}

/// Whether this is the name of a file, and not an id.
fn is_file(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// The id in the name of a file.
fn id_in<'a>(file: &'a str, prefix: &str) -> Result<&'a str, String> {
    id_of(file, prefix)
        .ok_or_else(|| format!("the file's name does not begin with {prefix:?}; see `[manifest] prefix`"))
}

/// A video's name such as `Class/v_id.mp4`, optionally followed by a label.
fn file(line: &str, prefix: &str) -> Result<(String, Option<String>), String> {
    let name = match line.rsplit_once(' ') {
        Some((name, label)) if label.parse::<i64>().is_ok() => name,
        _ => line,
    };
    let name = VideoName::new(name).map_err(|error| match error {
        NameError::Shape => "the video's name is not a path such as Class/file".to_owned(),
        other => other.to_string(),
    })?;
    let id = id_in(name.file(), prefix)?;
    let class = Some(name.class()).filter(|class| !class.is_empty());
    class.map_or(Ok(()), check_label).map_err(|error| error.to_string())?;
    Ok((id.to_owned(), class.map(str::to_owned)))
}
