//! Runs the actions that keys are bound to.

use std::cell::Cell;

use super::{Effect, commands, details, settings, videos};
use crate::config::THEMES;
use crate::format::Format;
use crate::protocol::Command;
use crate::protocol::snapshot::Phase;
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::{App, Connection, Dirty, PendingRequest};
use crate::tui::command_group::CommandGroup;
use crate::tui::input::Input;
use crate::tui::modal::{Menu, MenuAction, MenuItem, Modal};
use crate::tui::pane::Pane;
use crate::tui::reopening::NewSettings;
use crate::tui::text;
use crate::tui::{unavailable_reason, weights};

pub(super) fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    use Action as A;
    if details::act(app, action, effects) {
        return;
    }
    if let Some(reason) = unavailable_reason::unavailable_reason(app, action) {
        return app.say(Level::Info, reason);
    }
    match action {
        A::Quit => commands::quit(app, effects),
        A::Help => app.modals.push(Modal::Help { scroll: Cell::default(), search: Input::default(), typing: false }),
        A::Palette => app.modals.push(Modal::Palette { input: Input::default(), selected: 0 }),
        A::Back => back(app),
        A::Suspend => effects.push(Effect::Suspend),
        A::Redraw => effects.push(Effect::Redraw),
        A::NextPane => cycle_focus(app, 1),
        A::PreviousPane => cycle_focus(app, Pane::ALL.len() - 1),
        A::PaneClasses => focus(app, Pane::Classes),
        A::PaneVideos => focus(app, Pane::Videos),
        A::PaneDevices => focus(app, Pane::Devices),
        A::PaneThroughput => focus(app, Pane::Throughput),
        A::PaneLog => focus(app, Pane::Log),
        A::Zoom => app.zoom = !app.zoom,
        A::StartPause => start_pause(app, effects),
        A::Stop => app.modals.push(Modal::Menu(commands::stop_menu(app))),
        A::RetryAll => commands::retry_all(app, effects),
        A::WriteList => app.command(PendingRequest::Command, Command::WriteList, effects),
        A::Export => app.modals.push(Modal::Menu(export_menu(app))),
        A::WriteMissing => app.command(PendingRequest::Command, Command::WriteMissing, effects),
        A::Rescan => app.command(PendingRequest::Command, Command::Rescan, effects),
        A::Check => app.command(PendingRequest::Command, Command::Check { deep: false }, effects),
        A::CheckDeep => app.modals.push(Modal::Menu(commands::deep_check(app))),
        A::Undo => commands::undo(app, effects),
        A::Settings => effects.push(Effect::ReadSettings),
        A::Theme => app.modals.push(Modal::Menu(theme_menu(app))),
        A::Up => move_cursor(app, -1),
        A::Down => move_cursor(app, 1),
        A::HalfUp => move_cursor(app, -(height(app) + 1) / 2),
        A::HalfDown => move_cursor(app, (height(app) + 1) / 2),
        A::PageUp => move_cursor(app, -height(app)),
        A::PageDown => move_cursor(app, height(app)),
        A::Top => move_cursor(app, isize::MIN / 2),
        A::Bottom => move_cursor(app, isize::MAX / 2),
        A::Open => open(app, effects),
        A::Filter => filter(app),
        A::States => states(app),
        A::Sort if app.focus == Pane::Classes => app.classes.next_order(),
        A::Mark
        | A::Range
        | A::MarkAll
        | A::Invert
        | A::Unmark
        | A::Problems
        | A::Sort
        | A::Reverse
        | A::SortLeft
        | A::SortRight
        | A::Retry
        | A::Exclude
        | A::CopyName
        | A::CopyPath
        | A::CopyReason => videos::act(app, action, effects),
        A::CopyLine => {
            if let Some(line) = app.log.current().map(|entry| entry.line()) {
                app.copy("the line", line, effects);
            }
        }
        A::CopyLog => {
            let text = app.log.shown_text();
            let lines = text::plural(app.log.count() as u64, "line", "lines");
            app.copy(&lines, text, effects);
        }
        A::ShowLog => effects.push(Effect::ShowLog),
        // These belong to the details, which are not open, and to the form.
        A::Close
        | A::CopyDetails
        | A::Still
        | A::PreviousVideo
        | A::NextVideo
        | A::Confirm
        | A::NextLine
        | A::PreviousLine
        | A::Complete
        | A::WriteConfig
        | A::Leave => {}
    }
}

fn focus(app: &mut App, pane: Pane) {
    app.focus = pane;
    app.touch(Dirty::Now);
}

fn cycle_focus(app: &mut App, by: usize) {
    let place = (app.focus.number() - 1 + by) % Pane::ALL.len();
    if let Some(pane) = Pane::ALL.get(place) {
        focus(app, *pane);
    }
}

fn height(app: &App) -> isize {
    let lines = match app.focus {
        Pane::Videos => app.videos.height(),
        Pane::Classes => app.classes.height(),
        Pane::Log => app.log.window(app.log.height).0.len(),
        Pane::Devices | Pane::Throughput => 4,
    };
    lines.max(1) as isize
}

/// Moves the cursor of the focused pane.
pub(super) fn move_cursor(app: &mut App, by: isize) {
    match app.focus {
        Pane::Videos => app.videos.move_by(by),
        Pane::Classes => app.classes.move_to(app.classes.selected().saturating_add_signed(by)),
        Pane::Log => app.log.move_by(by),
        Pane::Devices => {
            let last = app.device_lines().len().saturating_sub(1);
            app.device = app.device.saturating_add_signed(by).min(last);
        }
        Pane::Throughput => {}
    }
}

