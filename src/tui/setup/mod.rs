//! The first start in a folder without a configuration: a short form that checks what is typed and writes config.toml.
//! Decides alone; looking and writing are handed out as effects, to be done where waiting does no harm.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use complete::{Found, Wanted};
use input::{Input, Typed};

use super::action::Action;
use super::keymap::{self, Context, Keymap};
use super::keys::Key;

pub mod check;
pub mod complete;
mod input;
mod suggest;
mod view;
pub mod write;

pub use suggest::suggested;

/// A line of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
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

impl Name {
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
    /// [`check::answer`] this and hand it to [`Setup::check_done`].
    Check(Box<check::Question>),
    /// [`complete::look`] and hand it to [`Setup::completed`].
    Complete(Wanted),
    /// [`write::write`] this and hand what came of it to [`Setup::written`].
    Write(Box<write::Order>),
    /// The configuration is there: go on with it.
    Done(PathBuf),
    /// Give the terminal back for a while.
    Suspend,
    /// The user wants none.
    Quit,
}

#[derive(Clone, Debug, Default)]
struct Field {
    input: Input,
    verdict: Option<Verdict>,
    /// A check is on its way.
    is_asked: bool,
    /// The text has changed since.
    is_old: bool,
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
    fields: [Field; 5],
    /// The line that keys go to; behind the last one is the button.
    focus: usize,
    /// Names that the text before the cursor may become.
    offered: Vec<String>,
    notice: Notice,
    /// To be written as soon as all checks are there.
    is_wanted: bool,
    is_writing: bool,
    /// Something was typed.
    is_touched: bool,
    /// The next press of the key leaves.
    is_leaving: bool,
}

impl<'k> Setup<'k> {
    /// A form for the folder that config.toml is to lie in, filled in with these. The effects are to be done at once.
    pub fn new(keymap: &'k Keymap, folder: PathBuf, home: Option<PathBuf>, values: Values) -> (Self, Vec<Effect>) {
        let Values { root, out, checkpoint, manifest, devices } = values;
        let fields = [root, out, checkpoint, manifest, devices];
        let fields = fields.map(|text| Field { input: Input::new(text), ..Field::default() });
        let mut setup = Self {
            keymap,
            folder,
            home,
            fields,
            focus: 0,
            offered: vec![],
            notice: Notice::None,
            is_wanted: false,
            is_writing: false,
            is_touched: false,
            is_leaving: false,
        };
        let effects = Name::ALL.into_iter().filter_map(|name| setup.ask(name)).collect();
        (setup, effects)
    }

    /// What is filled in now.
    pub fn values(&self) -> Values {
        let [root, out, checkpoint, manifest, devices] =
            Name::ALL.map(|name| self.field(name).input.text().trim().to_owned());
        Values { root, out, checkpoint, manifest, devices }
    }

    /// What is known of a line; none while it is being looked at for the first time.
    pub fn verdict(&self, name: Name) -> Option<&Verdict> {
        self.field(name).verdict.as_ref()
    }

    fn field(&self, name: Name) -> &Field {
        &self.fields[name.index()]
    }

    /// The line that keys go to; none is the button.
    fn focused(&self) -> Option<Name> {
        Name::ALL.get(self.focus).copied()
    }

    /// Has a line checked; one check of each is on its way at a time.
    fn ask(&mut self, name: Name) -> Option<Effect> {
        let field = &mut self.fields[name.index()];
        if field.is_asked {
            field.is_old = true;
            return None;
        }
        field.is_asked = true;
        let question =
            check::Question { what: name, folder: self.folder.clone(), home: self.home.clone(), values: self.values() };
        Some(Effect::Check(Box::new(question)))
    }

    /// What came of a check.
    pub fn check_done(&mut self, answer: check::Answer) -> Vec<Effect> {
        let field = &mut self.fields[answer.what.index()];
        field.is_asked = false;
        if std::mem::take(&mut field.is_old) {
            return self.ask(answer.what).into_iter().collect();
        }
        field.verdict = Some(answer.verdict);
        if self.is_wanted { self.write() } else { vec![] }
    }

