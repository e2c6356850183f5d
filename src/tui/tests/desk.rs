//! A screen and an engine made up for tests: keys go in, pictures and orders come out. No terminal, no socket, no time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};

use super::super::app::{App, Choices};
use super::super::keymap::Keymap;
use super::super::keys::Keys;
use super::super::picture::Depth;
use super::super::theme::{Role, Theme};
use super::super::update::{Effect, FromLink, Msg, update};
use super::super::view;
use crate::engine::protocol::event::Line;
use crate::engine::protocol::row::{ClassRow, Column, Filter, Row, RowFacts, RowState, Select, Sort, StateCounts};
use crate::engine::protocol::snapshot::{
    Bound, Counts, DeviceState, Gauges, History, InHand, Machine, Phase, Snapshot, Stages,
};
use crate::engine::protocol::words::Level;
use crate::engine::protocol::{Command, FromEngine, LogLine, ToEngine, Welcome};

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
        classes.into_iter().map(|(class, counts)| ClassRow { class: class.into(), counts }).collect()
    }
}

/// The screen and the engine.
pub struct Desk {
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

pub fn row(video: &str, state: RowState) -> Row {
    Row { video: video.into(), state, has_feature: false, size: 41_234_567, attempts: 0, reason: None, facts: None }
}

pub fn welcome() -> Welcome {
    Welcome {
        version: 1,
        tool: "reeldeck 0".into(),
        pid: 4711,
        root: "/data/hacs".into(),
        out: "/out/hacs".into(),
        set: "slowonly-0123abcd".into(),
        shard: "0/1".into(),
        dataset: "hacs".into(),
        checkpoint: "weights".into(),
        meaningless: false,
        manifest: Some("/data/HACS_segments_v1.1.1.json".into()),
    }
}

impl Desk {
    /// A screen of this size before an engine has answered.
    pub fn new(width: u16, height: u16) -> Self {
        let choices = Choices {
            theme: Theme::default(),
            mouse: true,
            low_bandwidth: false,
            zone: TimeZone::UTC,
            depth: Depth::Indexed,
            pictures: None,
        };
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        Self {
            app: App::new(choices, keymap, Size { width, height }),
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
        self.tell(Msg::Link(FromLink::Up(Box::new(welcome()))));
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
        self.tell(Msg::Link(FromLink::Said(Box::new(said))));
    }

    /// Something happens in the run.
    pub fn event(&mut self, event: crate::engine::protocol::event::Event) {
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
                            more.extend(update(&mut self.app, self.now, Msg::Link(FromLink::Said(Box::new(answer)))));
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
        text(&self.buffer(width, height))
    }

    /// What would be seen at another size.
    pub fn buffer(&self, width: u16, height: u16) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let theme = self.app.choices.theme;
        buffer.set_style(area, theme.style(Role::Base));
        view::paint(&self.app, area, &mut buffer);
        theme.finish(&mut buffer);
        buffer
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
            Some(super::super::modal::Modal::Menu(menu)) => &menu.text,
            other => panic!("no question: {other:?}"),
        }
    }

    /// The last order.
    pub fn last(&self) -> &Command {
        self.ordered.last().expect("an order")
    }
}

