//! What lies on top of the panes: a stack of help, palette, filters being typed, menus and questions.

use super::command_group::CommandGroup;
use super::details::DetailsView;
use super::input::Input;
use super::pane::Pane;
use crate::protocol::row::{Column, RowState};

/// One thing on top.
#[derive(Clone, Debug)]
pub enum Modal {
    /// All keys.
    Help {
        /// Lines above the first that is seen.
        scroll: usize,
    },
    /// Commands by their words.
    Palette {
        /// What is looked for.
        input: Input,
        /// Which of those found.
        selected: usize,
    },
    /// A filter being typed. It works as it is typed.
    Filter {
        /// What.
        input: Input,
        /// Where.
        pane: Pane,
        /// What was there before, for who thinks better of it.
        previous: String,
    },
    /// Something to choose from, or a question.
    Menu(Menu),
    /// All about one video.
    Details(Box<DetailsView>),
    /// A longer text.
    Notice {
        /// What it is about.
        title: String,
        /// The text, its lines.
        text: String,
        /// Lines above the first that is seen.
        scroll: usize,
    },
}

/// Something to choose from, or a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Menu {
    /// What it is about.
    pub title: String,
    /// What is to be considered.
    pub text: String,
    /// The answers.
    pub items: Vec<MenuItem>,
    /// Which is under the cursor.
    pub selected: usize,
    /// It stays_open open when something was chosen.
    pub stays_open: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct MenuItem {
    /// The key for it.
    pub key: char,
    /// In words.
    pub label: String,
    /// It is on; none where it is nothing that can be on.
    pub checked: Option<bool>,
    /// What it does.
    pub action: MenuAction,
}

/// What an answer does.
#[derive(Clone, Debug, PartialEq)]
pub enum MenuAction {
    /// Nothing.
    Close,
    /// Gives commands.
    Send(CommandGroup),
    /// Sorts.
    Sort(Column),
    /// Shows videos of a state, or no longer.
    ToggleState(RowState),
    /// Shows videos of all states.
    ShowAllStates,
    /// Leaves, and the run goes on.
    Detach,
    /// Ends the run and leaves when it is over.
    StopAndQuit {
        /// Drops what is in hand.
        now: bool,
    },
}

impl MenuItem {
    /// An answer that cannot be on or off.
    pub fn new(key: char, label: impl Into<String>, action: MenuAction) -> Self {
        Self { key, label: label.into(), checked: None, action }
    }
}

impl Menu {
    /// A question that is answered with yes or no. The cursor is on yes: asking once is enough.
    pub fn question(
        title: impl Into<String>,
        text: impl Into<String>,
        yes: impl Into<String>,
        group: CommandGroup,
    ) -> Self {
        Self {
            title: title.into(),
            text: text.into(),
            items: vec![
                MenuItem::new('y', yes, MenuAction::Send(group)),
                MenuItem::new('n', "no, leave it", MenuAction::Close),
            ],
            selected: 0,
            stays_open: false,
        }
    }
}
