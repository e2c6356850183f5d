//! The interface with a simulated engine: keys go in, screens and commands come out. There is no terminal, no socket
//! and no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;

use super::fixtures::{details, snapshot, welcome};
use super::render;
use crate::protocol::event::Line;
use crate::protocol::row::{ClassRow, Column, Filter, Finding, FindingCounts, Row, RowState, Sort, StateCounts};
use crate::protocol::snapshot::{Counts, History, Snapshot};
use crate::protocol::{Command, FromEngine, LogLine, ToEngine};
use crate::tui::app::{App, Options};
use crate::tui::keymap::Keymap;
use crate::tui::keys::Keys;
use crate::tui::picture::Depth;
use crate::tui::theme::Theme;
use crate::tui::update::{Effect, LinkEvent, Msg, update};
use crate::tui::view;

/// The engine's table.
pub(crate) struct Table {
    pub rows: Vec<Row>,
    pub revision: u64,
}

impl Table {
    /// The rows that match, in order.
    fn view(&self, filter: &Filter, sort: Sort) -> Vec<&Row> {
        let needle = filter.text.to_lowercase();
        let has = |row: &&Row| {
            let class = row.video.split_once('/').map_or("", |(class, _)| class);
            let accepted = filter.states.contains(&row.state) || filter.findings.iter().any(|f| row.findings.has(*f));
            (accepted || filter.states.is_empty() && filter.findings.is_empty())
                && filter.class.as_ref().is_none_or(|wanted| wanted == class)
                && (needle.is_empty()
                    || row.video.to_lowercase().contains(&needle)
                    || row.state.word().contains(&needle)
                    || row.reason.as_ref().is_some_and(|reason| reason.to_lowercase().contains(&needle)))
        };
        let mut rows: Vec<&Row> = self.rows.iter().filter(has).collect();
        match sort.by {
            Column::State => rows.sort_by_key(|row| (row.state, row.findings.worst().map_or(u8::MAX, |f| f as u8))),
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

    fn findings(&self) -> FindingCounts {
        let mut counts = FindingCounts::default();
        self.rows.iter().flat_map(|row| row.findings.iter()).for_each(|finding| counts[finding as usize] += 1);
        counts
    }

    fn classes(&self) -> Vec<ClassRow> {
        let mut classes: BTreeMap<&str, ClassRow> = BTreeMap::new();
        for row in &self.rows {
            let name = row.video.split_once('/').map_or("", |(class, _)| class);
            let class = classes.entry(name).or_insert_with(|| ClassRow { class: name.into(), ..ClassRow::default() });
            class.counts[row.state as usize] += 1;
            row.findings.iter().for_each(|finding| class.findings[finding as usize] += 1);
            let is_problem = row.state.is_problem() || row.findings.iter().any(|finding| finding.is_problem());
            class.problems += u32::from(is_problem);
        }
        classes.into_values().collect()
    }
}

pub(crate) struct Harness {
    pub app: App,
    pub table: Table,
    pub snapshot: Snapshot,
    pub log: Vec<LogLine>,
    pub history: History,
    /// The commands received, in order.
    pub commands: Vec<Command>,
    /// The effects other than requests to the engine.
    pub effects: Vec<Effect>,
    /// The number of requests received.
    pub requests: usize,
    /// The engine answers requests for details.
    pub knows_details: bool,
    /// The engine does not answer.
    pub silent: bool,
    now: Duration,
}

impl Harness {
    /// Before the engine has answered.
    pub(crate) fn new(width: u16, height: u16) -> Self {
        let options = Options {
            theme: Theme::default(),
            mouse: true,
            low_bandwidth: false,
            zone: TimeZone::UTC,
            depth: Depth::Indexed,
            pictures: None,
            notify: crate::config::Notification::Off,
            bell: false,
            progress: false,
            host: "login1".into(),
            program: "reeldeck".into(),
            configured_out: None,
        };
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        Self {
            app: App::new(options, keymap, Size { width, height }),
            table: Table { rows: vec![], revision: 1 },
            snapshot: snapshot(),
            log: vec![],
            history: History::default(),
            commands: vec![],
            effects: vec![],
            requests: 0,
            knows_details: false,
            silent: false,
            now: Duration::ZERO,
        }
    }

    pub(crate) fn connect(&mut self) -> &mut Self {
        self.send(Msg::Link(LinkEvent::Connected(Box::new(welcome()))));
        self.table_changed();
        self
    }

    /// Announces a change of the table.
    pub(crate) fn table_changed(&mut self) {
        self.table.revision += 1;
        self.refresh();
    }

    /// Sends a new snapshot and waits until it is shown.
    pub(crate) fn refresh(&mut self) {
        self.snapshot.revision = self.table.revision;
        self.snapshot.states = self.table.counts();
        self.snapshot.findings = self.table.findings();
        let is_corrupt = |row: &&Row| row.state == RowState::Failed && row.findings.has(Finding::Corrupt);
        let failed_corrupt = self.table.rows.iter().filter(is_corrupt).count();
        self.snapshot.counts = Counts { failed_corrupt, ..counts(&self.snapshot.states) };
        let snapshot = self.snapshot.clone();
        self.receive(FromEngine::Snapshot { id: None, snapshot });
        self.advance(1_100);
        self.advance(1_100);
    }

    /// Receives a message from the engine.
    pub(crate) fn receive(&mut self, said: FromEngine) {
        self.send(Msg::Link(LinkEvent::Message(Box::new(said))));
    }

    pub(crate) fn event(&mut self, event: crate::protocol::event::Event) {
        let time = "2026-11-24T14:02:11Z".parse().unwrap();
        self.receive(FromEngine::Event { line: Line { schema: 1, time, event } });
    }

    /// Advances the clock.
    pub(crate) fn advance(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self.send(Msg::Tick);
        self
    }

    /// Presses keys one after the other.
    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        let keys: Keys = keys.parse().unwrap();
        for key in keys.0 {
            self.send(Msg::Key(key.event()));
        }
        self
    }

    pub(crate) fn type_text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.press(&if c == ' ' { "space".to_owned() } else { c.to_string() });
        }
        self
    }

    /// Handles a message, and answers the requests that it leads to.
    pub(crate) fn send(&mut self, msg: Msg) {
        let mut effects = update(&mut self.app, self.now, msg);
        for _ in 0..100 {
            let mut more = vec![];
            for effect in effects {
                match effect {
                    Effect::Send(question) if !self.silent => {
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
        panic!("requests never end");
    }

    fn answer(&mut self, question: ToEngine) -> Option<FromEngine> {
        self.requests += 1;
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
            ToEngine::Details { id, video } => match (self.knows_details, self.row(&video)) {
                (true, Some(row)) => FromEngine::Details { id, details: Box::new(details(row.clone())) },
                _ => FromEngine::Error { id, message: format!("nothing is known of {video}") },
            },
            ToEngine::History { id } => FromEngine::History { id, history: self.history.clone() },
            ToEngine::Log { id, .. } => FromEngine::Log { id, lines: self.log.clone() },
            ToEngine::Subscribe { id } => FromEngine::Ok { id, message: "subscribed".into() },
            ToEngine::Command { id, command } => {
                self.commands.push(command);
                FromEngine::Ok { id, message: "done as asked".into() }
            }
        })
    }

    fn row(&self, video: &str) -> Option<&Row> {
        self.table.rows.iter().find(|row| row.video == video)
    }

    pub(crate) fn screen(&self) -> String {
        let Size { width, height } = self.app.size;
        render::text(&self.buffer(width, height))
    }

    /// The screen at any size.
    pub(crate) fn buffer(&self, width: u16, height: u16) -> Buffer {
        render::screen(&self.app.options.theme, width, height, |area, buffer| {
            view::paint(&self.app, area, buffer);
        })
    }

    pub(crate) fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.send(Msg::Resize(Size { width, height }));
        self
    }

    /// The first line that contains the text.
    pub(crate) fn line(&self, part: &str) -> String {
        let screen = self.screen();
        screen.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part:?} in\n{screen}")).to_owned()
    }

    pub(crate) fn shows(&self, part: &str) -> bool {
        self.screen().contains(part)
    }

    /// Whether a toast contains the text.
    pub(crate) fn has_toast(&self, part: &str) -> bool {
        self.app.toasts.shown().iter().any(|toast| toast.text.contains(part))
    }

    pub(crate) fn question(&self) -> &str {
        match self.app.modals.last() {
            Some(crate::tui::modal::Modal::Menu(menu)) => &menu.text,
            other => panic!("no question: {other:?}"),
        }
    }

    pub(crate) fn last_command(&self) -> &Command {
        self.commands.last().expect("a command was sent")
    }
}

fn counts(states: &StateCounts) -> Counts {
    let of = |state: RowState| states[state as usize] as usize;
    Counts {
        videos: RowState::ALL.into_iter().filter(|state| state.is_video()).map(of).sum::<usize>()
            - of(RowState::Missing),
        done: of(RowState::Done),
        stale: of(RowState::Stale),
        failed: of(RowState::Failed),
        queued: of(RowState::Queued),
        running: of(RowState::Running),
        ..Counts::default()
    }
}
