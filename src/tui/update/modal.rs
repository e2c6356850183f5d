//! Handles keys while an overlay is open.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Effect, act, commands, settings, videos};
use crate::fetch;
use crate::protocol::row::{Filter, Sort};
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::input::{Edit, Input};
use crate::tui::keymap::{Context, KeyMatch};
use crate::tui::keys::Key;
use crate::tui::modal::{MenuAction, Modal};
use crate::tui::palette::matching;
use crate::tui::pane::Pane;
use crate::tui::run_end;

/// More lines than any text has. The view limits the offset to the last page.
const MAX_SCROLL: usize = 10_000;

/// The meaning of a key in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    By(isize),
    First,
    Last,
    Take,
    Close,
    Other,
}

/// `letters`: letters are commands, because nothing is being typed.
fn movement(event: KeyEvent, letters: bool) -> Move {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Esc => Move::Close,
        KeyCode::Char('c' | 'g') if control => Move::Close,
        KeyCode::Enter => Move::Take,
        KeyCode::Up => Move::By(-1),
        KeyCode::Down => Move::By(1),
        KeyCode::PageUp => Move::By(-10),
        KeyCode::PageDown => Move::By(10),
        KeyCode::Char('p') if control => Move::By(-1),
        KeyCode::Char('n') if control => Move::By(1),
        KeyCode::Char('u') if control && letters => Move::By(-5),
        KeyCode::Char('d') if control && letters => Move::By(5),
        KeyCode::Home if letters => Move::First,
        KeyCode::End if letters => Move::Last,
        KeyCode::Char('k') if letters && !control => Move::By(-1),
        KeyCode::Char('j') if letters && !control => Move::By(1),
        KeyCode::Char('G') if letters => Move::Last,
        KeyCode::Char('g') if letters => Move::First,
        _ => Move::Other,
    }
}

fn moved(from: usize, by: Move, count: usize) -> usize {
    let last = count.saturating_sub(1);
    match by {
        Move::By(by) => from.saturating_add_signed(by).min(last),
        Move::First => 0,
        Move::Last => last,
        _ => from,
    }
}

pub(super) fn key(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    // These work over every overlay.
    if let KeyMatch::Action(action @ (Action::Suspend | Action::Redraw)) =
        app.keymap.find(Context::Everywhere, &[Key::of(event)])
    {
        return act::act(app, action, effects);
    }
    let found = app.keymap.find(Context::Everywhere, &[Key::of(event)]);
    let is_settings = found == KeyMatch::Action(Action::Settings);
    // Other keys for help may be typed.
    let is_help = found == KeyMatch::Action(Action::Help) && Key::of(event).typed().is_none();
    match app.modals.last_mut() {
        Some(Modal::Help { .. }) if is_help => drop(app.modals.pop()),
        Some(Modal::Help { .. }) => help(app, event),
        Some(modal) if is_help && !matches!(modal, Modal::Settings(_)) => act::act(app, Action::Help, effects),
        Some(Modal::Notice { offers_settings: true, .. }) if is_settings => {
            app.modals.pop();
            effects.push(Effect::ReadSettings);
        }
        Some(Modal::Settings(_)) => settings::key(app, event, effects),
        Some(Modal::Notice { scroll, text, .. }) => {
            let by = movement(event, true);
            if event.code == KeyCode::Char('y') {
                let text = text.clone();
                // Of how to download something, the address is of use elsewhere.
                return match text.lines().find(|line| fetch::is_address(line) && !line.contains(' ')) {
                    Some(address) => app.copy("the address", address.to_owned(), effects),
                    None => app.copy("the message", text, effects),
                };
            }
            let closes = matches!(by, Move::Close | Move::Take) || matches!(event.code, KeyCode::Char('q' | '?'));
            match closes {
                true => drop(app.modals.pop()),
                false => scroll.set(moved(scroll.get(), by, MAX_SCROLL)),
            }
        }
        Some(Modal::Palette { .. }) => palette(app, event, effects),
        Some(Modal::Filter { .. }) => filter(app, event),
        Some(Modal::Menu(_)) => menu(app, event, effects),
        // Keys of the details are looked up in the keymap.
        Some(Modal::Details(_) | Modal::RunEnd) | None => {}
    }
}

fn help(app: &mut App, event: KeyEvent) {
    let Some(Modal::Help { scroll, search, typing }) = app.modals.last_mut() else { return };
    if *typing {
        match movement(event, false) {
            Move::Close => (*search, *typing) = (Input::default(), false),
            Move::Take => {
                *typing = false;
                search.deselect();
            }
            Move::Other => {
                if search.key(event) == Edit::Changed {
                    scroll.set(0);
                }
            }
            by => scroll.set(moved(scroll.get(), by, MAX_SCROLL)),
        }
        return;
    }
    let by = movement(event, true);
    match event.code {
        KeyCode::Char('/') => {
            *typing = true;
            search.select();
        }
        KeyCode::Char('q' | '?') => drop(app.modals.pop()),
        _ if by == Move::Close && !search.text().is_empty() => {
            *search = Input::default();
            scroll.set(0);
        }
        _ if matches!(by, Move::Close | Move::Take) => drop(app.modals.pop()),
        _ => scroll.set(moved(scroll.get(), by, MAX_SCROLL)),
    }
}

pub(super) fn paste(app: &mut App, text: &str, effects: &mut Vec<Effect>) {
    match app.modals.last_mut() {
        Some(Modal::Settings(_)) => settings::paste(app, text, effects),
        Some(Modal::Palette { input, selected }) => {
            input.insert(text);
            *selected = 0;
        }
        Some(Modal::Filter { input, pane, .. }) => {
            input.insert(text);
            let (typed, pane) = (input.text().to_owned(), *pane);
            videos::apply_filter(app, pane, &typed);
        }
        Some(Modal::Help { search, typing: true, .. }) => drop(search.insert(text)),
        _ => {}
    }
}

