//! What clients and the engine say to each other over its socket: one JSON object a line, in both directions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub mod details;
pub mod event;
pub mod holder;
pub mod row;
pub mod snapshot;
pub mod words;

use details::Details;
use event::Line;
use row::{ClassRow, Filter, Row, Select, Sort};
use snapshot::{History, Snapshot};
use words::Level;

/// Raised whenever a message changes in a way that an older side would misread.
pub const VERSION: u32 = 2;

/// No message to the engine is longer; a longer line ends the connection.
pub const MAX_LINE: usize = 1 << 16;

/// No answer holds more rows than this; whoever wants more asks again.
pub const MAX_ROWS: usize = 1_000;

/// From a client. Every message but the first bears a number that comes back in its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToEngine {
    /// The first message, once.
    Hello {
        /// [`VERSION`] of the client.
        version: u32,
        /// The client in words, for the log.
        tool: String,
    },
    /// Where the run stands. Answered by [`FromEngine::Snapshot`].
    Snapshot {
        /// Comes back.
        id: u64,
    },
    /// The classes with their counts. Answered by [`FromEngine::Classes`].
    Classes {
        /// Comes back.
        id: u64,
    },
    /// A window of the table of videos. Answered by [`FromEngine::Rows`].
    Query {
        /// Comes back.
        id: u64,
        /// Which videos.
        #[serde(default)]
        filter: Filter,
        /// In which order.
        #[serde(default)]
        sort: Sort,
        /// How many to leave out at the beginning.
        #[serde(default)]
        offset: usize,
        /// How many to give at most, up to [`MAX_ROWS`].
        len: usize,
    },
    /// All about one video. Answered by [`FromEngine::Details`], or an error where there is none of this name.
    Details {
        /// Comes back.
        id: u64,
        /// `Class/file`, as rows name it.
        video: String,
    },
    /// Where a video is in a view, so that a client can keep its place. Answered by [`FromEngine::Place`].
    Locate {
        /// Comes back.
        id: u64,
        /// `Class/file`, as rows name it.
        video: String,
        /// Which videos.
        #[serde(default)]
        filter: Filter,
        /// In which order.
        #[serde(default)]
        sort: Sort,
    },
    /// Throughput so far. Answered by [`FromEngine::History`].
    History {
        /// Comes back.
        id: u64,
    },
    /// The last lines of the log. Answered by [`FromEngine::Log`].
    Log {
        /// Comes back.
        id: u64,
        /// How many at most, up to [`MAX_ROWS`].
        len: usize,
    },
    /// From now on send events, and a snapshot whenever it has changed, at most four times a second.
    Subscribe {
        /// Comes back.
        id: u64,
    },
    /// Do something. Answered by [`FromEngine::Ok`] or [`FromEngine::Error`].
    Command {
        /// Comes back.
        id: u64,
        /// What.
        command: Command,
    },
}

/// What a client may ask the engine to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Stop the workers where they are.
    Pause,
    /// Let them go on.
    Resume,
    /// End the run.
    Stop {
        /// Drop what is in hand instead of finishing it.
        now: bool,
    },
    /// Try videos again that have failed: all of them, or those that one of the patterns matches.
    Retry {
        /// `*` and `?` match any text and any character of `Class/file`, of the file name, or of it without extension.
        patterns: Vec<String>,
    },
    /// Begin to hand out what is to be done.
    Start,
    /// Extract these again, whatever came of them; those in hand, waiting, missing or excluded are left as they are.
    Redo {
        /// Which.
        select: Select,
    },
    /// Leave these alone, in this run and all later ones, or no longer.
    Exclude {
        /// Which.
        select: Select,
        /// Take them in again instead.
        #[serde(default)]
        undo: bool,
    },
    /// Look through the dataset folder again now.
    Rescan,
    /// Check all files, also those found healthy before at the quick level where `deep`.
    Check {
        /// Decode some frames of each.
        deep: bool,
    },
    /// Write `hacs_data.txt`.
    WriteList,
    /// Write what trainers read. The answer comes when it has begun; an event says when it is there or why not.
    Export {
        /// As `reeldeck export --format` names them; empty: `pkl`.
        formats: Vec<String>,
    },
    /// Write the lists of missing videos.
    WriteMissing,
    /// End the engine itself when no run is active.
    Leave,
}

/// From the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "one message at a time is in memory")]
pub enum FromEngine {
    /// The answer to a hello that is understood.
    Welcome(Welcome),
    /// The answer to any other. The connection ends.
    Refused {
        /// Why, and what to do about it.
        reason: String,
    },
    /// Where the run stands.
    Snapshot {
        /// Of the question; none when nobody asked.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        id: Option<u64>,
        /// The answer.
        snapshot: Snapshot,
    },
    /// The classes in the order of their names.
    Classes {
        /// Of the question.
        id: u64,
        /// The answer.
        classes: Vec<ClassRow>,
    },
    /// A window of the table.
    Rows {
        /// Of the question.
        id: u64,
        /// Goes up with every change of a video.
        revision: u64,
        /// How many videos the filter lets through.
        total: usize,
        /// The window.
        rows: Vec<Row>,
    },
    /// All about one video.
    Details {
        /// Of the question.
        id: u64,
        /// The answer.
        details: Box<Details>,
    },
    /// Where a video is in a view.
    Place {
        /// Of the question.
        id: u64,
        /// Its offset; none where the filter does not let it through.
        offset: Option<usize>,
        /// How many videos the filter lets through.
        total: usize,
    },
    /// Throughput so far.
    History {
        /// Of the question.
        id: u64,
        /// The answer.
        history: History,
    },
    /// The end of the log.
    Log {
        /// Of the question.
        id: u64,
        /// Its lines, the oldest first.
        lines: Vec<LogLine>,
    },
    /// A command was carried out.
    Ok {
        /// Of the command.
        id: u64,
        /// What came of it, for people.
        message: String,
    },
    /// A question or command was not understood or not possible.
    Error {
        /// Of the question.
        id: u64,
        /// Why, for people.
        message: String,
    },
    /// Something has happened.
    Event {
        /// What.
        line: Line,
    },
    /// The client was too slow and has missed events: it should ask anew for what it shows.
    Resync {
        /// Where the table stands now.
        revision: u64,
    },
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, RFC 3339.
    pub time: String,
    /// How much it matters.
    pub level: Level,
    /// What.
    pub text: String,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`] of the engine.
    pub version: u32,
    /// Name and version of the program.
    pub tool: String,
    /// Its process.
    pub pid: u32,
    /// The dataset folder.
    pub root: PathBuf,
    /// The output folder.
    pub out: PathBuf,
    /// The feature set.
    pub set: String,
    /// Its part of the videos, `i/n`.
    pub shard: String,
    /// The dataset's name, for a title: that of its folder.
    #[serde(default)]
    pub dataset: String,
    /// The checkpoint's name.
    #[serde(default)]
    pub checkpoint: String,
    /// The weights are made up: the numbers mean nothing.
    #[serde(default)]
    pub meaningless: bool,
    /// The manifest, where there is one.
    #[serde(default)]
    pub manifest: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn questions_may_be_short() {
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
