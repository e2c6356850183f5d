//! The first start in a folder without a configuration: a short form that checks what is typed and writes config.toml.
//! Decides alone; looking and writing are handed out as effects, to be done where waiting does no harm.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use complete::{CompletionRequest, Completions};

use super::action::Action;
use super::input::{Edit, Input};
use super::keymap::{self, Context, Keymap};
use super::keys::Key;

pub mod check;
pub mod complete;
mod suggest;
mod view;
pub mod write;

pub use suggest::suggested;

/// A line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The dataset folder.
    Root,
    /// The output folder.
    Out,
    /// The weights.
    Checkpoint,
    /// What should be there.
    Manifest,
    /// Where to compute.
    Devices,
}

impl Field {
    /// All of them, in the order of the form.
    pub const ALL: [Self; 5] = [Self::Root, Self::Out, Self::Checkpoint, Self::Manifest, Self::Devices];

    /// What it is called.
    pub fn label(self) -> &'static str {
        match self {
            Self::Root => "dataset folder",
            Self::Out => "output folder",
            Self::Checkpoint => "checkpoint",
            Self::Manifest => "manifest",
            Self::Devices => "devices",
        }
    }

    /// What it is called where there is little room.
    pub fn short(self) -> &'static str {
        match self {
            Self::Root => "dataset",
            Self::Out => "output",
            Self::Checkpoint | Self::Manifest | Self::Devices => self.label(),
        }
    }

    /// What it is, in a line.
    pub fn help(self) -> &'static str {
        match self {
            Self::Root => "A folder for each class in it. Nothing there is changed.",
            Self::Out => "For features, lists, exports. Not in the dataset folder.",
            Self::Checkpoint => "A .pth file, or `seeded`: made up, to try things out.",
            Self::Manifest => "What should be there: HACS's own file or a list.",
            Self::Devices => "cpu, cuda:0, cuda:0,cuda:1, cpu*2, all: a worker each.",
        }
    }

    /// Files of this name are an answer.
    fn takes_file(self, name: &str) -> bool {
        match self {
            Self::Root | Self::Out | Self::Devices => false,
            Self::Checkpoint => [".pth", ".pt"].iter().any(|end| name.ends_with(end)),
            Self::Manifest => [".json", ".txt", ".csv", ".lst", ".list"].iter().any(|end| name.ends_with(end)),
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// What is filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// The dataset folder.
    pub root: String,
    /// The output folder.
    pub out: String,
    /// The weights.
    pub checkpoint: String,
    /// What should be there; may be empty.
    pub manifest: String,
    /// Where to compute.
    pub devices: String,
}

/// What a check of a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be; what was found.
    Fine(String),
    /// It will do, and there is something to know about it.
    Warn(String),
    /// It will not do: why, and what to do about it.
    Wrong(String),
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// [`check::check`] this and hand it to [`Setup::check_done`].
    Check(Box<check::CheckRequest>),
    /// [`complete::complete`] and hand it to [`Setup::completed`].
    Complete(CompletionRequest),
    /// [`write::write`] this and hand what came of it to [`Setup::written`].
    Write(Box<write::WriteRequest>),
    /// The configuration is there: go on with it.
    Done(PathBuf),
    /// Give the terminal back for a while.
    Suspend,
    /// The user wants none.
    Quit,
}

#[derive(Clone, Debug, Default)]
struct FieldState {
    input: Input,
    verdict: Option<Verdict>,
    /// A check is on its way.
    is_checking: bool,
    /// The text has changed since.
    is_outdated: bool,
}

/// What a line at the bottom says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Notice {
    #[default]
    None,
    Hint(String),
    Problem(String),
}

/// The form.
#[derive(Clone, Debug)]
pub struct Setup<'k> {
    keymap: &'k Keymap,
    folder: PathBuf,
    home: Option<PathBuf>,
    fields: [FieldState; 5],
    /// The line that keys go to; behind the last one is the button.
    focus: usize,
    /// Names that the text before the cursor may become.
    suggestions: Vec<String>,
    notice: Notice,
    /// To be written as soon as all checks are there.
    write_when_checked: bool,
    is_writing: bool,
    /// Something was typed.
    is_edited: bool,
    /// The next press of the key leaves.
    leave_armed: bool,
}

impl<'k> Setup<'k> {
    /// A form for the folder that config.toml is to lie in, filled in with these. The effects are to be done at once.
    pub fn new(keymap: &'k Keymap, folder: PathBuf, home: Option<PathBuf>, values: Values) -> (Self, Vec<Effect>) {
        let Values { root, out, checkpoint, manifest, devices } = values;
        let fields = [root, out, checkpoint, manifest, devices];
        let fields = fields.map(|text| FieldState { input: Input::new(text), ..FieldState::default() });
        let mut setup = Self {
            keymap,
            folder,
            home,
            fields,
            focus: 0,
            suggestions: vec![],
            notice: Notice::None,
            write_when_checked: false,
            is_writing: false,
            is_edited: false,
            leave_armed: false,
        };
        let effects = Field::ALL.into_iter().filter_map(|field| setup.ask(field)).collect();
        (setup, effects)
    }

    /// What is filled in now.
    pub fn values(&self) -> Values {
        let [root, out, checkpoint, manifest, devices] =
            Field::ALL.map(|field| self.state(field).input.text().trim().to_owned());
        Values { root, out, checkpoint, manifest, devices }
    }