fn palette(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    let here = app.context();
    let Some(Modal::Palette { input, selected }) = app.modals.last_mut() else { return };
    let found = matching(&app.keymap, here, input.text());
    match movement(event, false) {
        Move::Close => drop(app.modals.pop()),
        Move::Take => {
            let chosen = found.get(*selected).map(|(action, line, _)| (*action, line.context));
            app.modals.pop();
            let Some((action, context)) = chosen else { return };
            // Focuses the pane that the action belongs to.
            if !app.context().chain().contains(&context)
                && let Some(pane) = Pane::ALL.into_iter().find(|pane| pane.context().chain().contains(&context))
            {
                app.focus = pane;
            }
            act::act(app, action, effects);
        }
        Move::Other => {
            if input.key(event) != Edit::Ignored {
                *selected = 0;
            }
        }
        by => *selected = moved(*selected, by, found.len()),
    }
}

fn filter(app: &mut App, event: KeyEvent) {
    let Some(Modal::Filter { input, pane, previous }) = app.modals.last_mut() else { return };
    let pane = *pane;
    match movement(event, false) {
        Move::Close => {
            let previous = std::mem::take(previous);
            app.modals.pop();
            videos::apply_filter(app, pane, &previous);
        }
        Move::Take => {
            app.modals.pop();
            if pane == Pane::Videos {
                app.videos.keep_filter();
            }
        }
        Move::Other => {
            if input.key(event) == Edit::Changed {
                let typed = input.text().to_owned();
                videos::apply_filter(app, pane, &typed);
            }
        }
        Move::By(by) => act::move_cursor(app, by),
        Move::First | Move::Last => {}
    }
}

fn menu(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    let Some(Modal::Menu(menu)) = app.modals.last_mut() else { return };
    // The keys of the items come first.
    let typed = Key::of(event).typed();
    let by_key = menu.items.iter().position(|item| Some(item.key) == typed);
    // Pressing Ctrl-C twice quits in the way that loses nothing.
    let interrupts = event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    let detach = menu.items.iter().position(|item| item.action == MenuAction::Detach).filter(|_| interrupts);
    let chosen = match (by_key.or(detach), movement(event, true)) {
        (Some(place), _) => place,
        (None, Move::Close) => return close_menu(app),
        (None, Move::Take) => menu.selected,
        (None, Move::Other) if typed == Some(' ') => menu.selected,
        (None, Move::Other) if typed == Some('q') => return close_menu(app),
        (None, by) => {
            menu.selected = moved(menu.selected, by, menu.items.len());
            let previewed = menu.items.get(menu.selected).map(|item| item.action.clone());
            if let Some(MenuAction::Theme(name)) = previewed {
                app.options.theme = app.options.theme.with_colours_of(name);
            }
            return;
        }
    };
    let Some(item) = menu.items.get(chosen) else { return };
    let (action, is_checked) = (item.action.clone(), item.checked == Some(true));
    menu.selected = chosen;
    match &mut menu.several {
        Some(several) if event.code == KeyCode::Enter => {
            let keeps = several.is_changed || is_checked;
            app.modals.pop();
            if !keeps {
                run_action(app, action, effects);
            }
        }
        // Letters and the space bar keep the menu open.
        Some(several) => {
            several.is_changed = true;
            run_action(app, action, effects);
            refresh(app);
        }
        None => {
            app.modals.pop();
            run_action(app, action, effects);
        }
    }
}

/// Closes a menu and undoes what was chosen in it.
fn close_menu(app: &mut App) {
    let Some(Modal::Menu(menu)) = app.modals.pop() else { return };
    if let Some(theme) = menu.theme_before {
        app.options.theme = theme;
    }
    if let Some(several) = menu.several.filter(|several| several.is_changed) {
        videos::set_filter(app, several.before);
    }
}

/// Shows in a menu that stays open what is chosen now.
fn refresh(app: &mut App) {
    let items = videos::states_items(app);
    if let Some(Modal::Menu(menu)) = app.modals.last_mut() {
        menu.items = items;
    }
}

fn run_action(app: &mut App, action: MenuAction, effects: &mut Vec<Effect>) {
    match action {
        MenuAction::Close => {}
        MenuAction::Send(group) => commands::send(app, group, effects),
        MenuAction::Sort(by) => {
            let sort = app.videos.sort();
            let descending = if sort.by == by { !sort.descending } else { false };
            videos::sort_by(app, Sort { by, descending });
        }
        MenuAction::ToggleState(state) => videos::toggle_state(app, state),
        MenuAction::ToggleFinding(finding) => videos::toggle_finding(app, finding),
        MenuAction::ShowAllStates => {
            let filter = Filter { states: vec![], findings: vec![], ..app.videos.filter().clone() };
            videos::set_filter(app, filter);
        }
        MenuAction::Theme(name) => {
            app.options.theme = app.options.theme.with_colours_of(name);
            effects.push(Effect::KeepTheme(name));
        }
        MenuAction::Settings => effects.push(Effect::ReadSettings),
        // The user was about to start a run.
        MenuAction::UseWeights(checkpoint) => {
            app.starts_when_saved = true;
            effects.push(Effect::UseWeights(checkpoint));
        }
        MenuAction::ReadConfigAgain => {
            app.starts_when_saved = true;
            effects.push(Effect::UseSettings(vec![]));
        }
        MenuAction::Show { title, text } => app.notice(title, text),
        MenuAction::Detach => {
            effects.push(Effect::Quit(run_end::exit_message(app)));
        }
        MenuAction::StopAndQuit { now } => commands::stop_and_quit(app, now, effects),
    }
}
