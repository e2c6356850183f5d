//! The state of the screen. Only `update` changes it; `view` reads it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::layout::Size;

use super::classes::ClassList;
use super::details::DetailsView;
use super::device_history::DeviceHistory;
use super::engines::Engines;
use super::keymap::{Context, Keymap};
use super::keys::Key;
use super::log_pane::LogPane;
use super::marks::{BulkMark, Marks};
use super::modal::Modal;
use super::pane::Pane;
use super::picture::Depth;
use super::picture::graphics::GraphicsProtocol;
use super::preview::Preview;
use super::reopening::NewSettings;
use super::table::VideoTable;
use super::theme::{StateStyle, Theme};
use super::toast::Toasts;
use crate::config::Notification;
use crate::protocol::row::{Column, RowState, Sort};
use crate::protocol::snapshot::{History, Phase, Snapshot};
use crate::protocol::{Command, Welcome};

/// The connection to the engine.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Connection {
    /// An engine is being looked for or started.
    Connecting,
    /// The engine has sent its welcome.
    Up(Box<Welcome>),
    /// The connection broke, and the link tries to restore it.
    Lost { reason: String },
    /// No engine is running. Only starting one leads out of this state.
    Gone { reason: String },
}

/// What a request that awaits its answer was sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PendingRequest {
    Rows {
        /// The table's generation when it was sent. The table ignores answers of older generations.
        generation: u64,
        offset: usize,
    },
    /// The position of the cursor's video.
    Place {
        generation: u64,
    },
    Classes,
    History,
    Log,
    /// The details of this video, which open.
    Details(String),
    /// The details of this video, for the view that was open at the request.
    RefreshedDetails(String),
    /// The same for the preview.
    Preview(String),
    /// The names of rows to mark.
    BulkMark,
    /// A command whose answer is shown.
    Command,
    /// The same, with the key that undoes it.
    UndoableCommand,
    /// A command that is followed by another one of its group. Its answer is shown only if it is an error.
    PartialCommand,
    /// The engine is to make room for one with new settings.
    Leave,
    /// Its answer is not shown.
    Silent,
}

#[derive(Clone, Debug)]
pub(super) struct TimedSnapshot {
    pub snapshot: Snapshot,
    /// On the clock of [`App::now`].
    pub received: Duration,
}

/// When the screen has to be redrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirty {
    Clean,
    /// With the next tick.
    Soon,
    /// At once: it is the response to a key.
    Now,
}

/// Settings that stay the same while the interface runs.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub theme: Theme,
    /// Whether to capture the mouse.
    pub mouse: bool,
    /// Redraw for new data once a second only.
    pub low_bandwidth: bool,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    pub depth: Depth,
    /// The protocol for pictures in pixels; `None` draws them as characters.
    pub pictures: Option<GraphicsProtocol>,
    /// How to notify the desktop; never `Auto`.
    pub notify: Notification,
    pub bell: bool,
    /// Send the progress to the terminal (OSC 9;4).
    pub progress: bool,
    /// The name of this host.
    pub host: String,
    /// The word that starts this program in a shell.
    pub program: String,
    /// The output folder of a command without options; `None` if unknown.
    pub configured_out: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct App {
    pub options: Options,
    pub keymap: Keymap,
    /// Time since the start, as of the last message.
    pub now: Duration,
    pub size: Size,
    pub connection: Connection,
    pub latest: Option<TimedSnapshot>,
    pub classes: ClassList,
    pub videos: VideoTable,
    pub marks: Marks,
    /// The other engines of the output folder.
    pub engines: Engines,
    /// The line of the pane of devices under the cursor.
    pub device: usize,
    pub history: History,
    /// What each device has reported.
    pub device_history: Vec<DeviceHistory>,
    pub log: LogPane,
    pub focus: Pane,
    /// The focused pane fills the screen.
    pub zoom: bool,
    /// The overlays, the topmost last.
    pub modals: Vec<Modal>,
    pub toasts: Toasts,
    /// The time of day, as of the last message.
    pub wall: Timestamp,
    /// The start of a key sequence.
    pub pending_keys: Vec<Key>,
    /// The commands that undo exclusions, the most recent last.
    pub undo: Vec<Vec<Command>>,
    /// Quit as soon as the run is over.
    pub quit_when_idle: bool,
    /// A run has ended while this window was open.
    pub saw_end: bool,
    /// Open the details of the video under the cursor as soon as its row arrives.
    pub details_follow_cursor: bool,
    /// A bulk mark that is waiting for rows.
    pub bulk_mark: Option<BulkMark>,
    pub dirty: Dirty,
    pub(super) pending: HashMap<u64, PendingRequest>,
    pub(super) next_id: u64,
    pub(super) history_requested: Option<Duration>,
    pub(super) classes_requested: Option<Duration>,
    pub(super) details_stale: bool,
    pub(super) last_tick: Duration,
    pub(super) engine_starting: bool,
    /// Send these commands, which begin a run, as soon as an engine is ready.
    pub(super) when_ready: Vec<Command>,
    pub(super) new_settings: NewSettings,
    /// A run starts as soon as the settings that are being saved are in use.
    pub(super) starts_when_saved: bool,
    /// Say this as soon as an engine is ready.
    pub(super) greeting: Option<String>,
    /// What a starting engine does; empty if it has not said.
    pub(super) starting_step: String,
    /// Videos have changed since the table was last requested.
    pub(super) table_stale: bool,
    pub(super) classes_stale: bool,
    pub(super) device_history_due: Duration,
    pub preview: Preview,
}

