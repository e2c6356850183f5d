//! What keys do in the table of videos: marks, filters, orders, and what becomes of videos.

use super::super::action::Action;
use super::super::app::{App, Pane, Undo};
use super::super::classes::{PROBLEMS, count_of};
use super::super::marks::{MOST, commands, parts};
use super::super::modal::{Item, Menu, Modal, Order, Pick};
use super::super::text;
use super::super::view::columns;
use super::bulk_mark::{self, Then};
use super::{Effect, orders};
use crate::protocol::Command;
use crate::protocol::row::{Column, Filter, RowState, Select, Sort};
use crate::protocol::words::Level;

pub(super) fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    use Action as A;
    match action {
        A::Mark => mark(app),
        A::Range => {
            if let Some((from, to)) = app.videos.toggle_range() {
                bulk_mark::begin(app, from, to + 1, Then::Mark, effects);
            }
        }
        A::MarkAll => mark_all(app, effects),
        A::Invert => invert(app, effects),
        A::Unmark => app.marks.clear(),
        A::Problems => problems(app),
        A::Sort => app.modals.push(Modal::Menu(sort_menu(app))),
        A::Reverse => {
            let sort = app.videos.sort();
            sort_by(app, Sort { descending: !sort.descending, ..sort });
        }
        A::SortLeft => next_column(app, columns::SORTED.len() - 1),
        A::SortRight => next_column(app, 1),
        A::Retry => retry(app, effects),
        A::Exclude => exclude(app, effects),
        A::Yank | A::YankPath => yank(app, action == A::YankPath, effects),
        _ => {}
    }
}

fn mark(app: &mut App) {
    let Some(row) = app.videos.current() else { return };
    let (video, state) = (row.video.clone(), row.state);
    match app.marks.toggle(&video, state) {
        Ok(()) => app.videos.step(1),
        Err(reason) => app.say(Level::Info, reason),
    }
}

fn mark_all(app: &mut App, effects: &mut Vec<Effect>) {
    let total = app.videos.total();
    app.videos.end_range();
    match total > MOST {
        true => app.marks.mark_all(app.videos.filter().clone(), total),
        false => bulk_mark::begin(app, 0, total, Then::Mark, effects),
    }
}

fn invert(app: &mut App, effects: &mut Vec<Effect>) {
    let total = app.videos.total();
    if app.marks.are_all() {
        return app.marks.clear();
    }
    if app.marks.is_empty() {
        return mark_all(app, effects);
    }
    if total > MOST {
        let reason = format!(
            "{} are too many to be marked one by one; a filter of at most {} can be inverted",
            text::count(total as u64),
            text::count(MOST as u64)
        );
        return app.say(Level::Info, reason);
    }
    bulk_mark::begin(app, 0, total, Then::Invert, effects);
}

/// Other videos, the order stays.
pub(super) fn look_for(app: &mut App, filter: Filter) {
    let sort = app.videos.sort();
    app.videos.look_for(filter, sort);
}

pub(super) fn sort_by(app: &mut App, sort: Sort) {
    let filter = app.videos.filter().clone();
    app.videos.look_for(filter, sort);
}

fn next_column(app: &mut App, by: usize) {
    let sort = app.videos.sort();
    let place = columns::SORTED.iter().position(|(column, ..)| *column == sort.by).unwrap_or(0);
    if let Some((column, ..)) = columns::SORTED.get((place + by) % columns::SORTED.len()) {
        sort_by(app, Sort { by: *column, descending: sort.descending });
    }
}

fn problems(app: &mut App) {
    let filter = app.videos.filter().clone();
    let states = if filter.states == PROBLEMS { vec![] } else { PROBLEMS.to_vec() };
    look_for(app, Filter { states, ..filter });
}

