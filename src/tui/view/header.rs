//! The header: dataset, state of the run, and videos by state.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::line;
use crate::dataset::shown;
use crate::protocol::row::{Finding, RowState};
use crate::protocol::snapshot::{Folder, Phase, Snapshot};
use crate::tui::action::Action;
use crate::tui::app::{App, Connection};
use crate::tui::classes::{count_of, findings_of};
use crate::tui::gauge;
use crate::tui::run_end;
use crate::tui::text;
use crate::tui::theme::{Role, StateStyle};

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let room = usize::from(area.width);
    let right = state(app, room);
    let right_width: usize = right.iter().map(|span| text::width(&span.content)).sum();
    let left_room = room.saturating_sub(right_width + 1);
    if area.height == 1 {
        let used = line(buffer, area.x, area.y, room, right, theme);
        counts(app, area.x + used as u16, area.y, room - used, buffer);
        return;
    }
    line(buffer, area.x, area.y, left_room, names(app, left_room), theme);
    line(buffer, area.x + room.saturating_sub(right_width) as u16, area.y, right_width.min(room), right, theme);
    counts(app, area.x, area.y + 1, room, buffer);
}

fn names(app: &App, room: usize) -> Vec<Span<'static>> {
    let theme = &app.options.theme;
    let mut spans = vec![Span::styled(" reeldeck ", theme.style(Role::Title))];
    let Some(welcome) = app.welcome() else { return spans };
    let dataset = text::sanitized(&welcome.dataset).into_owned();
    let arrow = if theme.is_ascii() { "->" } else { "→" };
    let paths = format!(
        "  {} {arrow} {}",
        text::sanitized(&shown(&welcome.root).to_string()),
        text::sanitized(&shown(&welcome.out).to_string())
    );
    let used = 10 + text::width(&dataset) + 1;
    let warning = match welcome.synthetic_weights {
        false => "",
        true if used + 16 <= room => "  seeded weights",
        true => "  seeded",
    };
    // The warning is more important than the end of a long name.
    let name_room = room.saturating_sub(11 + text::width(warning));
    let name = text::truncate(&dataset, name_room, theme.ellipsis()).into_owned();
    spans.push(Span::styled(format!(" {name}"), theme.style(Role::Base)));
    spans.push(Span::styled(warning, theme.style(Role::Warn)));
    if used + text::width(&paths) + 18 < room {
        spans.push(Span::styled(paths, theme.style(Role::Dim)));
    }
    spans
}

