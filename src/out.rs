//! Writes to the standard streams. Text for people is escaped here, so that nothing that comes from a file controls the
//! terminal.
//!
//! A closed stream is ignored: the macros of the standard library would panic, and a run must continue when the reader of its
//! output closes the pipe. Any other failure of standard output, such as a full disk, is kept for the end of the program:
//! [`failure`].

use std::fmt::Arguments;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use reeldeck_common::video::printable_lines;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Seconds since 1970 in which this program may run: the years 2020 to 2099.
const PLAUSIBLE: Range<i64> = 1_577_836_800..4_102_444_800;

/// The seconds of a century.
const CENTURY: f64 = 3_155_760_000.0;

/// The first failure of standard output.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// A number with its noun: `1 video`, `2 videos`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A rate: `2.3 clips/s`, or `12.0 clips/h` below 0.1 a second.
pub(crate) fn rate(per_second: f64, unit: &str) -> String {
    match per_second {
        few if few > 0.0 && few < 0.1 => format!("{:.1} {unit}/h", few * 3600.0),
        many => format!("{many:.1} {unit}/s"),
    }
}

/// A duration, in the only form in which people read one: `12 ms`, `2.9 s`, `31 s`, `3 m 5 s`, `2 h 14 m`, `3 d 4 h`. A
/// position in a video has another form, `2:31`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".into();
    }
    if seconds < 0.9995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    // Only a wrong clock gives more.
    if seconds > CENTURY {
        return "over 100 years".into();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} m {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} m", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// A time, for people. The clock of a machine may be wrong by thousands of years.
pub(crate) fn time(at: Timestamp) -> String {
    let text = at.strftime("%F %T UTC");
    if PLAUSIBLE.contains(&at.as_second()) { text.to_string() } else { format!("{text} (by a clock that was wrong)") }
}

/// The first `most` names, one per line, and how many more of the `all` names there are.
pub(crate) fn first(names: &[impl ToString], all: usize, most: usize) -> String {
    let mut lines: Vec<String> = names.iter().take(most).map(|name| format!("  {}", name.to_string())).collect();
    if all > lines.len() {
        lines.push(format!("  and {} more", all - lines.len()));
    }
    lines.join("\n")
}

/// Writes to standard output.
pub(crate) fn stdout(text: Arguments<'_>) {
    // The failure is reported at the end of the program.
    let _ = raw(printable_lines(&text.to_string()).as_bytes());
}

/// Writes lines for programs to standard output, unchanged. Returns false when they cannot be written: further lines are of
/// no use then.
pub(crate) fn raw(text: &[u8]) -> bool {
    let mut out = io::stdout().lock();
    let written = out.write_all(text).and_then(|()| out.flush());
    drop(out);
    let is_written = written.is_ok();
    note_failure(written);
    is_written
}

/// Keeps an error of standard output for the end of the program.
pub(crate) fn note_failure(written: io::Result<()>) {
    if let Err(error) = written
        && is_loss(&error)
    {
        FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Whether a reader misses the output. A reader may close a pipe early, as `head` does, and a terminal may hang up: then there
/// is none.
fn is_loss(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::BrokenPipe && is_read(io::stdout())
}

/// The first failure of [`stdout`], [`raw`] and [`note_failure`] while standard output had a reader.
pub(crate) fn failure() -> Option<io::Error> {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes a complete document to standard output. A reader that closes the pipe early, such as `head`, is no error.
///
/// # Errors
/// When it cannot be written, for example to a file on a full disk.
pub(crate) fn document(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Whether a stream has a reader. False for a pipe whose other end is closed, and for a terminal that has hung up.
pub(crate) fn is_read(stream: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::ERR | PollFlags::HUP;
    poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().intersects(gone)
}

/// Writes to standard error.
pub(crate) fn stderr(text: Arguments<'_>) {
    // One write for the whole text, so that lines of several processes do not mix.
    let _ = io::stderr().lock().write_all(printable_lines(&text.to_string()).as_bytes());
}

/// Writes a line to standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes a line to standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::out::stderr(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {errln, outln};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_rates_are_shown_by_the_hour() {
        let shown = [0.0, 1.0 / 300.0, 0.1, 812.44].map(|per_second| rate(per_second, "clips"));
        assert_eq!(shown, ["0.0 clips/s", "12.0 clips/h", "0.1 clips/s", "812.4 clips/s"]);
    }

    #[test]
    fn durations_have_one_or_two_units() {
        let durations = [0.012, 0.9996, 2.94, 30.6, 59.7, 185.0, 8040.0, 273_600.0, f64::NAN].map(duration);
        assert_eq!(durations, ["12 ms", "1.0 s", "2.9 s", "31 s", "1 m 0 s", "3 m 5 s", "2 h 14 m", "3 d 4 h", "–"]);
        assert_eq!([3.0e9, 2.5e11, 1e300].map(duration), ["34722 d 5 h", "over 100 years", "over 100 years"]);
    }

    #[test]
    fn a_time_of_a_wrong_clock_is_said_to_be_wrong() {
        let shown = |text: &str| time(text.parse().unwrap());
        assert_eq!(shown("2026-12-01T03:04:05Z"), "2026-12-01 03:04:05 UTC");
        for text in ["1963-01-02T03:04:05Z", "1970-01-01T00:00:00Z", "2150-01-01T00:00:00Z", "9999-12-30T00:00:00Z"] {
            assert!(shown(text).ends_with(" UTC (by a clock that was wrong)"), "{}", shown(text));
        }
    }

    #[test]
    fn a_closed_pipe_has_no_reader() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(is_read(&writer));
        drop(reader);
        assert!(!is_read(&writer));
        assert!(is_read(tempfile::tempfile().unwrap()));
    }
}
