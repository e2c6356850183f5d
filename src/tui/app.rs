//! All that the screen shows. Changed by `update` alone; drawing reads it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::layout::Size;

use super::classes::ClassList;
use super::command_group::Undo;
use super::details::DetailsView;
use super::keymap::{Context, Keymap};
use super::keys::Key;
use super::log_pane::LogPane;
use super::marks::{BulkMark, Marks};
use super::modal::Modal;
use super::pane::Pane;
use super::picture::Depth;
use super::picture::graphics::GraphicsProtocol;
use super::table::VideoTable;
use super::theme::Theme;
use super::toast::Toasts;
use crate::protocol::Welcome;
use crate::protocol::row::{Column, Sort};
use crate::protocol::snapshot::{History, Phase, Snapshot};

/// Whether there is an engine to talk to.
#[derive(Clone, Debug, PartialEq)]
pub enum Connection {
    /// One is being looked for or started.
    Connecting,
    /// It has said who it is.
    Up(Box<Welcome>),
    /// It was there, and will be looked for again.
    Lost {
        /// Why.
        reason: String,
    },
    /// There is none any more.
    Gone {
        /// Why.
        reason: String,
    },
}

/// What a question was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingRequest {
    /// A window of the table.
    Rows {
        /// Of this question.
        generation: u64,
        /// Rows left out.
        offset: usize,
    },
    /// The cursor's place.
    Place {
        /// Of this question.
        generation: u64,
    },
    /// The classes.
    Classes,
    /// Throughput.
    History,
    /// The log so far.
    Log,
    /// All about a video.
    Details(String),
    /// Names for marks.
    BulkMark,
    /// An order; its answer is shown.
    Command,
    /// An order of which another part follows; its answer is shown where it is an error.
    PartialCommand,
    /// Its answer says nothing new.
    Silent,
}

/// The last snapshot and when it came.
#[derive(Clone, Debug)]
pub struct TimedSnapshot {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// When, on the clock of [`App::now`].
    pub received: Duration,
}

/// When the screen has to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirty {
    /// It is as it should be.
    Clean,
    /// With the next tick of data.
    Soon,
    /// At once: somebody has pressed a key.
    Now,
}

/// Options that do not change.
#[derive(Clone, Debug)]
pub struct Options {
    /// Colours and characters.
    pub theme: Theme,
    /// The mouse is ours.
    pub mouse: bool,
    /// Draw new data once a second only.
    pub low_bandwidth: bool,
    /// For times.
    pub zone: TimeZone,
    /// How many colours pictures may have.
    pub depth: Depth,
    /// How pictures in true pixels reach the terminal, where they do.
    pub pictures: Option<GraphicsProtocol>,
}

/// All that the screen shows.
#[derive(Debug)]
pub struct App {
    /// Options that do not change.
    pub options: Options,
    /// The keys.
    pub keymap: Keymap,
    /// Time since the start, as of the last message.
    pub now: Duration,
    /// The terminal's size.
    pub size: Size,
    /// The engine.
    pub connection: Connection,
    /// Where the run stands.
    pub latest: Option<TimedSnapshot>,
    /// The classes.
    pub classes: ClassList,
    /// The table.
    pub videos: VideoTable,
    /// Marked videos.
    pub marks: Marks,
    /// The device under the cursor.
    pub device: usize,
    /// Throughput so far.
    pub history: History,
    /// How busy each device was lately, or how fast where it does not say; the oldest first.
    pub activity: Vec<VecDeque<Option<f32>>>,
    /// The log.
    pub log: LogPane,
    /// Which pane has the keys.
    pub focus: Pane,
    /// That pane has the screen.
    pub zoom: bool,
    /// What lies on top, the last one uppermost.
    pub modals: Vec<Modal>,
    /// What has just happened.
    pub toasts: Toasts,
    /// The beginning of a sequence of keys.
    pub pending_keys: Vec<Key>,
    /// What can be taken back, the last one first to go.
    pub undo: Vec<Undo>,
    /// Leave when the run is over.
    pub quit_when_idle: bool,
    /// The details of the video under the cursor are wanted as soon as its row is here.
    pub details_follow_cursor: bool,
    /// Names being collected for marks.
    pub bulk_mark: Option<BulkMark>,
    /// When to draw.
    pub dirty: Dirty,
    pub(super) pending: HashMap<u64, PendingRequest>,
    pub(super) next_id: u64,
    pub(super) history_requested: Option<Duration>,
    pub(super) classes_requested: Option<Duration>,
    pub(super) details_stale: bool,
    pub(super) last_tick: Duration,
    pub(super) engine_starting: bool,
    /// Videos have changed since the table was last asked for.
    pub(super) table_stale: bool,
    pub(super) classes_stale: bool,
    pub(super) activity_due: Duration,
}

