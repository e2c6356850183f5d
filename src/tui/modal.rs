//! The overlays: help, command palette, filter input, menus, questions, details, settings and notices.

use std::cell::Cell;

use super::command_group::CommandGroup;
use super::details::DetailsView;
use super::input::Input;
use super::pane::Pane;
use super::setup::Setup;
use super::theme::Theme;
use crate::protocol::row::{Column, Filter, Finding, RowState};

#[derive(Clone, Debug)]
pub(super) enum Modal {
    Help {
        /// The number of lines scrolled past. Drawing limits it to the last page.
        scroll: Cell<usize>,
        /// Only entries with these words are shown.
        search: Input,
        /// The search is being typed.
        typing: bool,
    },
    Palette {
        input: Input,
        /// The index of the selected match.
        selected: usize,
    },
    /// A filter that applies while it is typed.
    Filter {
        input: Input,
        /// The pane that it filters.
        pane: Pane,
        /// The filter to restore on cancel.
        previous: String,
    },
    /// A menu or a question.
    Menu(Menu),
    Details(Box<DetailsView>),
    /// The card at the end of a run. A key of a pane closes it and takes effect.
    RunEnd,
    /// The form of the settings.
    Settings(Box<Setup>),
    /// A text that stays until it is closed.
    Notice {
        title: String,
        text: String,
        /// The settings are the next step: their key opens them.
        offers_settings: bool,
        /// The number of lines scrolled past. Drawing limits it to the last page.
        scroll: Cell<usize>,
    },
}

/// A list of choices, with a question if `text` is not empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Menu {
    pub title: String,
    pub text: String,
    pub items: Vec<MenuItem>,
    pub selected: usize,
    /// Several items can be chosen: the menu stays open after a choice.
    pub several: Option<SeveralChoices>,
    /// The theme before the preview, which closing the menu restores. Moving the cursor shows the theme under it.
    pub theme_before: Option<Theme>,
}

/// The choices in a menu that stays open. They take effect at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeveralChoices {
    /// The filter that esc restores.
    pub before: Filter,
    /// Something was chosen: enter keeps it. Otherwise enter chooses the item under the cursor.
    pub is_changed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct MenuItem {
    pub key: char,
    pub label: String,
    /// `None` for an item that cannot be checked.
    pub checked: Option<bool>,
    pub action: MenuAction,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum MenuAction {
    Close,
    Send(CommandGroup),
    Sort(Column),
    ToggleState(RowState),
    ToggleFinding(Finding),
    ShowAllStates,
    Theme(&'static str),
    /// Opens the settings.
    Settings,
    /// Writes this checkpoint into config.toml and uses it.
    UseWeights(&'static str),
    /// Starts the engine again with config.toml as it is now.
    ReadConfigAgain,
    /// Shows a text that stays until it is closed.
    Show {
        title: &'static str,
        text: String,
    },
    /// Quits while the run continues.
    Detach,
    /// Stops the run and quits when it is over.
    StopAndQuit {
        /// Abandons the videos in progress.
        now: bool,
    },
}

impl MenuItem {
    /// An item that cannot be checked.
    pub(super) fn new(key: char, label: impl Into<String>, action: MenuAction) -> Self {
        Self { key, label: label.into(), checked: None, action }
    }
}

impl Menu {
    /// A menu with the cursor on its first item, which closes after a choice.
    pub(super) fn new(title: impl Into<String>, text: impl Into<String>, items: Vec<MenuItem>) -> Self {
        Self { title: title.into(), text: text.into(), items, selected: 0, several: None, theme_before: None }
    }

    /// A yes-or-no question with the cursor on yes.
    pub(super) fn question(
        title: impl Into<String>,
        text: impl Into<String>,
        yes: impl Into<String>,
        group: CommandGroup,
    ) -> Self {
        let items = vec![MenuItem::new('y', yes, MenuAction::Send(group)), MenuItem::new('n', "no", MenuAction::Close)];
        Self::new(title, text, items)
    }
}
