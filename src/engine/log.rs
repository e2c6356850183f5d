//! The log of an engine: `tracing` events as lines in files of bounded size, which clients show and people read.
//!
//! Writing never blocks: lines go to a thread, and lines that a full disk or queue cannot take are dropped. The rotating
//! file is our own because the crates for it (file-rotate, tracing-rolling-file, logroller) create missing parent folders,
//! which would write to the folder under an output disk that was unmounted.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender};

use reeldeck_common::clock;
use reeldeck_common::video::printable;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::protocol::words::Level;

/// A file that has grown to this many bytes is renamed.
const MAX_FILE_SIZE: u64 = 8 << 20;

/// Renamed files that are kept.
const OLD_FILES: u32 = 3;

/// Lines that may wait for the disk; more are dropped.
const MAX_PENDING_LINES: usize = 10_000;

/// Which events are logged, such as `info` or `warn,reeldeck::engine::worker=debug`.
const FILTER_VARIABLE: &str = "REELDECK_LOG";

/// Logs the events of this process to [`path`] from now on.
///
/// # Errors
/// When the thread that writes cannot be started.
pub(crate) fn start(private: &Path, name: &str) -> io::Result<()> {
    let wanted = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let filter = wanted.as_deref().map(str::parse::<Targets>).transpose();
    let wrong = filter.as_ref().err().map(ToString::to_string);
    let subscriber = subscriber(path(private, name), filter.ok().flatten().unwrap_or_else(default_filter))?;
    // Only the first engine of a process logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let Some(why) = wrong {
        tracing::warn!("{FILTER_VARIABLE} is ignored: {why}; it should be like `info` or `warn,reeldeck=debug`");
    }
    Ok(())
}

pub(crate) use reeldeck_common::layout::log_file as path;

fn default_filter() -> Targets {
    Targets::new().with_target("reeldeck", tracing::Level::DEBUG)
}

/// Writes the events that pass the filter to a file.
///
/// # Errors
/// When the thread that writes cannot be started.
pub(super) fn subscriber(path: PathBuf, filter: Targets) -> io::Result<impl tracing::Subscriber + Send + Sync> {
    let (lines, waiting) = mpsc::sync_channel::<String>(MAX_PENDING_LINES);
    reeldeck_common::thread::spawn("log", move || {
        let mut file = RotatingFile::new(path, MAX_FILE_SIZE);
        for line in waiting {
            let _ = file.write(&line);
        }
    })?;
    Ok(tracing_subscriber::registry().with(Lines(lines).with_filter(filter)))
}

/// Formats events as `2026-11-23 04:00:00.123 problem text`, and after a tab their fields as `name=value`.
struct Lines(SyncSender<String>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR | tracing::Level::WARN => Level::Problem,
            tracing::Level::INFO => Level::Info,
            _ => Level::Detail,
        };
        let time = clock::now().strftime("%F %T%.3f");
        let Text { message, fields } = text;
        let fields = if fields.is_empty() { fields } else { format!("\t{}", fields.trim_start()) };
        let _ = self.0.try_send(format!("{time} {:7} {}{fields}\n", level.word(), printable(&message)));
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// A file that is renamed when it is large, and opened again where it was removed.
struct RotatingFile {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_size: u64,
    /// The size at which the file is renamed.
    rotate_at: u64,
}

impl RotatingFile {
    fn new(path: PathBuf, max_size: u64) -> Self {
        Self { path, file: None, size: 0, max_size, rotate_at: max_size }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size > self.rotate_at {
            self.rotate();
        }
        if self.file.is_some() && !self.path.exists() {
            // The output folder was removed, or the file was.
            self.file = None;
        }
        if self.file.is_none() {
            self.open()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.size += line.len() as u64;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        // The folders above are not created: without them the output folder is gone, and nothing must take its place.
        if let Some(folder) = self.path.parent() {
            let _ = fs::create_dir(folder);
        }
        let file = reeldeck_common::open::append(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Renames the file. If that fails, the file keeps growing, and the next attempt follows after as many bytes.
    fn rotate(&mut self) {
        let old = |n: u32| self.path.with_extension(format!("log.{n}"));
        for n in (1..OLD_FILES).rev() {
            let _ = fs::rename(old(n), old(n + 1));
        }
        match fs::rename(&self.path, old(1)) {
            Ok(()) => (self.file, self.size, self.rotate_at) = (None, 0, self.max_size),
            Err(_) => self.rotate_at = self.size + self.max_size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is logged, when all of it is on the disk.
    fn logged(filter: Targets, last: &str, log: impl FnOnce()) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path(), "x");
        tracing::subscriber::with_default(subscriber(path.clone(), filter).unwrap(), log);
        loop {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if text.contains(last) {
                return text;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn events_are_lines_with_their_fields_after_a_tab() {
        let text = logged(default_filter(), "last", || {
            tracing::warn!(device = "cuda:0", job = 7, none = Option::<u64>::None, "it\nbroke");
            tracing::debug!("last");
        });
        let lines: Vec<&str> = text.lines().map(|line| &line["2026-11-23 04:00:00.123 ".len()..]).collect();
        assert_eq!(lines[0], format!("problem {}\tdevice=\"cuda:0\" job=7", printable("it\nbroke")));
        assert_eq!(lines[1..], ["detail  last"]);
    }

    #[test]
    fn a_filter_chooses_events_by_level_and_target() {
        let filter: Targets = "warn,reeldeck::engine::worker=debug".parse().unwrap();
        let text = logged(filter, "last", || {
            tracing::info!("not this");
            tracing::debug!(target: "reeldeck::engine::worker", "but this");
            tracing::warn!("last");
        });
        assert!(!text.contains("not this") && text.contains("but this"), "{text}");
    }

    #[test]
    fn old_files_are_renamed_and_the_oldest_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/x.log");
        let mut file = RotatingFile::new(path.clone(), 100);
        for i in 0..100 {
            file.write(&format!("line {i:03} ............\n")).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(dir.path().join("log"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["x.log", "x.log.1", "x.log.2", "x.log.3"]);
        assert!(fs::read_to_string(path).unwrap().contains("line 099"));
    }

    #[test]
    fn a_failed_rename_loses_no_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/x.log");
        // A file cannot replace a folder.
        for n in 1..=OLD_FILES {
            fs::create_dir_all(path.with_extension(format!("log.{n}")).join("folder")).unwrap();
        }
        let mut file = RotatingFile::new(path.clone(), 100);
        for i in 0..100 {
            file.write(&format!("line {i:03} ............\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 100);
        fs::remove_dir_all(path.with_extension("log.1")).unwrap();
        let more = (0..10).find(|_| {
            file.write("one more line\n").unwrap();
            path.with_extension("log.1").is_file()
        });
        assert!(more.is_some(), "it is rotated when it can be");
        assert!(fs::read_to_string(path.with_extension("log.1")).unwrap().starts_with("line 000"));
    }

    #[test]
    fn nothing_is_created_where_the_output_folder_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::new(dir.path().join("out/.reeldeck/log/x.log"), 100);
        assert!(file.write("line\n").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