/// Backs out one level; whether there was one.
pub(super) fn back(app: &mut App) -> bool {
    if app.videos.end_range() {
        return true;
    }
    let filter = app.videos.filter().clone();
    if !filter.text.is_empty() {
        look_for(app, Filter { text: String::new(), ..filter });
    } else if !filter.states.is_empty() {
        look_for(app, Filter { states: vec![], ..filter });
    } else if filter.class.is_some() {
        look_for(app, Filter { class: None, ..filter });
        app.classes.go(0);
    } else if !app.marks.is_empty() {
        app.marks.clear();
    } else {
        return false;
    }
    true
}

fn sort_menu(app: &App) -> Menu {
    let sort = app.videos.sort();
    let item = |(column, key, name): &(Column, char, &str)| Item {
        key: *key,
        label: (*name).to_owned(),
        on: Some(*column == sort.by),
        pick: Pick::Sort(*column),
    };
    Menu {
        title: "Sort by".into(),
        text: "The same one again turns the order round. What is not known comes last.".into(),
        items: columns::SORTED.iter().map(item).collect(),
        selected: columns::SORTED.iter().position(|(column, ..)| *column == sort.by).unwrap_or(0),
        stays: false,
    }
}

/// Keys for the states, in the order of [`RowState::ALL`].
const STATE_KEYS: [char; RowState::ALL.len()] =
    ['f', 'c', 'm', 'w', 'd', 's', 'g', 'r', 'q', 'y', 'u', 'l', 'o', 'x', 'p'];

/// The states to choose from, with how many videos are in each.
pub(super) fn states_menu(app: &App, selected: usize) -> Menu {
    let chosen = &app.videos.filter().states;
    let counts = app.snapshot().map(|snapshot| snapshot.states).unwrap_or_default();
    let mut items = vec![Item { key: 'a', label: "all".into(), on: Some(chosen.is_empty()), pick: Pick::AnyState }];
    for (state, key) in RowState::ALL.into_iter().zip(STATE_KEYS) {
        let glyph = app.choices.theme.state(state).glyph;
        let count = text::count(count_of(&counts, state));
        items.push(Item {
            key,
            label: format!("{glyph} {:14} {count:>9}", state.word()),
            on: Some(chosen.contains(&state)),
            pick: Pick::State(state),
        });
    }
    Menu { title: "Show states".into(), text: String::new(), items, selected, stays: true }
}

/// Shows videos of this state too, or no longer.
pub(super) fn toggle_state(app: &mut App, state: RowState) {
    let filter = app.videos.filter().clone();
    let mut states = filter.states.clone();
    match states.iter().position(|s| *s == state) {
        Some(place) => drop(states.remove(place)),
        None => states.push(state),
    }
    states.sort_unstable();
    look_for(app, Filter { states, ..filter });
}

/// The marked ones, or the one under the cursor: how many, what is known of their states, and what an order says.
struct Meant {
    count: u64,
    states: Vec<RowState>,
    with_feature: bool,
    selects: Vec<Select>,
    are_marks: bool,
    name: String,
}

fn meant(app: &App) -> Option<Meant> {
    if !app.marks.is_empty() {
        let states: Vec<RowState> = app.marks.states().collect();
        let count = app.marks.len() as u64;
        return Some(Meant {
            count,
            with_feature: states.iter().any(|state| has_feature(*state)),
            states,
            selects: app.marks.selects(),
            are_marks: true,
            name: text::counted(count, "video", "videos"),
        });
    }
    let row = app.videos.current()?;
    let meant = Meant::one(row.video.clone(), row.state);
    Some(Meant { with_feature: row.has_feature || meant.with_feature, ..meant })
}

impl Meant {
    fn one(video: String, state: RowState) -> Self {
        let name = video.split_once('/').map_or(video.as_str(), |(_, file)| file);
        Self {
            count: 1,
            states: vec![state],
            with_feature: has_feature(state),
            name: text::harmless(name).into_owned(),
            selects: parts(std::iter::once(video)),
            are_marks: false,
        }
    }
}