    /// What begins as what was typed. Too late where something else has been typed since.
    pub fn completed(&mut self, found: &Found) -> Vec<Effect> {
        let field = &mut self.fields[found.what.index()];
        if self.focus != found.what.index() || field.input.before() != found.typed {
            return vec![];
        }
        let Some(common) = found.common() else {
            self.notice = Notice::Hint("nothing there begins so".into());
            return vec![];
        };
        self.offered = if found.names.len() > 1 { found.names.clone() } else { vec![] };
        if common == found.typed {
            if found.names.len() == 1 {
                self.notice = Notice::Hint("that is all there is; enter goes on".into());
            }
            return vec![];
        }
        field.input.replace_before(&common);
        self.changed(found.what)
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
        let Some(name) = self.focused().filter(|_| !self.is_writing) else { return vec![] };
        // A path that was copied as a whole line.
        match self.fields[name.index()].input.insert(text.trim_end_matches(['\n', '\r'])) {
            Typed::Changed => self.changed(name),
            _ => vec![],
        }
    }

    /// A key.
    pub fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let found = self.keymap.find(Context::Form, &[Key::of(key)]);
        match found {
            _ if key.kind == KeyEventKind::Release => return vec![],
            // At any time, and what was begun stays as it is.
            keymap::Found::Action(Action::Suspend) => return vec![Effect::Suspend],
            _ if self.is_writing => return vec![],
            _ => {}
        }
        let leaving = std::mem::take(&mut self.is_leaving);
        self.notice = Notice::None;
        match found {
            keymap::Found::Action(Action::Leave) => return self.leave(leaving),
            keymap::Found::Action(Action::WriteConfig) => return self.write(),
            keymap::Found::Action(Action::Confirm) if self.focused().is_none() => return self.write(),
            keymap::Found::Action(Action::Confirm | Action::NextLine) => self.go(1),
            keymap::Found::Action(Action::PreviousLine) => self.go(-1),
            keymap::Found::Action(Action::Complete) => return self.complete(),
            _ => {
                let Some(name) = self.focused() else { return vec![] };
                if self.fields[name.index()].input.key(key) == Typed::Changed {
                    self.offered.clear();
                    return self.changed(name);
                }
            }
        }
        vec![]
    }

    fn go(&mut self, by: isize) {
        self.offered.clear();
        self.focus = self.focus.saturating_add_signed(by).min(Name::ALL.len());
    }

    fn leave(&mut self, again: bool) -> Vec<Effect> {
        if !self.offered.is_empty() {
            self.offered.clear();
            return vec![];
        }
        if again || !self.is_touched {
            return vec![Effect::Quit];
        }
        self.is_leaving = true;
        self.notice = Notice::Problem("nothing is written yet; the same key again leaves all the same".into());
        vec![]
    }

    fn complete(&mut self) -> Vec<Effect> {
        match self.focused() {
            None | Some(Name::Devices) => {
                self.go(1);
                vec![]
            }
            Some(what) => {
                let typed = self.field(what).input.before().to_owned();
                vec![Effect::Complete(Wanted { what, typed, folder: self.folder.clone(), home: self.home.clone() })]
            }
        }
    }

    /// A line has another text: it is checked anew, and with it what depends on it.
    fn changed(&mut self, name: Name) -> Vec<Effect> {
        (self.is_touched, self.is_wanted) = (true, false);
        let depends = (name == Name::Root).then_some(Name::Out);
        [Some(name), depends].into_iter().flatten().filter_map(|name| self.ask(name)).collect()
    }

    /// Writes the file where all is well, goes to what is not, or waits for what is being looked at.
    fn write(&mut self) -> Vec<Effect> {
        self.is_wanted = false;
        let wrong = |name: &Name| matches!(self.field(*name).verdict, Some(Verdict::Wrong(_)));
        if self.fields.iter().any(|field| field.is_asked) {
            self.is_wanted = true;
            self.notice = Notice::Hint("written as soon as all is looked at".into());
            return vec![];
        }
        if let Some(name) = Name::ALL.into_iter().find(wrong) {
            self.focus = name.index();
            self.notice = Notice::Problem(format!("nothing was written: the {} will not do", name.label()));
            return vec![];
        }
        self.is_writing = true;
        self.notice = Notice::None;
        let order = write::Order { folder: self.folder.clone(), home: self.home.clone(), values: self.values() };
        vec![Effect::Write(Box::new(order))]
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