/// The phase, the elapsed time, the ETA and the free disk space.
fn state(app: &App, room: usize) -> Vec<Span<'static>> {
    let theme = &app.options.theme;
    let say = |text: String, role| Span::styled(text, theme.style(role));
    let quiet = |text: &str| vec![Span::styled(format!(" {text} "), theme.style(Role::Warn))];
    match &app.connection {
        Connection::Connecting if !app.starting_step.is_empty() => {
            return quiet(&format!("starting: {}", text::sanitized(&app.starting_step)));
        }
        Connection::Connecting => return quiet("starting"),
        Connection::Lost { .. } => return quiet("reconnecting …"),
        Connection::Gone { .. } => return quiet("no background process"),
        Connection::Up(_) => {}
    }
    if app.snapshot().is_none() {
        return quiet("starting");
    }
    let Some((snapshot, joint)) = app.run() else { return vec![] };
    let snapshot = &snapshot;
    let is_active = snapshot.is_active();
    let (glyph, plain, role) = match snapshot.phase {
        Phase::Running => ("●", "*", Role::Good),
        Phase::Paused => ("‖", "p", Role::Warn),
        Phase::Held => ("‖", "!", Role::Error),
        Phase::Finishing | Phase::Stopping => ("◌", "o", Role::Warn),
        Phase::Starting if snapshot.held_by.is_some() => ("‖", "!", Role::Error),
        Phase::Starting | Phase::Waiting | Phase::Idle => ("○", "o", Role::Dim),
    };
    let glyph = if theme.is_ascii() { plain } else { glyph };
    let idle = matches!(snapshot.phase, Phase::Waiting | Phase::Idle);
    let step = snapshot
        .reason
        .as_deref()
        .filter(|_| snapshot.phase == Phase::Starting && snapshot.held_by.is_none())
        .map(text::sanitized);
    let idle_word = app.snapshot().map(run_end::idle_word).unwrap_or_default();
    let nothing_left = run_end::nothing_left(app, snapshot);
    let what = match &step {
        Some(step) => step.as_ref(),
        None if idle && snapshot.exporting => "exporting",
        None if snapshot.phase == Phase::Idle => &idle_word,
        None if let Some(next) = &nothing_left => next,
        None => phase_word(snapshot),
    };
    let lacks_weights = idle && app.snapshot().is_some_and(|snapshot| snapshot.needs.is_some());
    let (what, role) = match lacks_weights && !snapshot.exporting {
        true => (format!("no weights: press {}", app.keymap.key_text(Action::StartPause)), Role::Warn),
        false => (what.to_owned(), role),
    };
    let mut spans = vec![say(format!(" {glyph} {what}"), role)];
    let elapsed = if app.is_active() { app.elapsed_s() } else { Some(snapshot.elapsed_s) };
    if let Some(elapsed) = elapsed.filter(|_| is_active) {
        let elapsed = match elapsed.floor() {
            seconds if seconds < 60.0 => format!("{seconds} s"),
            seconds => text::duration(seconds),
        };
        // The time that it has been paused does not count.
        let elapsed = if snapshot.phase == Phase::Paused { format!(" (ran {elapsed})") } else { format!(" {elapsed}") };
        spans.push(say(elapsed, Role::Base));
    }
    let mut label_at = None;
    // A check needs the room of the bar.
    let short = room < 100 && app.snapshot().is_some_and(|snapshot| snapshot.scan.is_some());
    if let Some(progress) = run_end::progress(snapshot).filter(|_| is_active) {
        // The percentage says the same in less room.
        let bar = if room >= 100 { (room / 10).min(24) } else { 0 };
        spans.push(say("  ".into(), Role::Base));
        spans.extend(gauge::bar_spans(theme, Some(progress), bar));
        spans.push(say(format!(" {:>5}", text::percent(Some(progress * 100.0))), Role::Base));
        label_at = Some(spans.len());
    }
    if let Some(scan) = app.snapshot().and_then(|snapshot| snapshot.scan) {
        let what = if scan.deep { "deep check" } else { "checking" };
        let (done, all) = (text::count(scan.done as u64), text::count(scan.all as u64));
        // Of constant width, so that nothing moves while a check runs.
        let progress = match short {
            true => format!("{:>5}", text::percent(Some(100.0 * scan.done as f64 / scan.all.max(1) as f64))),
            false => format!("{done:>width$}/{all}", width = all.len()),
        };
        spans.push(say(format!("  {what} {progress}"), Role::Active));
    }
    match snapshot.eta_s.filter(|_| snapshot.phase == Phase::Running) {
        Some(eta) if eta > 0 => spans.push(say(format!("  ETA {}", text::duration(eta as f64)), Role::Base)),
        None if snapshot.phase == Phase::Running && room >= 70 => {
            let guess = snapshot.eta_guess_s.filter(|guess| *guess > 0);
            let said =
                guess.map_or("estimating ETA".into(), |guess| format!("ETA about {}", text::about(guess as f64)));
            spans.push(say(format!("  {said}"), Role::Dim));
        }
        _ => {}
    }
    if let Some(joint) = joint.filter(|_| room >= 70) {
        let engines = text::plural(joint.engines as u64, "engine", "engines");
        let silent = if joint.silent > 0 { format!(", {} silent", joint.silent) } else { String::new() };
        let role = if joint.silent > 0 { Role::Warn } else { Role::Base };
        spans.push(say(format!("  {engines}{silent}"), role));
    }
    let machine = app.snapshot().map(|snapshot| snapshot.machine.clone()).unwrap_or_default();
    if let Some([free, _]) = machine.disk.filter(|_| room >= 90) {
        let short = machine.disk_needed.is_some_and(|needed| needed > free);
        let role = if short { Role::Error } else { Role::Dim };
        let word = if short { "free: too little" } else { "free" };
        spans.push(say(format!("  {} {word}", text::bytes(free)), role));
    }
    spans.push(say(" ".into(), Role::Base));
    // The names come first.
    let named = app.welcome().map_or(0, |welcome| {
        12 + text::width(&text::sanitized(&welcome.dataset)) + if welcome.synthetic_weights { 8 } else { 0 }
    });
    let used: usize = spans.iter().map(|span| text::width(&span.content)).sum();
    if let Some(at) = label_at.filter(|_| named + used + OF_RUN.len() < room) {
        spans.insert(at, say(OF_RUN.into(), Role::Base));
    }
    spans
}