fn has_feature(state: RowState) -> bool {
    matches!(state, RowState::Done | RowState::Degraded)
}

fn retry(app: &mut App, effects: &mut Vec<Effect>) {
    if let Some(meant) = meant(app) {
        retry_these(app, meant, effects);
    }
}

/// Extracts one video again, whatever is marked.
pub(super) fn retry_one(app: &mut App, video: String, state: RowState, with_feature: bool, effects: &mut Vec<Effect>) {
    let with_feature = with_feature || has_feature(state);
    retry_these(app, Meant { with_feature, ..Meant::one(video, state) }, effects);
}

fn retry_these(app: &mut App, meant: Meant, effects: &mut Vec<Effect>) {
    let order = Order {
        commands: commands(meant.selects, |select| Command::Redo { select }),
        unmark: meant.are_marks,
        ..Order::default()
    };
    if meant.count <= orders::WITHOUT_ASKING && !meant.with_feature && !(meant.are_marks && app.marks.are_all()) {
        return orders::give(app, order, effects);
    }
    let again = if meant.with_feature { " What is there of them is made anew." } else { "" };
    let question = format!("Extract {} again?{}{again}", meant.name, orders::time_for(app, meant.count));
    let yes = format!("yes, extract {} again", text::count(meant.count));
    app.modals.push(Modal::Menu(Menu::question("Extract again", question, yes, order)));
}

fn exclude(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(meant) = meant(app) else { return };
    // On excluded ones it is the other way round.
    let back = !meant.states.is_empty() && meant.states.iter().all(|state| *state == RowState::Excluded);
    exclude_these(app, &meant, back, effects);
}

/// Leaves one video alone, or no longer, whatever is marked.
pub(super) fn exclude_one(app: &mut App, video: String, back: bool, effects: &mut Vec<Effect>) {
    exclude_these(app, &Meant::one(video, RowState::Ready), back, effects);
}

fn exclude_these(app: &mut App, meant: &Meant, back: bool, effects: &mut Vec<Effect>) {
    let given = |undo: bool| commands(meant.selects.clone(), |select| Command::Exclude { select, undo });
    let all = meant.are_marks && app.marks.are_all();
    // A filter may let others through afterwards: what it let through cannot be named again.
    let undo = (!all).then(|| Undo {
        what: format!("{} {}", if back { "take in" } else { "exclude" }, meant.name),
        commands: given(!back),
    });
    let order = Order { commands: given(back), undo, unmark: meant.are_marks };
    if !all && meant.count <= orders::WITHOUT_ASKING {
        return orders::give(app, order, effects);
    }
    let what = if back { "Take in" } else { "Leave alone, in this run and all later ones," };
    let later = if all { " It cannot be taken back in one step." } else { "" };
    let question = format!("{what} {}?{later}", meant.name);
    let yes = if back { "yes, take them in" } else { "yes, exclude them" };
    app.modals.push(Modal::Menu(Menu::question("Exclude", question, yes, order)));
}

fn yank(app: &mut App, path: bool, effects: &mut Vec<Effect>) {
    let Some(row) = app.videos.current() else { return };
    let copied = match (path, app.welcome()) {
        (true, Some(welcome)) => welcome.root.join(&row.video).display().to_string(),
        _ => row.video.clone(),
    };
    let shown = text::harmless(&copied).into_owned();
    effects.push(Effect::Copy(copied));
    app.say(Level::Info, format!("copied {shown}"));
}

/// The pane that a filter is typed for shows what it finds.
pub(super) fn apply_filter(app: &mut App, pane: Pane, typed: &str) {
    match pane {
        Pane::Classes => app.classes.look_for(typed),
        Pane::Log => {
            let least = app.log.least;
            app.log.show(least, typed);
        }
        _ => {
            let filter = Filter { text: typed.to_owned(), ..app.videos.filter().clone() };
            look_for(app, filter);
        }
    }
}