/// Backs out of one level: a range, a filter, the marks, the zoom or the pane.
fn back(app: &mut App) {
    let backed = match app.focus {
        Pane::Videos => videos::back(app),
        Pane::Classes if !app.classes.text().is_empty() => {
            app.classes.set_filter("");
            true
        }
        Pane::Log if !app.log.text.is_empty() || app.log.min_level > Level::Detail => {
            app.log.set_filter(Level::Detail, "");
            true
        }
        _ => false,
    };
    if !backed && !std::mem::take(&mut app.zoom) {
        focus(app, Pane::Videos);
    }
}

fn start_pause(app: &mut App, effects: &mut Vec<Effect>) {
    if matches!(app.connection, Connection::Gone { .. }) {
        let Some(start) = settings::defer(app, Command::Start, effects) else { return };
        app.connection = Connection::Connecting;
        (app.engine_starting, app.when_ready) = (true, vec![start]);
        return effects.push(Effect::StartEngine);
    }
    match app.phase() {
        Some(Phase::Running) => app.command(PendingRequest::Command, Command::Pause, effects),
        Some(Phase::Paused) => app.command(PendingRequest::Command, Command::Resume, effects),
        Some(Phase::Waiting | Phase::Idle) => match app.snapshot().and_then(|snapshot| snapshot.needs.clone()) {
            Some(needs) if app.new_settings == NewSettings::None => {
                app.modals.push(Modal::Menu(weights::menu(&app.keymap, &needs)))
            }
            _ => app.command(PendingRequest::Command, Command::Start, effects),
        },
        _ => {}
    }
}

fn open(app: &mut App, effects: &mut Vec<Effect>) {
    match app.focus {
        Pane::Videos => {
            if let Some(video) = app.videos.current().map(|row| row.video.clone()) {
                app.videos.pin();
                details::open(app, video, effects);
            }
        }
        Pane::Devices => {
            if let Some(video) = unavailable_reason::in_flight(app).map(str::to_owned) {
                details::open(app, video, effects);
            }
        }
        Pane::Classes => {
            let class = app.classes.current().map(|row| row.class.clone());
            let filter = crate::protocol::row::Filter { class, ..app.videos.filter().clone() };
            // Another class is another list.
            app.videos.move_to_top();
            app.videos.set_view(filter, app.videos.sort());
            focus(app, Pane::Videos);
        }
        Pane::Log => {
            if let Some(entry) = app.log.current() {
                let (title, text) = (format!("{} {}", entry.time, entry.level.word()), entry.text.clone());
                app.notice(&title, text);
            }
        }
        Pane::Throughput => {}
    }
}

fn filter(app: &mut App) {
    let previous = match app.focus {
        Pane::Classes => app.classes.text().to_owned(),
        Pane::Log => app.log.text.clone(),
        _ => app.videos.filter().text.clone(),
    };
    app.modals.push(Modal::Filter { input: Input::selected(previous.clone()), pane: app.focus, previous });
}

fn states(app: &mut App) {
    if app.focus == Pane::Log {
        let next = match app.log.min_level {
            Level::Detail => Level::Info,
            Level::Info => Level::Problem,
            Level::Problem => Level::Detail,
        };
        let text = app.log.text.clone();
        return app.log.set_filter(next, &text);
    }
    app.modals.push(Modal::Menu(videos::states_menu(app)));
}

fn export_menu(app: &App) -> Menu {
    let formats = [
        ('p', Format::Pkl, "result.pkl, in MMAction2's format"),
        ('c', Format::Csv, "one CSV per video, for MMAction2's BMN and TCANet"),
        ('n', Format::Npy, "one NPY per video, for ActionFormer and OpenTAD"),
        ('z', Format::Npz, "one NPZ per video"),
        ('h', Format::H5, "one HDF5 file with a dataset per video"),
    ];
    let item = |(key, format, what): (char, Format, &str)| {
        let name = format.name().to_owned();
        let order = CommandGroup::single(Command::Export { formats: vec![name.clone()] });
        MenuItem::new(key, format!("{name:4} {what}"), MenuAction::Send(order))
    };
    let own = match app.welcome() {
        Some(welcome) if welcome.exports_result => " A run that finishes exports result.pkl by itself.",
        _ => "",
    };
    let text = format!("Exports the finished videos.{own} missing.txt lists videos without a feature.");
    Menu::new("Export", text, formats.into_iter().map(item).collect())
}

fn theme_menu(app: &App) -> Menu {
    let now = app.options.theme.name();
    let item = |(place, name): (usize, &'static str)| MenuItem {
        key: char::from_digit(place as u32 + 1, 10).unwrap_or(' '),
        label: name.to_owned(),
        checked: Some(name == now),
        action: MenuAction::Theme(name),
    };
    let items: Vec<MenuItem> = THEMES.into_iter().enumerate().map(item).collect();
    let selected = items.iter().position(|item| item.checked == Some(true)).unwrap_or(0);
    let menu = Menu::new("Theme", "Move the cursor to preview a theme.", items);
    Menu { selected, theme_before: Some(app.options.theme), ..menu }
}