/// What the percentage is of.
const OF_RUN: &str = " of the run";

pub(super) fn phase_word(snapshot: &Snapshot) -> &'static str {
    let is_loading = !snapshot.devices.is_empty() && snapshot.devices.iter().all(|device| device.status == "starting");
    match snapshot.phase {
        Phase::Running if is_loading => "loading the model",
        Phase::Starting if snapshot.held_by.is_some() => "waiting for the dataset folder",
        Phase::Starting => "starting",
        Phase::Waiting => "ready to start",
        Phase::Running if snapshot.reason.is_some() => "waiting for other engines",
        Phase::Running => "running",
        Phase::Paused => "paused",
        Phase::Held if snapshot.held_by == Some(Folder::Dataset) => "waiting for the dataset folder",
        Phase::Held => "waiting for the output folder",
        Phase::Finishing => "finishing the videos in progress",
        Phase::Stopping => "stopping",
        Phase::Idle => "idle",
    }
}

/// The order in which the states are shown. Ignored files are shown by the filter only.
const ORDER: [RowState; RowState::ALL.len() - 1] = [
    RowState::Done,
    RowState::Running,
    RowState::Queued,
    RowState::Failed,
    RowState::Missing,
    RowState::Stale,
    RowState::Excluded,
    RowState::LeftOut,
    RowState::Refused,
];

