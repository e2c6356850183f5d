//! The form of the first start and of the settings. It checks each field and writes config.toml.
//!
//! [`Setup`] only decides. Checks, completion and writing are effects, because they can block.

use std::path::{Path, PathBuf};

use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use complete::{CompletionRequest, Completions};

use super::action::Action;
use super::input::{Edit, Input};
use super::keymap::{self, Context, Keymap};
use super::keys::Key;
use crate::config;

pub(super) mod blocking;
pub(super) mod check;
pub(super) mod complete;
mod field;
mod form_keys;
pub(super) mod in_force;
pub(super) mod in_use;
mod paths;
mod save;
mod suggest;
mod view;
pub(super) mod write;

pub(super) use field::Field;
use in_force::{InForce, Origin};
use in_use::InUse;
pub(super) use paths::home;
use paths::{expanded, place};
pub(super) use suggest::suggested;

/// The contents of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub root: String,
    pub out: String,
    pub checkpoint: String,
    /// May be empty.
    pub manifest: String,
    pub devices: String,
    /// Empty if it is not asked.
    pub layout: String,
    /// The recipe of the command line, which the form does not ask for; empty for the default.
    pub recipe: String,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Valid, and what was found.
    Fine(String),
    /// Valid, with a warning.
    Warn(String),
    /// A valid dataset folder whose layout is not clear.
    Unclear(String),
    /// Invalid: the cause and the next step.
    Wrong(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Run these with [`blocking::run`] and pass the result to [`Setup::answer`].
    Check(Box<check::CheckRequest>),
    Complete(CompletionRequest),
    Write(Box<write::WriteRequest>),
    /// The configuration was written.
    Done(PathBuf),
    Suspend,
    /// The user leaves without writing.
    Quit,
}

#[derive(Clone, Debug, Default)]
struct FieldState {
    input: Input,
    verdict: Option<Verdict>,
    /// A check is running.
    is_checking: bool,
    /// The text has changed since the check began.
    is_outdated: bool,
    /// The user has changed the text.
    is_typed: bool,
    /// In the form of the settings: the value in force, and where it comes from.
    in_force: Option<(String, Origin)>,
}

impl FieldState {
    /// Whether the value differs from the one in force. On a first start none is.
    fn is_changed(&self) -> bool {
        // A completed folder ends in a slash.
        let plain = |text: &str| text.trim().trim_end_matches('/').to_owned();
        self.in_force.as_ref().is_none_or(|(value, _)| plain(self.input.text()) != plain(value))
    }
}

/// The message in the last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Notice {
    #[default]
    None,
    Hint(String),
    /// About the focused field, below which it is shown.
    OfField(String),
    Problem(String),
}

#[derive(Clone, Debug)]
pub(super) struct Setup {
    keymap: Keymap,
    /// The configuration file.
    file: PathBuf,
    /// It does not exist yet.
    is_new: bool,
    /// The folder of the file.
    folder: PathBuf,
    home: Option<PathBuf>,
    fields: [FieldState; 6],
    recipe: String,
    /// In the form of the settings: what the engine uses.
    in_use: Option<InUse>,
    /// There is no engine that uses anything: saving starts one, also without a change.
    engine_is_gone: bool,
    /// The index of the focused field; after the last one comes the button.
    focus: usize,
    /// Completions for the text before the cursor.
    suggestions: Vec<String>,
    notice: Notice,
    /// Write as soon as no check is running.
    write_when_checked: bool,
    is_writing: bool,
    is_edited: bool,
    /// Pressing the leave key again leaves.
    leave_armed: bool,
    /// The keys are shown. The next key hides them.
    shows_keys: bool,
}

impl Setup {
    /// A form for a config.toml in `folder`, where there is none. The effects that it returns must be run.
    pub(super) fn new(keymap: Keymap, folder: PathBuf, home: Option<PathBuf>, values: Values) -> (Self, Vec<Effect>) {
        let mut setup = Self::empty(keymap, folder.join(config::FILE), home, values);
        let effects = setup.ask_all();
        (setup, effects)
    }

