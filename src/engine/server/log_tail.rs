//! Reads the last lines of the log for clients.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use reeldeck_common::open;

use crate::protocol::LogLine;
use crate::protocol::words::Level;

/// How many bytes are read from the end of the file.
const MAX_BYTES: u64 = 1 << 18;

/// The last lines of the log, oldest first. If the current file has too few, the previous one is read too.
pub(super) fn tail(path: &Path, len: usize) -> Vec<LogLine> {
    let mut lines = last_lines(path, len);
    if lines.len() < len {
        let mut earlier = last_lines(&path.with_extension("log.1"), len - lines.len());
        earlier.append(&mut lines);
        lines = earlier;
    }
    lines
}

fn last_lines(path: &Path, len: usize) -> Vec<LogLine> {
    // A log that does not exist yet has no lines.
    let text = end_of(path).unwrap_or_default();
    let lines: Vec<LogLine> = text.lines().filter_map(parse).collect();
    let surplus = lines.len().saturating_sub(len);
    lines.into_iter().skip(surplus).collect()
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = open::regular(path)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(MAX_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![];
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is most likely incomplete.
    Ok(if from > 0 { text.split_once('\n').map_or("", |(_, rest)| rest).to_owned() } else { text.into_owned() })
}

/// `2026-11-23 04:00:00.123 problem what happened`, and after a tab its fields, which are for readers of the file.
fn parse(line: &str) -> Option<LogLine> {
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let (word, text) = rest.split_once(' ')?;
    let text = text.split_once('\t').map_or(text, |(text, _)| text);
    let level = [Level::Detail, Level::Info, Level::Problem].into_iter().find(|level| level.word() == word)?;
    Some(LogLine { time: format!("{date}T{time}Z"), level, text: text.trim_start().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::log;

    #[test]
    fn what_the_log_writes_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = log::path(dir.path(), "x");
        let subscriber = log::subscriber(path.clone(), "debug".parse().unwrap()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for i in 0..50 {
                match i % 2 {
                    0 => tracing::info!("line {i} of it"),
                    _ => tracing::warn!(device = "cpu", "line {i} of it"),
                }
            }
        });
        while tail(&path, 100).len() < 50 {
            std::thread::yield_now();
        }
        let last = tail(&path, 2);
        assert_eq!((last[0].text.as_str(), last[1].text.as_str()), ("line 48 of it", "line 49 of it"));
        assert_eq!((last[0].level, last[1].level), (Level::Info, Level::Problem));
        last[0].time.parse::<jiff::Timestamp>().unwrap();
        std::fs::rename(&path, dir.path().join("log/x.log.1")).unwrap();
        std::fs::write(&path, "nonsense\n2026-11-23 04:00:00.123 detail  new\n").unwrap();
        let texts: Vec<String> = tail(&path, 3).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["line 48 of it", "line 49 of it", "new"]);
        assert!(tail(&dir.path().join("none"), 5).is_empty());
    }

    #[test]
    fn only_the_end_of_a_large_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let line = |i: usize| format!("2026-11-23 04:00:00.123 info    line {i:06} {}\n", "x".repeat(100));
        std::fs::write(&path, (0..20_000).map(line).collect::<String>()).unwrap();
        let lines = tail(&path, 100_000);
        assert!(lines.len() < 2_500 && lines.last().unwrap().text.starts_with("line 019999"));
    }
}
