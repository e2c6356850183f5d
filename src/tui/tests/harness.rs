//! A screen and an engine made up for tests: keys go in, pictures and commands come out. No terminal, no socket, no time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;

use super::fixtures::{snapshot, welcome};
use super::render;
use crate::protocol::event::Line;
use crate::protocol::row::{ClassRow, Column, Filter, Row, RowState, Sort, StateCounts};
use crate::protocol::snapshot::{Counts, History, Snapshot};
use crate::protocol::{Command, FromEngine, LogLine, ToEngine};
use crate::tui::app::{App, Options};
use crate::tui::keymap::Keymap;
use crate::tui::keys::Keys;
use crate::tui::picture::Depth;
use crate::tui::theme::Theme;
use crate::tui::update::{Effect, LinkEvent, Msg, update};
use crate::tui::view;

/// A table of the engine.
pub struct Table {
    pub rows: Vec<Row>,
    pub revision: u64,
}

impl Table {
    /// Rows that the filter lets through, in order.
    fn view(&self, filter: &Filter, sort: Sort) -> Vec<&Row> {
        let needle = filter.text.to_lowercase();
        let has = |row: &&Row| {
            let class = row.video.split_once('/').map_or("", |(class, _)| class);
            (filter.states.is_empty() || filter.states.contains(&row.state))
                && filter.class.as_ref().is_none_or(|wanted| wanted == class)
                && (needle.is_empty()
                    || row.video.to_lowercase().contains(&needle)
                    || row.state.word().contains(&needle)
                    || row.reason.as_ref().is_some_and(|reason| reason.to_lowercase().contains(&needle)))
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(has).collect();
        match sort.by {
            Column::State => rows.sort_by_key(|row| row.state),
            Column::Size => rows.sort_by_key(|row| row.size),
            _ => {}
        }
        if sort.descending {
            rows.reverse();
        }
        rows
    }

    fn counts(&self) -> StateCounts {
        let mut counts = StateCounts::default();
        for row in &self.rows {
            counts[row.state as usize] += 1;
        }
        counts
    }

    fn classes(&self) -> Vec<ClassRow> {
        let mut classes: BTreeMap<&str, StateCounts> = BTreeMap::new();
        for row in &self.rows {
            let class = row.video.split_once('/').map_or("", |(class, _)| class);
            classes.entry(class).or_default()[row.state as usize] += 1;
        }
        let done = |counts: &StateCounts| counts[RowState::Done as usize] + counts[RowState::Degraded as usize];
        classes
            .into_iter()
            .map(|(class, counts)| ClassRow { class: class.into(), counts, done: done(&counts) })
            .collect()
    }
}

/// The screen and the engine.
pub struct Harness {
    pub app: App,
    pub table: Table,
    pub snapshot: Snapshot,
    pub log: Vec<LogLine>,
    pub history: History,
    /// What was ordered, in order.
    pub ordered: Vec<Command>,
    /// What is to be done elsewhere, but for what was asked.
    pub effects: Vec<Effect>,
    /// Questions answered.
    pub asked: usize,
    /// The engine does not answer.
    pub deaf: bool,
    now: Duration,
}

impl Harness {
    /// A screen of this size before an engine has answered.
    pub fn new(width: u16, height: u16) -> Self {
        let options = Options {
            theme: Theme::default(),
            mouse: true,
            low_bandwidth: false,
            zone: TimeZone::UTC,
            depth: Depth::Indexed,
            pictures: None,
        };
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        Self {
            app: App::new(options, keymap, Size { width, height }),
            table: Table { rows: vec![], revision: 1 },
            snapshot: snapshot(),
            log: vec![],
            history: History::default(),
            ordered: vec![],
            effects: vec![],
            asked: 0,
            deaf: false,
            now: Duration::ZERO,
        }
    }

    /// The engine answers.
    pub fn connect(&mut self) -> &mut Self {
        self.tell(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
        self.news();
        self
    }

    /// The engine's table has changed: its snapshot says so, and time passes.
    pub fn news(&mut self) {
        self.table.revision += 1;
        self.refresh();
    }

    /// A new snapshot, and time to take it in.
    pub fn refresh(&mut self) {
        self.snapshot.revision = self.table.revision;
        self.snapshot.states = self.table.counts();
        self.snapshot.counts = counts(&self.snapshot.states);
        let snapshot = self.snapshot.clone();
        self.hear(FromEngine::Snapshot { id: None, snapshot });
        self.wait(1_100);
        self.wait(1_100);
    }

    /// The engine says something by itself.
    pub fn hear(&mut self, said: FromEngine) {
        self.tell(Msg::Link(LinkEvent::Message(Box::new(said))));
    }

    /// Something happens in the run.
    pub fn event(&mut self, event: crate::protocol::event::Event) {
        let time = "2026-11-24T14:02:11Z".parse().unwrap();
        self.hear(FromEngine::Event { line: Line { schema: 1, time, event } });
    }

    /// Time passes.
    pub fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.tell(Msg::Tick);
    }

