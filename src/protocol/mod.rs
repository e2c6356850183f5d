//! The messages between clients and the engine. Each is one JSON object on one line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) mod counts;
pub mod details;
pub(crate) mod engine_report;
pub mod event;
pub(crate) mod holder;
pub(crate) mod last_run;
pub mod row;
pub mod snapshot;
pub(crate) mod summary;
pub(crate) mod words;

use details::Details;
use event::Line;
use row::{ClassRow, Filter, Row, Select, Sort};
use snapshot::{History, Snapshot};
use words::Level;

/// The version of the protocol. It increases when an older program would misread a message.
pub const VERSION: u32 = 4;

/// The longest message to the engine, in bytes. A longer line is answered with an error: as many names as `xargs` passes fit.
pub(crate) const MAX_LINE: usize = 1 << 18;

/// The largest number of rows in one answer.
pub(crate) const MAX_ROWS: usize = 1_000;

/// A message from a client. Each one except the first has an `id`, which its answer repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToEngine {
    /// The first message, sent once.
    Hello {
        /// [`VERSION`] of the client.
        version: u32,
        /// The name and version of the client.
        tool: String,
    },
    /// Asks for the state of the run. Answered by [`FromEngine::Snapshot`].
    Snapshot {
        /// Repeated in the answer.
        id: u64,
    },
    /// Asks for the classes with their counts. Answered by [`FromEngine::Classes`].
    Classes {
        /// Repeated in the answer.
        id: u64,
    },
    /// Asks for a window of the table of videos. Answered by [`FromEngine::Rows`].
    Query {
        /// Repeated in the answer.
        id: u64,
        /// The videos to include.
        #[serde(default)]
        filter: Filter,
        /// Their order.
        #[serde(default)]
        sort: Sort,
        /// The number of rows to skip.
        #[serde(default)]
        offset: usize,
        /// The largest number of rows to return, up to [`MAX_ROWS`].
        len: usize,
    },
    /// Asks for everything about one video. Answered by [`FromEngine::Details`], or by an error if there is no such video.
    Details {
        /// Repeated in the answer.
        id: u64,
        /// `Class/file`, as in its row.
        video: String,
    },
    /// Asks for the position of a video in a view, so that a client can follow it. Answered by [`FromEngine::Place`].
    Locate {
        /// Repeated in the answer.
        id: u64,
        /// `Class/file`, as in its row.
        video: String,
        /// The videos to include.
        #[serde(default)]
        filter: Filter,
        /// Their order.
        #[serde(default)]
        sort: Sort,
    },
    /// Asks for the throughput so far. Answered by [`FromEngine::History`].
    History {
        /// Repeated in the answer.
        id: u64,
    },
    /// Asks for the last lines of the log. Answered by [`FromEngine::Log`].
    Log {
        /// Repeated in the answer.
        id: u64,
        /// The largest number of lines, up to [`MAX_ROWS`].
        len: usize,
    },
    /// Subscribes to events, and to a snapshot whenever it has changed, at most four times a second.
    Subscribe {
        /// Repeated in the answer.
        id: u64,
    },
    /// Gives an order. Answered by [`FromEngine::Ok`] or [`FromEngine::Error`].
    Command {
        /// Repeated in the answer.
        id: u64,
        /// The content.
        command: Command,
    },
}

/// An order to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Suspend the workers.
    Pause,
    /// Resume the workers.
    Resume,
    /// End the run.
    Stop {
        /// Drop the videos in progress instead of finishing them.
        now: bool,
    },
    /// Retry failed videos: all of them, or those that one of the patterns matches.
    Retry {
        /// `*` matches any text, `?` any character and `[ab]` one of these characters of `Class/file`, of the file name, or of its
        /// stem. An exact name matches itself, whatever its characters.
        patterns: Vec<String>,
    },
    /// Start a run over the queued videos.
    Start,
    /// Extract these again, whatever their result. Has no effect on videos that are in progress, queued, missing or excluded.
    Redo {
        /// The videos.
        select: Select,
    },
    /// Exclude these from this run and all later ones, or include them again.
    Exclude {
        /// The videos.
        select: Select,
        /// Include them again instead.
        #[serde(default)]
        undo: bool,
    },
    /// Scan the dataset folder now.
    Rescan,
    /// Check all files. A deep check includes files that passed a quick one.
    Check {
        /// Decode some frames of each file.
        deep: bool,
    },
    /// Write `hacs_data.txt`.
    WriteList,
    /// Start an export. The answer arrives when it has begun; an event reports its result.
    Export {
        /// The names that `reeldeck export --format` accepts; `pkl` if empty.
        formats: Vec<String>,
    },
    /// Write the lists of missing videos.
    WriteMissing,
    /// End the engine if no run is active.
    Leave,
}

