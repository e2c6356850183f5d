//! The command palette: fuzzy search over the key bindings.

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

/// The distance of a fuzzy match, 0 being the best; `None` if the letters do not occur in order.
pub(super) fn score(text: &str, typed: &str) -> Option<usize> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut score = 0;
    let mut from = 0;
    for letter in typed.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let rest = text.get(from..)?;
        let next = rest.first() == Some(&letter);
        let starts = |place: &usize| {
            text.get(*place) == Some(&letter)
                && (*place == 0 || text.get(place - 1).is_some_and(|c| !c.is_alphanumeric()))
        };
        // Prefer the next letter, then the start of a word, then any position.
        let (place, cost) = match next && from > 0 {
            true => (from, 0),
            false => match (from..text.len()).find(starts) {
                Some(place) => (place, 1),
                None => (from + rest.iter().position(|c| *c == letter)?, 10),
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
            (there("picture"), there("next video"), there("zzzz")),
            (Some(Action::Still), Some(Action::NextVideo), None)
        );
    }

    #[test]
    fn letters_match_in_order_only() {
        assert_eq!(score("retry", "yr"), None);
        assert!(score("mark all", "ma") < score("format", "ma"));
        assert!(score("mark all", "mall").is_some());
        assert_eq!(score("x", ""), Some(0));
    }
}