/// A buffer as text, without blanks at the ends of lines.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
            }
            skip = super::super::text::width(symbol).max(skip).saturating_sub(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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

pub fn snapshot() -> Snapshot {
    Snapshot {
        revision: 0,
        phase: Phase::Waiting,
        reason: None,
        ended: None,
        elapsed_s: 0.0,
        counts: Counts::default(),
        clips_per_video: 100,
        clips_done: 0,
        clips_per_s: None,
        eta_s: None,
        devices: vec![],
        states: StateCounts::default(),
        scan: None,
        watch: None,
        machine: Machine::default(),
        stages: None,
        videos_per_s: None,
    }
}

/// Names of videos by number: eleven characters as YouTube has them.
pub fn name(class: &str, number: usize) -> String {
    let mut code = String::new();
    let mut rest = number as u64 * 2_654_435_761 + 12_345;
    for _ in 0..11 {
        code.push(char::from(b"abcdefghijkmnopqrstuvwxyzABCDEFGH_-0123456789"[(rest % 45) as usize]));
        rest = rest / 45 + rest % 7 * 1_000_003;
    }
    format!("{class}/v_{code}.mp4")
}

pub const CLASSES: [&str; 6] =
    ["Applying sunscreen", "Archery", "Belly dance", "Horseback riding", "Playing ten pins", "Zumba"];

fn facts(number: usize) -> RowFacts {
    RowFacts {
        duration_s: 30.0 + (number * 37 % 400) as f32,
        frames: 3_000,
        size: if number.is_multiple_of(3) { [640, 360] } else { [1280, 720] },
        codec: "h264".into(),
    }
}

/// So many videos, all but a few without trouble.
pub fn many(count: usize) -> Vec<Row> {
    let state = |i: usize| match i % 100 {
        0 if i.is_multiple_of(1_000) => RowState::Failed,
        1 if i.is_multiple_of(3) => RowState::Missing,
        2..60 => RowState::Done,
        _ => RowState::Queued,
    };
    let make = |i: usize| Row { facts: Some(facts(i)), ..row(&name(CLASSES[i * 6 / count.max(1)], i), state(i)) };
    (0..count).map(make).collect()
}

/// Everything that can be wrong with videos, some more than once, with names and reasons that mean harm.
pub fn failing() -> Vec<Row> {
    let mut rows = many(100);
    let wrong = [
        (RowState::Failed, Some("out of memory: batch 4 at 1920×1080 on cuda:2, tried 3 times")),
        (RowState::Corrupt, Some("moov atom missing: the file is cut at 1,048,576 bytes of 41,234,567")),
        (RowState::Missing, Some("in the manifest, training")),
        (RowState::WrongDuration, Some("plays 12.1 s, the manifest says 192.0 s")),
        (RowState::Duplicate, Some("also Zumba/v_twice.mkv")),
        (RowState::Stale, Some("the file has changed since")),
        (RowState::Degraded, Some("12 of 4,524 frames concealed")),
        (RowState::Excluded, None),
        (RowState::Unlisted, None),
        (RowState::Unchecked, None),
        (RowState::Ready, None),
        (RowState::LeftOut, None),
    ];
    for (i, (state, reason)) in wrong.into_iter().cycle().take(30).enumerate() {
        let facts = (!matches!(state, RowState::Missing | RowState::Corrupt)).then(|| facts(i));
        let size = if state == RowState::Missing { 0 } else { 9_876_543 };
        let attempts = if state == RowState::Failed { 3 } else { 0 };
        let video = name(CLASSES[i % 6], 1_000 + i);
        rows.push(Row { size, attempts, facts, reason: reason.map(Into::into), ..row(&video, state) });
    }
    rows.push(Row {
        reason: Some("\u{1b}[31mred\u{7}\nand \u{202e}backwards".into()),
        ..row("Ärger\u{200b}/v_\u{1b}[2J日本語のビデオ\t.mp4", RowState::Failed)
    });
    rows
}

/// GPUs at work, one of them not.
pub fn gpus(count: usize) -> Vec<DeviceState> {
    let gib = |n: u64| n << 30;
    let one = |i: usize| DeviceState {
        device: format!("cuda:{i}"),
        status: if i == 2 { "lost" } else { "ready" }.into(),
        detail: Some(if i == 2 { "out of memory with a batch of one".into() } else { "NVIDIA H200".into() }),
        batch: 8,
        done: 100 + i,
        clips: 10_000,
        in_hand: match i {
            2 => vec![],
            _ => vec![
                InHand { video: name(CLASSES[i % 6], i), clips: (i * 13 + 20) % 100, seconds: 4.0 },
                InHand { video: name(CLASSES[i % 6], i + 50), clips: 0, seconds: 0.0 },
            ],
        },
        clips_per_s: Some(800.0 + i as f64),
        restarts: 0,
        gauges: Gauges {
            memory: Some([gib(38 + i as u64), gib(141)]),
            busy_percent: Some(41.0),
            decoder_percent: Some(88.0),
            temperature_c: (i != 1).then_some(61.0),
            power_w: Some(412.0),
        },
    };
    (0..count).map(one).collect()
}

/// A desk with a run going on.
pub fn running(width: u16, height: u16, rows: Vec<Row>, devices: Vec<DeviceState>) -> Desk {
    let mut desk = Desk::new(width, height);
    desk.table.rows = rows;
    // Devices have in hand what waited, and that is running.
    let mut devices = devices;
    let mut waiting = desk.table.rows.iter_mut().filter(|row| row.state == RowState::Queued);
    for hand in devices.iter_mut().flat_map(|device| &mut device.in_hand) {
        if let Some(row) = waiting.next() {
            row.state = RowState::Running;
            hand.video.clone_from(&row.video);
        }
    }
    drop(waiting);
    desk.table.rows.sort_by(|a, b| a.video.cmp(&b.video));
    desk.snapshot.phase = Phase::Running;
    desk.snapshot.elapsed_s = 8_040.4;
    desk.snapshot.eta_s = Some(13_860);
    desk.snapshot.clips_per_s = Some(2_415.0);
    desk.snapshot.videos_per_s = Some(9.23);
    desk.snapshot.stages = Some(Stages { decode: 0.96, model: 0.41, write: 0.03, bound: Bound::Decode });
    desk.snapshot.machine = Machine {
        cores: 64,
        cpu_percent: Some(88.4),
        memory: Some([212 << 30, 512 << 30]),
        disk: Some([812_000_000_000, 4_000_000_000_000]),
        disk_needed: Some(9_000_000_000),
    };
    desk.snapshot.devices = devices;
    desk.history = History {
        every_s: 10.0,
        clips_per_s: (0..90).map(|i| (i > 4).then_some(2_000.0 + 400.0 * (i as f32 / 9.0).sin())).collect(),
    };
    let line = |i: usize| LogLine {
        time: format!("2026-11-24T14:02:{:02}Z", i % 60),
        level: match i % 8 {
            3 => Level::Problem,
            5 => Level::Info,
            _ => Level::Detail,
        },
        text: match i % 8 {
            3 => format!("failed {}: out of memory at batch 4", name("Zumba", i)),
            5 => "batch 8 → 4 on cuda:2".into(),
            _ => format!("done {}: 4524 frames in 2.9 s", name("Archery", i)),
        },
    };
    desk.log = (0..60).map(line).collect();
    desk.connect();
    desk
}

/// What an order means by the videos it names.
pub fn named(select: &Select) -> Vec<&str> {
    select.videos.iter().map(String::as_str).collect()
}