/// A message from the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "one message at a time is in memory")]
pub enum FromEngine {
    /// The answer to a valid hello.
    Welcome(Welcome),
    /// The answer to any other first message. The connection ends.
    Refused {
        /// The reason and the next step, for people.
        reason: String,
    },
    /// The state of the run.
    Snapshot {
        /// The `id` of the request; none in a subscription.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        id: Option<u64>,
        /// The content.
        snapshot: Snapshot,
    },
    /// The classes, sorted by name.
    Classes {
        /// The `id` of the request.
        id: u64,
        /// The content.
        classes: Vec<ClassRow>,
    },
    /// A window of the table.
    Rows {
        /// The `id` of the request.
        id: u64,
        /// The revision of the table, which increases with every change of a video.
        revision: u64,
        /// The number of videos that pass the filter.
        total: usize,
        /// The rows of the window.
        rows: Vec<Row>,
    },
    /// Everything about one video.
    Details {
        /// The `id` of the request.
        id: u64,
        /// The content.
        details: Box<Details>,
    },
    /// The position of a video in a view.
    Place {
        /// The `id` of the request.
        id: u64,
        /// Its offset; none if it does not pass the filter.
        offset: Option<usize>,
        /// The number of videos that pass the filter.
        total: usize,
    },
    /// Throughput so far.
    History {
        /// The `id` of the request.
        id: u64,
        /// The content.
        history: History,
    },
    /// The end of the log.
    Log {
        /// The `id` of the request.
        id: u64,
        /// Its lines, oldest first.
        lines: Vec<LogLine>,
    },
    /// A command was carried out.
    Ok {
        /// The `id` of the command.
        id: u64,
        /// The result, for people.
        message: String,
    },
    /// A request was not understood or is not possible.
    Error {
        /// The `id` of the request.
        id: u64,
        /// The reason, for people.
        message: String,
    },
    /// An event of the run.
    Event {
        /// The content.
        line: Line,
    },
    /// The client read too slowly and has missed events. It should ask again for everything that it shows.
    Resync {
        /// The present revision of the table.
        revision: u64,
    },
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The time, in RFC 3339.
    pub time: String,
    /// The severity.
    pub level: Level,
    /// The content.
    pub text: String,
}

/// What the engine says about itself when a client connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the engine.
    pub version: u32,
    /// Name and version of the program.
    pub tool: String,
    /// The process id of the engine.
    pub pid: u32,
    /// The dataset folder.
    pub root: PathBuf,
    /// The output folder.
    pub out: PathBuf,
    /// The feature set.
    pub set: String,
    /// The name of the dataset folder, for a title.
    #[serde(default)]
    pub dataset: String,
    /// The checkpoint's name; empty without one.
    #[serde(default)]
    pub checkpoint: String,
    /// Seeded weights: the features are meaningless.
    #[serde(default)]
    pub synthetic_weights: bool,
    /// The manifest, if one is configured.
    #[serde(default)]
    pub manifest: Option<PathBuf>,
    /// A digest of the settings that decide on a run; 0 if unknown.
    #[serde(default)]
    pub settings: u64,
    /// A run that finishes exports `result.pkl`.
    #[serde(default)]
    pub exports_result: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn abbreviated_questions_are_accepted() {
        let query: ToEngine = serde_json::from_str(r#"{"type":"query","id":3,"len":50}"#).unwrap();
        let asked = ToEngine::Query { id: 3, filter: Filter::default(), sort: Sort::default(), offset: 0, len: 50 };
        assert_eq!(query, asked);
        let retry = r#"{"type":"command","id":1,"command":{"name":"retry","patterns":["A/*"]}}"#;
        assert!(serde_json::from_str::<ToEngine>(retry).is_ok());
        assert!(serde_json::from_str::<ToEngine>(r#"{"type":"command","id":1,"command":{"name":"rm"}}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = serde_json::from_slice::<ToEngine>(&bytes);
            let _ = serde_json::from_slice::<FromEngine>(&bytes);
        }
    }
}
