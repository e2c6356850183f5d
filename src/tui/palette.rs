//! The command palette: a search for words in the key bindings.

use super::action::Action;
use super::keymap::{Binding, Context, Keymap};

/// The bindings that match, the best first. On a tie, bindings of the current context come first.
pub(super) fn matching(keymap: &Keymap, here: Context, typed: &str) -> Vec<(Action, Binding, String)> {
    let mut found = vec![];
    // Over the details, only bindings that work there are offered. Over a pane, those of all panes are.
    let is_to_be_had = |line: &Binding| match here.is_overlay() {
        true => here.offers(line),
        false => !line.context.is_overlay(),
    };
    for (place, (line, keys)) in keymap.bindings().enumerate().filter(|(_, (line, _))| is_to_be_had(line)) {
        let keys = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let long = format!("{} {}", line.context.title(), line.long);
        let names: Vec<&str> =
            [line.short, line.action.name()].iter().chain(line.action.other_names()).copied().collect();
        let score = score(&names, &long, typed);
        if let Some(score) = score {
            let far = here.chain().iter().position(|context| *context == line.context).unwrap_or(usize::MAX);
            found.push(((score, far, place), (line.action, *line, keys)));
        }
    }
    found.sort_by_key(|(key, _)| *key);
    // Scattered letters are only of use where nothing else matches.
    if found.first().is_some_and(|((score, ..), _)| *score < SCATTERED) {
        found.retain(|((score, ..), _)| *score < SCATTERED);
    }
    found.into_iter().map(|(_, found)| found).collect()
}

/// The distance of letters in order, more than that of any other match.
const SCATTERED: usize = 100;

/// The distance of a match, 0 being the best. Every word that was typed must occur: at the start of a word, inside one, or as
/// letters in order in a name. Letters in order in a sentence would match nearly anything.
fn score(names: &[&str], sentence: &str, typed: &str) -> Option<usize> {
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    let sentence = sentence.to_lowercase();
    typed.to_lowercase().split_whitespace().map(|word| word_score(&names, &sentence, word)).sum()
}

fn word_score(names: &[String], sentence: &str, word: &str) -> Option<usize> {
    let starts = |text: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part.starts_with(word));
    let any = |is: &dyn Fn(&str) -> bool| names.iter().any(|name| is(name));
    match () {
        () if any(&|name| name.starts_with(word)) => Some(0),
        () if any(&starts) => Some(1),
        () if starts(sentence) => Some(2),
        () if any(&|name| name.contains(word)) => Some(4),
        () if sentence.contains(word) => Some(5),
        () if any(&|name| in_order(name, word)) => Some(SCATTERED),
        () => None,
    }
}

/// The letters occur in the text in this order.
fn in_order(text: &str, letters: &str) -> bool {
    let mut rest = text.chars();
    letters.chars().all(|letter| rest.any(|c| c == letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn words_match_actions() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let first = |typed: &str| matching(&keymap, Context::Videos, typed).first().map(|(action, ..)| *action);
        assert_eq!(first("exp"), Some(Action::Export));
        assert_eq!(first("retry failed"), Some(Action::RetryAll));
        assert_eq!(first("deep"), Some(Action::CheckDeep));
        assert_eq!(first("wrl"), Some(Action::WriteList));
        assert_eq!(first("hacs_data"), Some(Action::WriteList));
        assert_eq!(first("quit"), Some(Action::Quit));
        assert_eq!(first("zzzz"), None);
        let of_panes = super::super::keymap::TABLE.iter().filter(|line| !line.context.is_overlay()).count();
        assert_eq!(matching(&keymap, Context::Videos, "").len(), of_panes);
        let there = |typed: &str| matching(&keymap, Context::Details, typed).first().map(|(action, ..)| *action);
        assert_eq!(
            (there("still"), there("next video"), there("zzzz")),
            (Some(Action::Still), Some(Action::NextVideo), None)
        );
    }

    #[test]
    fn a_word_finds_what_is_called_so_and_nothing_else() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let found = |typed: &str| -> Vec<Action> {
            matching(&keymap, Context::Videos, typed).into_iter().map(|(action, ..)| action).collect()
        };
        assert_eq!(found("theme"), [Action::Theme]);
        assert_eq!(found("colour").first(), Some(&Action::Theme));
        assert_eq!(found("copy path"), [Action::CopyPath]);
        assert_eq!(found("path copy"), found("copy path"), "the order of the words does not matter");
        assert!(found("log").contains(&Action::PaneLog));
        assert!(!found("sta").contains(&Action::SortLeft), "no scattered letters where a word begins so");
        assert_eq!(found("qit").first(), Some(&Action::Quit), "a missing letter in a name");
    }
}