    /// A form for the settings in force. The effects that it returns must be run.
    pub(super) fn of_settings(keymap: Keymap, home: Option<PathBuf>, in_force: InForce) -> (Self, Vec<Effect>) {
        let InForce { file, exists, values, origins } = in_force;
        let mut setup = Self::empty(keymap, file, home, values);
        setup.is_new = !exists;
        for (field, origin) in setup.fields.iter_mut().zip(origins) {
            field.in_force = Some((field.input.text().to_owned(), origin));
            // The user has chosen to have none.
            field.is_typed = true;
        }
        let effects = setup.ask_all();
        (setup, effects)
    }

    fn empty(keymap: Keymap, file: PathBuf, home: Option<PathBuf>, values: Values) -> Self {
        let Values { root, out, checkpoint, manifest, devices, layout, recipe } = values;
        let fields = [root, out, checkpoint, manifest, devices, layout];
        let fields = fields.map(|text| FieldState { input: Input::selected(text), ..FieldState::default() });
        Self {
            keymap,
            is_new: true,
            folder: file.parent().map(Path::to_owned).unwrap_or_default(),
            file,
            home,
            fields,
            recipe,
            in_use: None,
            engine_is_gone: false,
            focus: 0,
            suggestions: vec![],
            notice: Notice::None,
            write_when_checked: false,
            is_writing: false,
            is_edited: false,
            leave_armed: false,
            shows_keys: false,
        }
    }

    fn ask_all(&mut self) -> Vec<Effect> {
        self.shown().iter().filter_map(|field| self.ask(*field)).collect()
    }

    /// Whether it shows the settings in force.
    fn is_of_settings(&self) -> bool {
        self.fields.iter().any(|field| field.in_force.is_some())
    }

    pub(super) fn values(&self) -> Values {
        let [root, out, checkpoint, manifest, devices, layout] =
            Field::ALL.map(|field| self.state(field).input.text().trim().to_owned());
        let layout = if self.asks_layout() { layout } else { String::new() };
        Values { root, out, checkpoint, manifest, devices, layout, recipe: self.recipe.clone() }
    }

    fn asks_layout(&self) -> bool {
        let layout = self.state(Field::Layout).in_force.as_ref();
        layout.is_some_and(|(_, origin)| *origin == Origin::File)
            || matches!(self.state(Field::Root).verdict, Some(Verdict::Unclear(_)))
    }

