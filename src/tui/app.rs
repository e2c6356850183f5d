//! All that the screen shows. Changed by `update` alone; drawing reads it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::layout::Size;

use super::classes::ClassList;
use super::details::DetailsView;
use super::keymap::{Context, Keymap};
use super::keys::Key;
use super::log_pane::LogPane;
use super::marks::Marks;
use super::modal::Modal;
use super::picture::Depth;
use super::picture::graphics::Protocol;
use super::table::VideoTable;
use super::theme::Theme;
use super::toast::Toasts;
use super::update::bulk_mark::BulkMark;
use crate::protocol::row::{Column, Sort};
use crate::protocol::snapshot::{History, Phase, Snapshot};
use crate::protocol::{Command, Welcome};

/// A pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pane {
    /// The classes with their progress.
    Classes,
    /// The table of videos.
    Videos,
    /// The devices.
    Devices,
    /// The throughput over time.
    Throughput,
    /// The log.
    Log,
}

impl Pane {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Classes, Self::Videos, Self::Devices, Self::Throughput, Self::Log];

    /// Where its keys stand in the table.
    pub fn context(self) -> Context {
        match self {
            Self::Classes => Context::Classes,
            Self::Videos => Context::Videos,
            Self::Devices => Context::Devices,
            Self::Throughput => Context::Throughput,
            Self::Log => Context::Log,
        }
    }

    /// The number that leads to it.
    pub fn number(self) -> usize {
        Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0) + 1
    }
}

/// Whether there is an engine to talk to.
#[derive(Clone, Debug, PartialEq)]
pub enum Link {
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
pub enum Tag {
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
    Order,
    /// An order of which another part follows; its answer is shown where it is an error.
    Part,
    /// Its answer says nothing new.
    Silent,
}

/// What can be taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    /// What it was, such as `exclude 3 videos`.
    pub what: String,
    /// What takes it back.
    pub commands: Vec<Command>,
}

/// The last snapshot and when it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// When, on the clock of [`App::now`].
    pub at: Duration,
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

/// Choices that do not change.
#[derive(Clone, Debug)]
pub struct Choices {
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
    pub pictures: Option<Protocol>,
}

/// All that the screen shows.
#[derive(Debug)]
pub struct App {
    /// Choices that do not change.
    pub choices: Choices,
    /// The keys.
    pub keymap: Keymap,
    /// Time since the start, as of the last message.
    pub now: Duration,
    /// The terminal's size.
    pub size: Size,
    /// The engine.
    pub link: Link,
    /// Where the run stands.
    pub seen: Option<Seen>,
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
    pub pulse: Vec<VecDeque<Option<f32>>>,
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
    pub pressed: Vec<Key>,
    /// What can be taken back, the last one first to go.
    pub undo: Vec<Undo>,
    /// Leave when the run is over.
    pub leaving: bool,
    /// The details of the video under the cursor are wanted as soon as its row is here.
    pub leafing: bool,
    /// Names being collected for marks.
    pub bulk_mark: Option<BulkMark>,
    /// When to draw.
    pub dirty: Dirty,
    pub(super) pending: HashMap<u64, Tag>,
    pub(super) next_id: u64,
    pub(super) asked_history: Option<Duration>,
    pub(super) asked_classes: Option<Duration>,
    pub(super) details_stale: bool,
    pub(super) refreshed: Duration,
    pub(super) starting: bool,
    /// Videos have changed since the table was last asked for.
    pub(super) stale: Option<()>,
    pub(super) classes_stale: bool,
    pub(super) pulse_due: Duration,
}

impl App {
    /// Before anything is known.
    pub fn new(choices: Choices, keymap: Keymap, size: Size) -> Self {
        let mut app = Self {
            choices,
            keymap,
            now: Duration::ZERO,
            size,
            link: Link::Connecting,
            seen: None,
            classes: ClassList::default(),
            videos: VideoTable::new(Sort { by: Column::State, descending: false }),
            marks: Marks::default(),
            device: 0,
            history: History::default(),
            pulse: vec![],
            log: LogPane::default(),
            focus: Pane::Videos,
            zoom: false,
            modals: vec![],
            toasts: Toasts::default(),
            pressed: vec![],
            undo: vec![],
            leaving: false,
            leafing: false,
            bulk_mark: None,
            dirty: Dirty::Now,
            pending: HashMap::new(),
            next_id: 0,
            asked_history: None,
            asked_classes: None,
            details_stale: false,
            refreshed: Duration::ZERO,
            starting: false,
            stale: None,
            classes_stale: true,
            pulse_due: Duration::ZERO,
        };
        app.lay_out();
        app
    }

    /// Where the run stands.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.seen.as_ref().map(|seen| &seen.snapshot)
    }

    /// What the run is up to; none while nothing is known or nobody answers.
    pub fn phase(&self) -> Option<Phase> {
        match self.link {
            Link::Up(_) => self.snapshot().map(|snapshot| snapshot.phase),
            _ => None,
        }
    }

    /// A run is going on, at whatever pace.
    pub fn is_active(&self) -> bool {
        !matches!(self.phase(), None | Some(Phase::Waiting | Phase::Idle))
    }

    /// The engine that answers.
    pub fn welcome(&self) -> Option<&Welcome> {
        match &self.link {
            Link::Up(welcome) => Some(welcome),
            _ => None,
        }
    }

    /// Seconds since the run began, as a clock shows it: it goes on between snapshots.
    pub fn elapsed_s(&self) -> Option<f64> {
        let seen = self.seen.as_ref()?;
        let moving = matches!(self.phase(), Some(Phase::Running | Phase::Held | Phase::Finishing | Phase::Stopping));
        let since = if moving { self.now.saturating_sub(seen.at).as_secs_f64() } else { 0.0 };
        Some(seen.snapshot.elapsed_s + since)
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

/// The last lines of something, oldest first, with room for so many.
pub(super) fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}