impl App {
    /// Whether the key that excludes videos includes these again: excluded ones, or one in flight that would be excluded afterwards.
    pub(super) fn includes(&self) -> bool {
        let is_excluded = |state| state == RowState::Excluded;
        match self.marks.is_empty() {
            true => self.videos.current().is_some_and(|row| row.leaves || is_excluded(row.state)),
            false => self.marks.states().next().is_some() && self.marks.states().all(is_excluded),
        }
    }

    pub(super) fn new(options: Options, keymap: Keymap, size: Size) -> Self {
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
            engines: Engines::default(),
            device: 0,
            history: History::default(),
            device_history: vec![],
            log: LogPane::default(),
            focus: Pane::Videos,
            zoom: false,
            modals: vec![],
            toasts: Toasts::default(),
            wall: Timestamp::UNIX_EPOCH,
            pending_keys: vec![],
            undo: vec![],
            quit_when_idle: false,
            saw_end: false,
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
            when_ready: vec![],
            new_settings: NewSettings::None,
            starts_when_saved: false,
            greeting: None,
            starting_step: String::new(),
            table_stale: false,
            classes_stale: true,
            device_history_due: Duration::ZERO,
            preview: Preview::default(),
        };
        app.lay_out();
        app
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.latest.as_ref().map(|latest| &latest.snapshot)
    }

    /// The phase of the run, if the engine is connected and has sent a snapshot.
    pub(super) fn phase(&self) -> Option<Phase> {
        match self.connection {
            Connection::Up(_) => self.snapshot().map(|snapshot| snapshot.phase),
            _ => None,
        }
    }

    /// A run is in progress, be it paused or stopping.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.phase(), None | Some(Phase::Starting | Phase::Waiting | Phase::Idle))
    }

    /// No run is active, and the engine has summed up the one that is over.
    pub(super) fn is_at_rest(&self) -> bool {
        let concludes =
            self.snapshot().is_some_and(|snapshot| snapshot.phase == Phase::Idle && snapshot.ended.is_none());
        !self.is_active() && !concludes
    }

    /// What is shown of the run may be out of date: no engine is connected.
    pub(super) fn is_stale(&self) -> bool {
        self.latest.is_some() && !matches!(self.connection, Connection::Up(_))
    }

    pub(super) fn welcome(&self) -> Option<&Welcome> {
        match &self.connection {
            Connection::Up(welcome) => Some(welcome),
            _ => None,
        }
    }

    /// How a state is shown: videos in progress are paused with their run.
    pub(super) fn state_style(&self, state: RowState) -> StateStyle {
        match (state, self.phase()) {
            (RowState::Running, Some(Phase::Paused)) => self.options.theme.paused(),
            _ => self.options.theme.state(state),
        }
    }

    /// Seconds since the run began. The value advances between snapshots.
    pub(super) fn elapsed_s(&self) -> Option<f64> {
        let latest = self.latest.as_ref()?;
        let moving = matches!(self.phase(), Some(Phase::Running | Phase::Held | Phase::Finishing | Phase::Stopping));
        let since = if moving { self.now.saturating_sub(latest.received).as_secs_f64() } else { 0.0 };
        Some(latest.snapshot.elapsed_s + since)
    }

    /// Asks for a redraw at the given time or earlier.
    pub(super) fn touch(&mut self, when: Dirty) {
        self.dirty = self.dirty.max(when);
    }

    /// The context in which keys are looked up.
    pub(super) fn context(&self) -> Context {
        match self.details() {
            Some(_) => Context::Details,
            None => self.focus.context(),
        }
    }

    /// The open details, even if help or a menu covers them.
    pub(super) fn details(&self) -> Option<&DetailsView> {
        self.modals.iter().rev().find_map(|modal| match modal {
            Modal::Details(view) => Some(&**view),
            _ => None,
        })
    }
}