    /// The fields that are asked.
    fn shown(&self) -> &'static [Field] {
        if self.asks_layout() { &Field::ALL } else { &Field::ALWAYS }
    }

    /// The result of the last check; `None` before the first one has finished.
    #[cfg(test)]
    pub(super) fn verdict(&self, field: Field) -> Option<&Verdict> {
        self.state(field).verdict.as_ref()
    }

    fn state(&self, field: Field) -> &FieldState {
        &self.fields[field.index()]
    }

    /// `None` while the button has the focus.
    fn focused(&self) -> Option<Field> {
        self.shown().get(self.focus).copied()
    }

    /// Starts a check. At most one runs per field: a further request takes effect when it has finished.
    fn ask(&mut self, field: Field) -> Option<Effect> {
        let state = &mut self.fields[field.index()];
        if state.is_checking {
            state.is_outdated = true;
            return None;
        }
        state.is_checking = true;
        let request =
            check::CheckRequest { field, folder: self.folder.clone(), home: self.home.clone(), values: self.values() };
        Some(Effect::Check(Box::new(request)))
    }

    pub(super) fn check_done(&mut self, result: check::CheckResult) -> Vec<Effect> {
        let state = &mut self.fields[result.field.index()];
        state.is_checking = false;
        if std::mem::take(&mut state.is_outdated) {
            return self.ask(result.field).into_iter().collect();
        }
        state.verdict = Some(result.verdict);
        let mut effects = vec![];
        // A manifest next to the dataset is offered until the user chooses one.
        let manifest = &mut self.fields[Field::Manifest.index()];
        if let Some(found) = result.manifest.filter(|found| !manifest.is_typed && *found != manifest.input.text()) {
            manifest.input = Input::selected(found);
            effects.extend(self.ask(Field::Manifest));
        }
        if result.field == Field::Root && self.asks_layout() && self.state(Field::Layout).verdict.is_none() {
            effects.extend(self.ask(Field::Layout));
        }
        match effects.is_empty() && self.write_when_checked {
            true => self.write(),
            false => effects,
        }
    }

    /// Takes the result of a completion, unless the text has changed in the meantime.
    pub(super) fn completed(&mut self, completions: &Completions) -> Vec<Effect> {
        let state = &mut self.fields[completions.field.index()];
        if self.focus != completions.field.index() || state.input.before() != completions.typed {
            return vec![];
        }
        let Some(common) = completions.common() else {
            self.notice = Notice::OfField("no match".into());
            return vec![];
        };
        self.suggestions = if completions.names.len() > 1 { completions.names.clone() } else { vec![] };
        // It is complete: the suggestions are what could stand in its place.
        if completions.typed.starts_with(&common) {
            if completions.names.len() == 1 {
                self.notice = Notice::OfField("no more suggestions; enter continues".into());
            }
            return vec![];
        }
        state.input.replace_before(&common);
        self.changed(completions.field)
    }

    pub(super) fn written(&mut self, result: Result<PathBuf, String>) -> Vec<Effect> {
        self.is_writing = false;
        match result {
            Ok(path) => vec![Effect::Done(path)],
            Err(error) => {
                self.notice = Notice::Problem(error);
                vec![]
            }
        }
    }

    pub(super) fn paste(&mut self, text: &str) -> Vec<Effect> {
        let Some(field) = self.focused().filter(|_| !self.is_writing) else { return vec![] };
        // A copied path may end with a line break.
        match self.fields[field.index()].input.insert(text.trim_end_matches(['\n', '\r'])) {
            Edit::Changed => self.changed(field),
            _ => vec![],
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let found = self.keymap.find(Context::Form, &[Key::of(key)]);
        match found {
            _ if key.kind == KeyEventKind::Release => return vec![],
            // Suspending works at any time and changes nothing.
            keymap::KeyMatch::Action(Action::Suspend) => return vec![Effect::Suspend],
            _ if self.is_writing => return vec![],
            _ if std::mem::take(&mut self.shows_keys) => return vec![],
            _ => {}
        }
        let leaving = std::mem::take(&mut self.leave_armed);
        self.notice = Notice::None;
        match found {
            keymap::KeyMatch::Action(Action::Leave) => return self.leave(leaving),
            keymap::KeyMatch::Action(Action::Help) => self.shows_keys = true,
            keymap::KeyMatch::Action(Action::WriteConfig) => return self.write(),
            keymap::KeyMatch::Action(Action::Confirm) if self.focused().is_none() => return self.write(),
            keymap::KeyMatch::Action(Action::Confirm | Action::NextLine) => self.go(1),
            keymap::KeyMatch::Action(Action::PreviousLine) => self.go(-1),
            keymap::KeyMatch::Action(Action::Complete) => return self.complete(),
            _ => {
                let Some(field) = self.focused() else { return vec![] };
                if self.fields[field.index()].input.key(key) == Edit::Changed {
                    self.suggestions.clear();
                    return self.changed(field);
                }
            }
        }
        vec![]
    }

    fn go(&mut self, by: isize) {
        self.suggestions.clear();
        self.focus = self.focus.saturating_add_signed(by).min(self.shown().len());
    }

    fn leave(&mut self, again: bool) -> Vec<Effect> {
        if !self.suggestions.is_empty() {
            self.suggestions.clear();
            return vec![];
        }
        if again || !self.is_edited {
            return vec![Effect::Quit];
        }
        self.leave_armed = true;
        self.notice = Notice::Problem("Unsaved changes: the same key again discards them, ctrl-s saves.".into());
        vec![]
    }

    fn complete(&mut self) -> Vec<Effect> {
        match self.focused() {
            None | Some(Field::Devices | Field::Layout) => {
                self.go(1);
                vec![]
            }
            Some(field) => {
                self.fields[field.index()].input.deselect();
                let typed = self.state(field).input.before().to_owned();
                vec![Effect::Complete(CompletionRequest {
                    field,
                    typed,
                    folder: self.folder.clone(),
                    home: self.home.clone(),
                })]
            }
        }
    }

    /// Checks a changed field and the fields that depend on it.
    fn changed(&mut self, field: Field) -> Vec<Effect> {
        (self.is_edited, self.write_when_checked) = (true, false);
        self.fields[field.index()].is_typed = true;
        let depends = (field == Field::Root).then_some(Field::Out);
        [Some(field), depends].into_iter().flatten().filter_map(|field| self.ask(field)).collect()
    }
}

#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