/// Videos by state.
fn counts(app: &App, x: u16, y: u16, room: usize, buffer: &mut Buffer) {
    let theme = &app.options.theme;
    let Some(snapshot) = app.snapshot() else { return };
    // As everywhere, a video is a file: missing ones are counted apart.
    let videos = RowState::ALL.into_iter().filter(|state| state.is_video() && *state != RowState::Missing);
    let all = videos.map(|state| count_of(&snapshot.states, state)).sum();
    // On a narrow terminal, the total comes after the states, and the devices show their rates.
    let (left, of_all) = match room >= 100 {
        true => (format!(" {}:", text::plural(all, "video", "videos")), String::new()),
        false => (String::new(), format!("of {} ", text::count(all))),
    };
    // These are always shown, so that the line does not jump when the first one appears.
    let always = |state| matches!(state, RowState::Done | RowState::Running | RowState::Failed);
    let mut of_states = snapshot.states;
    if let Some(joint) = app.joint() {
        // To the window's own engine, the videos in progress elsewhere are queued.
        let [running, queued] = [RowState::Running, RowState::Queued].map(|state| state as usize);
        let unfinished = of_states[running] + of_states[queued];
        of_states[running] = unfinished.min(joint.snapshot.counts.running.min(u32::MAX as usize) as u32);
        of_states[queued] = unfinished - of_states[running];
    }
    // Of the videos in progress, those that wait for the one before them.
    let waiting = app.run().map_or(0, |(snapshot, _)| snapshot.waiting_on_devices() as u64);
    let waiting = waiting.min(count_of(&of_states, RowState::Running));
    let states =
        ORDER.into_iter().map(|state| (app.state_style(state), count_of(&of_states, state), always(state), false));
    let running = app.state_style(RowState::Running).glyph;
    // A run does not check files.
    let found = Finding::ALL.into_iter().filter(|finding| *finding != Finding::Unchecked || !app.is_active());
    let found = found.map(|finding| (theme.finding(finding), findings_of(&snapshot.findings, finding), false, true));
    let counted: Vec<_> = states.chain(found).filter(|(_, count, always, _)| *count > 0 || *always).collect();
    // A video has one state and any number of findings.
    let first_finding = counted.iter().position(|(.., is_finding)| *is_finding);
    // `of_zeros`: zeros have words, too.
    let shown = |(words, of_zeros, entries): (usize, bool, usize)| -> Vec<Span<'static>> {
        let divider = if theme.is_ascii() { " |" } else { " │" };
        let divider = if of_zeros { format!("{divider} of these") } else { divider.to_owned() };
        let span = |(place, (shown, count, ..)): (usize, &(StateStyle, u64, bool, bool))| {
            let style = if *count == 0 { theme.style(Role::Dim) } else { shown.style };
            let word =
                if place < words && (of_zeros || *count > 0) { format!(" {}", shown.word) } else { String::new() };
            let divider = if Some(place) == first_finding { divider.as_str() } else { "" };
            let divider = Span::styled(divider.to_owned(), theme.style(Role::Dim));
            let number = match (waiting > 0 && shown.glyph == running, word.is_empty()) {
                (false, _) => text::count(*count),
                (true, false) => format!("{} + {} next", text::count(*count - waiting), text::count(waiting)),
                (true, true) => format!("{}+{}", text::count(*count - waiting), text::count(waiting)),
            };
            [divider, Span::styled(format!(" {}{word} {number} ", shown.glyph), style)]
        };
        let mut spans: Vec<_> = counted.iter().take(entries).enumerate().flat_map(span).collect();
        if entries < counted.len() {
            spans.push(Span::styled(format!("{} ", theme.ellipsis()), theme.style(Role::Dim)));
        }
        spans
    };
    let width = |spans: &[Span<'_>]| spans.iter().map(|span| text::width(&span.content)).sum::<usize>();
    let fits = |spans: &Vec<Span<'_>>| text::width(&left) + width(spans) + text::width(&of_all) <= room;
    // As many have words as fit, the most important ones first. Help explains the glyphs, and the filter counts all states.
    let entries = counted.len();
    let least = if room >= 60 { entries.min(4) } else { 0 };
    let words = (least..=entries).rev().map(|words| (words, false, entries));
    let fewer = (0..entries).rev().map(|entries| (least, false, entries));
    let spans = std::iter::once((entries, true, entries)).chain(words).chain(fewer).map(shown).find(fits);
    let spans = spans.unwrap_or_default();
    let left = Span::styled(left, theme.style(Role::Base));
    let used = line(buffer, x, y, room, [left].into_iter().chain(spans).collect(), theme);
    let long = format!("of {} ", text::plural(all, "video", "videos"));
    let right = match of_all.is_empty() {
        true => rates(app),
        false if used + text::width(&long) <= room => long,
        false => of_all,
    };
    let right_width = text::width(&right);
    if used + right_width <= room {
        buffer.set_string(x + (room - right_width) as u16, y, right, theme.style(Role::Dim));
    }
}

fn rates(app: &App) -> String {
    let Some((snapshot, _)) = app.run().filter(|_| !app.is_stale()) else { return String::new() };
    if snapshot.phase != Phase::Running {
        return String::new();
    }
    let videos = snapshot.videos_per_s.map(|videos| text::rate(Some(videos), "videos"));
    let clips = snapshot.clips_per_s.map(|clips| text::rate(Some(clips), "clips"));
    let rates: Vec<String> = [videos, clips].into_iter().flatten().collect();
    format!("  {} ", rates.join(app.options.theme.separator()))
}