impl App {
    /// Before anything is known.
    pub fn new(options: Options, keymap: Keymap, size: Size) -> Self {
        let mut app = Self {
            options,
            keymap,
            now: Duration::ZERO,
            size,
            connection: Connection::Connecting,
            latest: None,
            classes: ClassList::default(),
            videos: VideoTable::new(Sort { by: Column::State, descending: false }),
            marks: Marks::default(),
            device: 0,
            history: History::default(),
            activity: vec![],
            log: LogPane::default(),
            focus: Pane::Videos,
            zoom: false,
            modals: vec![],
            toasts: Toasts::default(),
            pending_keys: vec![],
            undo: vec![],
            quit_when_idle: false,
            details_follow_cursor: false,
            bulk_mark: None,
            dirty: Dirty::Now,
            pending: HashMap::new(),
            next_id: 0,
            history_requested: None,
            classes_requested: None,
            details_stale: false,
            last_tick: Duration::ZERO,
            engine_starting: false,
            table_stale: false,
            classes_stale: true,
            activity_due: Duration::ZERO,
        };
        app.lay_out();
        app
    }

    /// Where the run stands.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.latest.as_ref().map(|latest| &latest.snapshot)
    }

    /// What the run is up to; none while nothing is known or nobody answers.
    pub fn phase(&self) -> Option<Phase> {
        match self.connection {
            Connection::Up(_) => self.snapshot().map(|snapshot| snapshot.phase),
            _ => None,
        }
    }

    /// A run is going on, at whatever pace.
    pub fn is_active(&self) -> bool {
        !matches!(self.phase(), None | Some(Phase::Starting | Phase::Waiting | Phase::Idle))
    }

    /// The engine that answers.
    pub fn welcome(&self) -> Option<&Welcome> {
        match &self.connection {
            Connection::Up(welcome) => Some(welcome),
            _ => None,
        }
    }

    /// Seconds since the run began, as a clock shows it: it goes on between snapshots.
    pub fn elapsed_s(&self) -> Option<f64> {
        let latest = self.latest.as_ref()?;
        let moving = matches!(self.phase(), Some(Phase::Running | Phase::Held | Phase::Finishing | Phase::Stopping));
        let since = if moving { self.now.saturating_sub(latest.received).as_secs_f64() } else { 0.0 };
        Some(latest.snapshot.elapsed_s + since)
    }

    /// The screen must be drawn, at the latest then.
    pub fn touch(&mut self, when: Dirty) {
        self.dirty = self.dirty.max(when);
    }

    /// Where the keys go: to the pane, unless the details of a video lie on top of it.
    pub fn context(&self) -> Context {
        match self.details() {
            Some(_) => Context::Details,
            None => self.focus.context(),
        }
    }

    /// The details that are open, if any; a help or a menu may lie on top of them.
    pub fn details(&self) -> Option<&DetailsView> {
        self.modals.iter().rev().find_map(|modal| match modal {
            Modal::Details(view) => Some(&**view),
            _ => None,
        })
    }
}