    /// Keys are pressed, one after the other.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        let keys: Keys = keys.parse().unwrap();
        for key in keys.0 {
            self.tell(Msg::Key(key.event()));
        }
        self
    }

    /// A text is typed.
    pub fn typed(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.press(&if c == ' ' { "space".to_owned() } else { c.to_string() });
        }
        self
    }

    /// Something happens, and the engine answers what is asked because of it.
    pub fn tell(&mut self, msg: Msg) {
        let mut effects = update(&mut self.app, self.now, msg);
        for _ in 0..100 {
            let mut more = vec![];
            for effect in effects {
                match effect {
                    Effect::Send(question) if !self.deaf => {
                        if let Some(answer) = self.answer(question) {
                            more.extend(update(
                                &mut self.app,
                                self.now,
                                Msg::Link(LinkEvent::Message(Box::new(answer))),
                            ));
                        }
                    }
                    Effect::Send(_) => {}
                    other => self.effects.push(other),
                }
            }
            if more.is_empty() {
                return;
            }
            effects = more;
        }
        panic!("it never stops asking");
    }

    fn answer(&mut self, question: ToEngine) -> Option<FromEngine> {
        self.asked += 1;
        Some(match question {
            ToEngine::Hello { .. } => return None,
            ToEngine::Snapshot { id } => FromEngine::Snapshot { id: Some(id), snapshot: self.snapshot.clone() },
            ToEngine::Classes { id } => FromEngine::Classes { id, classes: self.table.classes() },
            ToEngine::Query { id, filter, sort, offset, len } => {
                let view = self.table.view(&filter, sort);
                let rows = view.iter().skip(offset).take(len).map(|row| (*row).clone()).collect();
                FromEngine::Rows { id, revision: self.table.revision, total: view.len(), rows }
            }
            ToEngine::Locate { id, video, filter, sort } => {
                let view = self.table.view(&filter, sort);
                let offset = view.iter().position(|row| row.video == video);
                FromEngine::Place { id, offset, total: view.len() }
            }
            ToEngine::Details { id, video } => {
                FromEngine::Error { id, message: format!("nothing is known of {video}") }
            }
            ToEngine::History { id } => FromEngine::History { id, history: self.history.clone() },
            ToEngine::Log { id, .. } => FromEngine::Log { id, lines: self.log.clone() },
            ToEngine::Subscribe { id } => FromEngine::Ok { id, message: "subscribed".into() },
            ToEngine::Command { id, command } => {
                self.ordered.push(command);
                FromEngine::Ok { id, message: "done as asked".into() }
            }
        })
    }

    /// What is seen.
    pub fn screen(&self) -> String {
        let Size { width, height } = self.app.size;
        render::text(&self.buffer(width, height))
    }

    /// What would be seen at another size.
    pub fn buffer(&self, width: u16, height: u16) -> Buffer {
        render::screen(&self.app.options.theme, width, height, |area, buffer| {
            view::paint(&self.app, area, buffer);
        })
    }

    /// The screen gets another size.
    pub fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.tell(Msg::Resize(Size { width, height }));
        self
    }

    /// The line that says this.
    pub fn line(&self, part: &str) -> String {
        let screen = self.screen();
        screen.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part:?} in\n{screen}")).to_owned()
    }

    /// Whether this is on the screen.
    pub fn shows(&self, part: &str) -> bool {
        self.screen().contains(part)
    }

    /// Whether a message says this.
    pub fn says(&self, part: &str) -> bool {
        self.app.toasts.shown().iter().any(|toast| toast.text.contains(part))
    }

    /// The question that is asked.
    pub fn question(&self) -> &str {
        match self.app.modals.last() {
            Some(crate::tui::modal::Modal::Menu(menu)) => &menu.text,
            other => panic!("no question: {other:?}"),
        }
    }

    /// The last order.
    pub fn last(&self) -> &Command {
        self.ordered.last().expect("an order")
    }
}

fn counts(states: &StateCounts) -> Counts {
    let of = |state: RowState| states[state as usize] as usize;
    Counts {
        videos: states.iter().map(|n| *n as usize).sum(),
        done: of(RowState::Done) + of(RowState::Degraded),
        degraded: of(RowState::Degraded),
        stale: of(RowState::Stale),
        failed: of(RowState::Failed),
        queued: of(RowState::Queued),
        running: of(RowState::Running),
        ..Counts::default()
    }
}