    /// What is known of a line; none while it is being looked at for the first time.
    #[cfg(test)]
    pub fn verdict(&self, field: Field) -> Option<&Verdict> {
        self.state(field).verdict.as_ref()
    }

    fn state(&self, field: Field) -> &FieldState {
        &self.fields[field.index()]
    }

    /// The line that keys go to; none is the button.
    fn focused(&self) -> Option<Field> {
        Field::ALL.get(self.focus).copied()
    }

    /// Has a line checked; one check of each is on its way at a time.
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

    /// What came of a check.
    pub fn check_done(&mut self, result: check::CheckResult) -> Vec<Effect> {
        let state = &mut self.fields[result.field.index()];
        state.is_checking = false;
        if std::mem::take(&mut state.is_outdated) {
            return self.ask(result.field).into_iter().collect();
        }
        state.verdict = Some(result.verdict);
        if self.write_when_checked { self.write() } else { vec![] }
    }

    /// What begins as what was typed. Too late where something else has been typed since.
    pub fn completed(&mut self, completions: &Completions) -> Vec<Effect> {
        let state = &mut self.fields[completions.field.index()];
        if self.focus != completions.field.index() || state.input.before() != completions.typed {
            return vec![];
        }
        let Some(common) = completions.common() else {
            self.notice = Notice::Hint("nothing there begins so".into());
            return vec![];
        };
        self.suggestions = if completions.names.len() > 1 { completions.names.clone() } else { vec![] };
        if common == completions.typed {
            if completions.names.len() == 1 {
                self.notice = Notice::Hint("that is all there is; enter goes on".into());
            }
            return vec![];
        }
        state.input.replace_before(&common);
        self.changed(completions.field)
    }

    /// What came of writing the file.
    pub fn written(&mut self, result: Result<PathBuf, String>) -> Vec<Effect> {
        self.is_writing = false;
        match result {
            Ok(path) => vec![Effect::Done(path)],
            Err(error) => {
                self.notice = Notice::Problem(error);
                vec![]
            }
        }
    }

    /// A text from the clipboard.
    pub fn paste(&mut self, text: &str) -> Vec<Effect> {
        let Some(field) = self.focused().filter(|_| !self.is_writing) else { return vec![] };
        // A path that was copied as a whole line.
        match self.fields[field.index()].input.insert(text.trim_end_matches(['\n', '\r'])) {
            Edit::Changed => self.changed(field),
            _ => vec![],
        }
    }

    /// A key.
    pub fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let found = self.keymap.find(Context::Form, &[Key::of(key)]);
        match found {
            _ if key.kind == KeyEventKind::Release => return vec![],
            // At any time, and what was begun stays as it is.
            keymap::KeyMatch::Action(Action::Suspend) => return vec![Effect::Suspend],
            _ if self.is_writing => return vec![],
            _ => {}
        }
        let leaving = std::mem::take(&mut self.leave_armed);
        self.notice = Notice::None;
        match found {
            keymap::KeyMatch::Action(Action::Leave) => return self.leave(leaving),
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
        self.focus = self.focus.saturating_add_signed(by).min(Field::ALL.len());
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
        self.notice = Notice::Problem("nothing is written yet; the same key again leaves all the same".into());
        vec![]
    }

    fn complete(&mut self) -> Vec<Effect> {
        match self.focused() {
            None | Some(Field::Devices) => {
                self.go(1);
                vec![]
            }
            Some(field) => {
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

    /// A line has another text: it is checked anew, and with it what depends on it.
    fn changed(&mut self, field: Field) -> Vec<Effect> {
        (self.is_edited, self.write_when_checked) = (true, false);
        let depends = (field == Field::Root).then_some(Field::Out);
        [Some(field), depends].into_iter().flatten().filter_map(|field| self.ask(field)).collect()
    }

    /// Writes the file where all is well, goes to what is not, or waits for what is being looked at.
    fn write(&mut self) -> Vec<Effect> {
        self.write_when_checked = false;
        let wrong = |field: &Field| matches!(self.state(*field).verdict, Some(Verdict::Wrong(_)));
        if self.fields.iter().any(|state| state.is_checking) {
            self.write_when_checked = true;
            self.notice = Notice::Hint("written as soon as all is looked at".into());
            return vec![];
        }
        if let Some(field) = Field::ALL.into_iter().find(wrong) {
            self.focus = field.index();
            self.notice = Notice::Problem(format!("nothing was written: the {} will not do", field.label()));
            return vec![];
        }
        self.is_writing = true;
        self.notice = Notice::None;
        let request =
            write::WriteRequest { folder: self.folder.clone(), home: self.home.clone(), values: self.values() };
        vec![Effect::Write(Box::new(request))]
    }
}

/// The text of a path with `~` spelled out, which no shell has seen.
fn expanded<'a>(text: &'a str, home: Option<&Path>) -> Cow<'a, str> {
    let text = text.trim();
    match (text.strip_prefix('~'), home.and_then(Path::to_str)) {
        (Some(""), Some(home)) => Cow::Borrowed(home).into_owned().into(),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            Cow::Owned(format!("{}{rest}", home.trim_end_matches('/')))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Where a path leads.
fn place(text: &str, folder: &Path, home: Option<&Path>) -> PathBuf {
    folder.join(&*expanded(text, home)).components().collect()
}

#[cfg(test)]
mod tests;
