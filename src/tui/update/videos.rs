//! Runs the actions of the video table: marks, filters, sorting, retry and exclude.

use super::{Effect, bulk_mark, commands};
use crate::protocol::Command;
use crate::protocol::row::{Column, Filter, Finding, Row, RowState, Select, Sort};
use crate::protocol::words::Level;
use crate::tui::action::Action;
use crate::tui::app::App;
use crate::tui::classes::{count_of, findings_of};
use crate::tui::command_group::CommandGroup;
use crate::tui::marks::{MAX_NAMED, MarkOperation, parts};
use crate::tui::modal::{Menu, MenuAction, MenuItem, Modal, SeveralChoices};
use crate::tui::pane::Pane;
use crate::tui::text;
use crate::tui::view::videos::direction;
use crate::tui::view::{self, columns, layout};

pub(super) fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    use Action as A;
    if matches!(action, A::Retry | A::Exclude)
        && let Some((from, to)) = app.videos.finish_range()
    {
        // Where the range began, not at the end of what has just been excluded.
        app.videos.move_to(from);
        if let Some(action) = bulk_mark::begin(app, from, to + 1, MarkOperation::MarkAnd(action), effects) {
            act(app, action, effects);
        }
        return;
    }
    match action {
        A::Mark => mark(app),
        A::Range => {
            if let Some((from, to)) = app.videos.toggle_range() {
                bulk_mark::begin(app, from, to + 1, MarkOperation::Mark, effects);
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
        A::SortLeft => next_column(app, false),
        A::SortRight => next_column(app, true),
        A::Retry => retry(app, effects),
        A::Exclude => exclude(app, effects),
        A::CopyName | A::CopyPath => copy(app, action == A::CopyPath, effects),
        A::CopyReason => {
            if let Some(reason) = app.videos.current().and_then(|row| row.reason.clone()) {
                app.copy("the reason", reason, effects);
            }
        }
        _ => {}
    }
}

fn mark(app: &mut App) {
    let Some(row) = app.videos.current() else { return };
    let (video, state) = (row.video.clone(), row.state);
    match app.marks.toggle(&video, state) {
        Ok(()) => app.videos.move_by(1),
        Err(reason) => app.say(Level::Info, reason),
    }
}

fn mark_all(app: &mut App, effects: &mut Vec<Effect>) {
    let total = app.videos.total();
    app.videos.end_range();
    match total > MAX_NAMED {
        true => app.marks.mark_all(app.videos.filter().clone(), total),
        false => drop(bulk_mark::begin(app, 0, total, MarkOperation::Mark, effects)),
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
    if total > MAX_NAMED {
        let reason = format!(
            "{} are too many to mark one by one; at most {} can be inverted",
            text::count(total as u64),
            text::count(MAX_NAMED as u64)
        );
        return app.say(Level::Info, reason);
    }
    bulk_mark::begin(app, 0, total, MarkOperation::Invert, effects);
}

/// Changes the filter and keeps the order.
pub(super) fn set_filter(app: &mut App, filter: Filter) {
    let sort = app.videos.sort();
    app.videos.set_view(filter, sort);
}

pub(super) fn sort_by(app: &mut App, sort: Sort) {
    let filter = app.videos.filter().clone();
    app.videos.set_view(filter, sort);
}

/// Sorts by the next visible column to the right, or to the left.
fn next_column(app: &mut App, to_the_right: bool) {
    let sort = app.videos.sort();
    let room = layout::current(app).videos.map_or(0, |area| usize::from(area.width.saturating_sub(2)));
    let shown: Vec<Column> =
        view::videos::columns(app, room).into_iter().filter_map(|(column, _)| column.header().1).collect();
    let mut order: Vec<Column> = columns::SORTED.iter().map(|(column, ..)| *column).collect();
    if !to_the_right {
        order.reverse();
    }
    let place = order.iter().position(|column| *column == sort.by).unwrap_or(0);
    if let Some(by) = order.iter().cycle().skip(place + 1).take(order.len()).find(|column| shown.contains(column)) {
        sort_by(app, Sort { by: *by, ..sort });
    }
}

fn problems(app: &mut App) {
    let filter = app.videos.filter().clone();
    let Filter { states, findings, .. } = if filter.is_problems() { Filter::default() } else { Filter::problems() };
    set_filter(app, Filter { states, findings, ..filter });
}

/// Backs out of one level; false if there was none.
pub(super) fn back(app: &mut App) -> bool {
    if app.videos.end_range() {
        return true;
    }
    let filter = app.videos.filter().clone();
    if !filter.text.is_empty() {
        set_filter(app, Filter { text: String::new(), ..filter });
    } else if !filter.states.is_empty() || !filter.findings.is_empty() {
        set_filter(app, Filter { states: vec![], findings: vec![], ..filter });
    } else if filter.class.is_some() {
        set_filter(app, Filter { class: None, ..filter });
        app.classes.move_to(0);
    } else if !app.marks.is_empty() {
        app.marks.clear();
    } else {
        return false;
    }
    true
}

fn sort_menu(app: &App) -> Menu {
    let sort = app.videos.sort();
    let item = |(column, key, name): &(Column, char, &str)| MenuItem {
        key: *key,
        label: match *column == sort.by {
            true => format!("{name}, {}", direction(sort.descending)),
            false => (*name).to_owned(),
        },
        checked: Some(*column == sort.by),
        action: MenuAction::Sort(*column),
    };
    let selected = columns::SORTED.iter().position(|(column, ..)| *column == sort.by).unwrap_or(0);
    let items = columns::SORTED.iter().map(item).collect();
    Menu {
        selected,
        ..Menu::new(
            "Sort by",
            "Choose the same column again to reverse the order. Videos without a value come last.",
            items,
        )
    }
}

/// Keys for the states, in the order of [`RowState::ALL`].
const STATE_KEYS: [char; RowState::ALL.len()] = ['f', 'm', 'r', 's', 'w', 'q', 'd', 'x', 'l', 'i'];

/// Keys for the findings, in the order of [`Finding::ALL`].
const FINDING_KEYS: [char; Finding::ALL.len()] = ['c', 'b', 't', 'e', 'g', 'u', 'n'];

/// The cursor is on the first chosen state.
pub(super) fn states_menu(app: &App) -> Menu {
    let items = states_items(app);
    let selected = items.iter().position(|item| item.checked == Some(true)).unwrap_or(0);
    let several = Some(SeveralChoices { before: app.videos.filter().clone(), is_changed: false });
    Menu { selected, several, ..Menu::new("Show states", "", items) }
}

pub(super) fn states_items(app: &App) -> Vec<MenuItem> {
    let Filter { states, findings, .. } = app.videos.filter();
    let counts = app.snapshot().map(|snapshot| snapshot.states).unwrap_or_default();
    let found = app.snapshot().map(|snapshot| snapshot.findings).unwrap_or_default();
    let mut items = vec![MenuItem {
        key: 'a',
        label: "all".into(),
        checked: Some(states.is_empty() && findings.is_empty()),
        action: MenuAction::ShowAllStates,
    }];
    for (state, key) in RowState::ALL.into_iter().zip(STATE_KEYS) {
        let glyph = app.options.theme.state(state).glyph;
        let count = text::count(count_of(&counts, state));
        items.push(MenuItem {
            key,
            label: format!("{glyph} {:14} {count:>9}", state.word()),
            checked: Some(states.contains(&state)),
            action: MenuAction::ToggleState(state),
        });
    }
    for (finding, key) in Finding::ALL.into_iter().zip(FINDING_KEYS) {
        let glyph = app.options.theme.finding(finding).glyph;
        let count = text::count(findings_of(&found, finding));
        items.push(MenuItem {
            key,
            label: format!("{glyph} {:14} {count:>9}", finding.word()),
            checked: Some(findings.contains(&finding)),
            action: MenuAction::ToggleFinding(finding),
        });
    }
    items
}

/// Adds a state to the filter or removes it.
pub(super) fn toggle_state(app: &mut App, state: RowState) {
    let filter = app.videos.filter().clone();
    let mut states = filter.states.clone();
    match states.iter().position(|s| *s == state) {
        Some(place) => drop(states.remove(place)),
        None => states.push(state),
    }
    states.sort_unstable();
    set_filter(app, Filter { states, ..filter });
}

/// Adds a finding to the filter or removes it.
pub(super) fn toggle_finding(app: &mut App, finding: Finding) {
    let filter = app.videos.filter().clone();
    let mut findings = filter.findings.clone();
    match findings.iter().position(|f| *f == finding) {
        Some(place) => drop(findings.remove(place)),
        None => findings.push(finding),
    }
    findings.sort_unstable();
    set_filter(app, Filter { findings, ..filter });
}

/// The videos that an action applies to: the marked ones, or the one under the cursor.
struct Target {
    count: u64,
    states: Vec<RowState>,
    has_feature: bool,
    selects: Vec<Select>,
    from_marks: bool,
    name: String,
}

fn target(app: &App) -> Option<Target> {
    if !app.marks.is_empty() {
        let states: Vec<RowState> = app.marks.states().collect();
        let count = app.marks.len() as u64;
        return Some(Target {
            count,
            has_feature: states.contains(&RowState::Done),
            states,
            selects: app.marks.selects(),
            from_marks: true,
            name: text::plural(count, "video", "videos"),
        });
    }
    let row = app.videos.current()?;
    let target = Target::one(row.video.clone(), row.state);
    Some(Target { has_feature: row.has_feature || target.has_feature, ..target })
}

impl Target {
    fn one(video: String, state: RowState) -> Self {
        let name = video.split_once('/').map_or(video.as_str(), |(_, file)| file);
        Self {
            count: 1,
            states: vec![state],
            has_feature: state == RowState::Done,
            name: text::sanitized(name).into_owned(),
            selects: parts(std::iter::once(video)),
            from_marks: false,
        }
    }

    /// How many of the videos are in one of these states; all of them where the states are not known.
    fn in_states(&self, states: &[RowState]) -> u64 {
        match self.states.as_slice() {
            [] => self.count,
            known => known.iter().filter(|state| states.contains(state)).count() as u64,
        }
    }
}

fn retry(app: &mut App, effects: &mut Vec<Effect>) {
    if let Some(target) = target(app) {
        retry_these(app, target, effects);
    }
}

/// Extracts one video again, regardless of the marks.
pub(super) fn retry_one(app: &mut App, video: String, state: RowState, has_feature: bool, effects: &mut Vec<Effect>) {
    let target = Target::one(video, state);
    let has_feature = has_feature || target.has_feature;
    retry_these(app, Target { has_feature, ..target }, effects);
}

fn retry_these(app: &mut App, target: Target, effects: &mut Vec<Effect>) {
    let queued = if target.states.is_empty() { 0 } else { target.in_states(&[RowState::Queued]) };
    let again = target.in_states(&[RowState::Done, RowState::Stale, RowState::Failed]);
    let group = CommandGroup {
        commands: target.selects.into_iter().map(|select| Command::Redo { select }).collect(),
        unmark: target.from_marks,
        ..CommandGroup::default()
    };
    let overwrites = if target.has_feature { " Existing features will be overwritten." } else { "" };
    if let Some(menu) = commands::start_menu(app, &group, &target.name, queued, again, overwrites) {
        return app.modals.push(Modal::Menu(menu));
    }
    if target.count <= commands::MAX_WITHOUT_QUESTION
        && (!target.has_feature || again == 0)
        && !(target.from_marks && app.marks.are_all())
    {
        return commands::send(app, group, effects);
    }
    let question = format!("Extract {} again?{}{overwrites}", target.name, commands::time_estimate(app, target.count));
    let yes = format!("yes, extract {} again", text::count(target.count));
    app.modals.push(Modal::Menu(Menu::question("Extract again", question, yes, group)));
}

fn exclude(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(target) = target(app) else { return };
    let back = app.includes();
    let is_target = |row: &Row| !target.from_marks || app.marks.has(row, app.videos.filter());
    if app.videos.current().is_some_and(is_target) {
        app.videos.let_go();
    }
    exclude_these(app, &target, back, effects);
}

/// Excludes one video or includes it again, regardless of the marks.
pub(super) fn exclude_one(app: &mut App, video: String, back: bool, effects: &mut Vec<Effect>) {
    exclude_these(app, &Target::one(video, RowState::Queued), back, effects);
}

fn exclude_these(app: &mut App, target: &Target, back: bool, effects: &mut Vec<Effect>) {
    let given =
        |undo: bool| target.selects.iter().cloned().map(|select| Command::Exclude { select, undo }).collect::<Vec<_>>();
    let all = target.from_marks && app.marks.are_all();
    // The filter may match other videos afterwards, so the excluded ones could not be named.
    let undo = (!all).then(|| given(!back));
    let group = CommandGroup { commands: given(back), undo, unmark: target.from_marks };
    if !all && target.count <= commands::MAX_WITHOUT_QUESTION {
        return commands::send(app, group, effects);
    }
    let later = if all { " This cannot be undone in one step." } else { "" };
    let question = match back {
        true => format!("Include {} again?{later}", target.name),
        false => format!("Exclude {} from this run and all later ones?{later}", target.name),
    };
    let yes = if back { "yes, include them" } else { "yes, exclude them" };
    app.modals.push(Modal::Menu(Menu::question(if back { "Include" } else { "Exclude" }, question, yes, group)));
}

fn copy(app: &mut App, path: bool, effects: &mut Vec<Effect>) {
    let Some(row) = app.videos.current() else { return };
    let copied = match (path, app.welcome()) {
        (true, Some(welcome)) => welcome.root.join(&row.video).display().to_string(),
        _ => row.video.clone(),
    };
    let shown = text::sanitized(&copied).into_owned();
    app.copy(&shown, copied, effects);
}

/// Applies a filter to the pane that it is typed for.
pub(super) fn apply_filter(app: &mut App, pane: Pane, typed: &str) {
    match pane {
        Pane::Classes => app.classes.set_filter(typed),
        Pane::Log => {
            let least = app.log.min_level;
            app.log.set_filter(least, typed);
        }
        _ => {
            let filter = Filter { text: typed.to_owned(), ..app.videos.filter().clone() };
            set_filter(app, filter);
        }
    }
}
