//! What lies on top of the panes: a stack of help, palette, filters being typed, menus and questions.

use super::action::Action;
use super::app::{Pane, Undo};
use super::details::DetailsView;
use super::input::Input;
use super::keymap::{Context, Keymap, Line};
use crate::protocol::Command;
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
        before: String,
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
    pub items: Vec<Item>,
    /// Which is under the cursor.
    pub selected: usize,
    /// It stays open when something was chosen.
    pub stays: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key for it.
    pub key: char,
    /// In words.
    pub label: String,
    /// It is on; none where it is nothing that can be on.
    pub on: Option<bool>,
    /// What it does.
    pub pick: Pick,
}

/// What an answer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// Nothing.
    Close,
    /// Gives orders.
    Order(Order),
    /// Sorts.
    Sort(Column),
    /// Shows videos of a state, or no longer.
    State(RowState),
    /// Shows videos of all states.
    AnyState,
    /// Leaves, and the run goes on.
    Detach,
    /// Ends the run and leaves when it is over.
    LeaveAfter {
        /// Drops what is in hand.
        now: bool,
    },
}

/// Orders that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Order {
    /// One after the other.
    pub commands: Vec<Command>,
    /// What takes them back.
    pub undo: Option<Undo>,
    /// They were for the marked videos, whose marks go.
    pub unmark: bool,
}

impl Order {
    /// A single command that cannot be taken back.
    pub fn single(command: Command) -> Self {
        Self { commands: vec![command], ..Self::default() }
    }
}

impl Item {
    /// An answer that cannot be on or off.
    pub fn new(key: char, label: impl Into<String>, pick: Pick) -> Self {
        Self { key, label: label.into(), on: None, pick }
    }
}

impl Menu {
    /// A question that is answered with yes or no. The cursor is on yes: asking once is enough.
    pub fn question(title: impl Into<String>, text: impl Into<String>, yes: impl Into<String>, order: Order) -> Self {
        Self {
            title: title.into(),
            text: text.into(),
            items: vec![Item::new('y', yes, Pick::Order(order)), Item::new('n', "no, leave it", Pick::Close)],
            selected: 0,
            stays: false,
        }
    }
}

/// Commands that match what was typed, the best first; of equal ones those that can be had here.
pub fn matching(keymap: &Keymap, here: Context, typed: &str) -> Vec<(Action, Line, String)> {
    let mut found = vec![];
    // From the details only what can be had there; from a pane all that panes have.
    let is_to_be_had = |line: &Line| match here.is_on_top() {
        true => here.reaches(line),
        false => !line.context.is_on_top(),
    };
    for (place, (line, keys)) in keymap.lines().enumerate().filter(|(_, (line, _))| is_to_be_had(line)) {
        let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let words = format!("{} {}", line.context.title().to_lowercase(), line.long);
        let score =
            [line.short, line.long, line.action.name(), &words].iter().filter_map(|text| score(text, typed)).min();
        if let Some(score) = score {
            let far = here.chain().iter().position(|context| *context == line.context).unwrap_or(usize::MAX);
            found.push(((score, far, place), (line.action, *line, keys)));
        }
    }
    found.sort_by_key(|(key, _)| *key);
    found.into_iter().map(|(_, found)| found).collect()
}

/// How well a text matches what was typed, letters in order: none, or the less the better.
pub fn score(text: &str, typed: &str) -> Option<usize> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut score = 0;
    let mut from = 0;
    for wanted in typed.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let rest = text.get(from..)?;
        let next = rest.first() == Some(&wanted);
        let starts = |place: &usize| {
            text.get(*place) == Some(&wanted)
                && (*place == 0 || text.get(place - 1).is_some_and(|c| !c.is_alphanumeric()))
        };
        // The next letter, else the beginning of a word, else anywhere.
        let (place, cost) = match next && from > 0 {
            true => (from, 0),
            false => match (from..text.len()).find(starts) {
                Some(place) => (place, 1),
                None => (from + rest.iter().position(|c| *c == wanted)?, 10),
            },
        };
        score += cost + usize::from(place > from) * (place - from).min(20);
        from = place + 1;
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn words_find_commands() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let first = |typed: &str| matching(&keymap, Context::Videos, typed).first().map(|(action, ..)| *action);
        assert_eq!(first("exp"), Some(Action::Export));
        assert_eq!(first("retry failed"), Some(Action::RetryAll));
        assert_eq!(first("deep"), Some(Action::CheckDeep));
        assert_eq!(first("wrl"), Some(Action::WriteList));
        assert_eq!(first("hacs_data"), Some(Action::WriteList));
        assert_eq!(first("quit"), Some(Action::Quit));
        assert_eq!(first("zzzz"), None);
        let of_panes = super::super::keymap::TABLE.iter().filter(|line| !line.context.is_on_top()).count();
        assert_eq!(matching(&keymap, Context::Videos, "").len(), of_panes);
        let there = |typed: &str| matching(&keymap, Context::Details, typed).first().map(|(action, ..)| *action);
        assert_eq!(
            (there("picture"), there("next video"), there("zzzz")),
            (Some(Action::Still), Some(Action::NextVideo), None)
        );
    }

    #[test]
    fn letters_must_come_in_order() {
        assert_eq!(score("retry", "yr"), None);
        assert!(score("mark all", "ma") < score("format", "ma"));
        assert!(score("mark all", "mall").is_some());
        assert_eq!(score("x", ""), Some(0));
    }
}
