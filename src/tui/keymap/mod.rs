//! The key bindings: the table of defaults with the user's keys. Dispatch, footer, help, the command palette and
//! docs/KEYS.md use the same table.

use std::collections::BTreeMap;

use reeldeck_common::strict;

use super::action::Action;
use super::keys::{Key, Keys};
use crate::config::KeyChoice;

mod table;

pub(super) use table::{Binding, Context, TABLE};

#[derive(Clone, Debug)]
pub(super) struct Keymap {
    bindings: Vec<(Binding, Vec<Keys>)>,
}

impl Default for Keymap {
    /// The defaults.
    fn default() -> Self {
        Self::with(&BTreeMap::new())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyMatch {
    Action(Action),
    /// The keys are the start of a longer sequence.
    Prefix,
    Nothing,
}

impl Keymap {
    /// The defaults, with other keys for some actions.
    ///
    /// # Errors
    /// When an action or a key does not exist, or when a key would have two meanings in one context.
    pub(super) fn new(config: &BTreeMap<String, KeyChoice>) -> Result<Self, String> {
        let mut chosen: BTreeMap<Action, Vec<Keys>> = BTreeMap::new();
        for (name, keys) in config {
            let action = Action::ALL.iter().find(|action| action.name() == name).ok_or_else(|| {
                let near = strict::nearest(name, Action::ALL.iter().map(|action| action.name()));
                let meant = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
                format!("tui.keys: unknown action `{name}`; {meant}`reeldeck keys` lists the actions")
            })?;
            let texts = match keys {
                KeyChoice::One(key) => std::slice::from_ref(key),
                KeyChoice::Several(keys) => keys.as_slice(),
            };
            let keys: Result<Vec<Keys>, String> = texts.iter().map(|text| text.parse()).collect();
            chosen.insert(*action, keys.map_err(|error| format!("tui.keys.{name}: {error}"))?);
        }
        let keymap = Self::with(&chosen);
        keymap.check()?;
        Ok(keymap)
    }

    fn with(chosen: &BTreeMap<Action, Vec<Keys>>) -> Self {
        let bindings = TABLE.iter().map(|line| {
            let keys = chosen.get(&line.action).cloned();
            (*line, keys.unwrap_or_else(|| line.keys.iter().filter_map(|text| text.parse().ok()).collect()))
        });
        Self { bindings: bindings.collect() }
    }

    /// Checks that no keys are ambiguous and that every context can be left.
    fn check(&self) -> Result<(), String> {
        for context in Context::ALL {
            let here: Vec<(&Binding, &Keys)> = self.reachable(context).collect();
            for (place, (line, keys)) in here.iter().enumerate() {
                for (other, others) in here.iter().skip(place + 1).filter(|(other, _)| other.action != line.action) {
                    // An overlay may rebind keys of the panes. A pane must not rebind keys that work everywhere.
                    if context.is_overlay() && line.context != other.context {
                        continue;
                    }
                    if others.0.starts_with(&keys.0) || keys.0.starts_with(&others.0) {
                        return Err(format!(
                            "tui.keys: in {}, `{keys}` would be both {} and {} (`{others}`)",
                            context.title().to_lowercase(),
                            line.action.name(),
                            other.action.name()
                        ));
                    }
                }
            }
        }
        for way_out in [Action::Quit, Action::Close, Action::Leave] {
            if self.bindings.iter().any(|(line, keys)| line.action == way_out && keys.is_empty()) {
                return Err(format!("tui.keys.{}: this action needs a key", way_out.name()));
            }
        }
        Ok(())
    }

    /// The bindings that work in a context, the most specific first.
    fn reachable(&self, context: Context) -> impl Iterator<Item = (&Binding, &Keys)> {
        let near = |at: &'static Context| self.bindings.iter().filter(move |(line, _)| line.context == *at);
        let lines = context.chain().iter().flat_map(near).filter(move |(line, _)| context.offers(line));
        lines.flat_map(|(line, keys)| keys.iter().map(move |keys| (line, keys)))
    }

    pub(super) fn find(&self, context: Context, pressed: &[Key]) -> KeyMatch {
        let mut prefix = false;
        for (line, keys) in self.reachable(context) {
            if keys.0 == pressed {
                return KeyMatch::Action(line.action);
            }
            prefix |= keys.0.starts_with(pressed);
        }
        if prefix { KeyMatch::Prefix } else { KeyMatch::Nothing }
    }

    /// The bindings that these keys begin.
    pub(super) fn continued<'a>(
        &'a self,
        context: Context,
        pressed: &'a [Key],
    ) -> impl Iterator<Item = (&'a Binding, &'a Keys)> {
        self.reachable(context).filter(move |(_, keys)| keys.0.len() > pressed.len() && keys.0.starts_with(pressed))
    }

    pub(super) fn bindings(&self) -> impl Iterator<Item = (&Binding, &[Keys])> {
        self.bindings.iter().map(|(line, keys)| (line, keys.as_slice()))
    }

    /// The first key of an action, to name it in messages.
    pub(super) fn key_text(&self, action: Action) -> String {
        let keys = self.bindings.iter().find(|(line, _)| line.action == action).and_then(|(_, keys)| keys.first());
        keys.map_or_else(|| format!(":{}", action.name()), ToString::to_string)
    }

    /// The bindings that the footer shows, the most important first.
    pub(super) fn footer(&self, context: Context) -> Vec<(&Binding, &Keys)> {
        // An overlay's footer has room only for its own keys and help.
        let is_shown = |line: &Binding| !context.is_overlay() || line.context == context || line.action == Action::Help;
        let here = self.bindings.iter().filter(|(line, _)| line.footer > 0 && context.offers(line) && is_shown(line));
        let mut offered: Vec<_> = here.filter_map(|(line, keys)| Some((line, keys.first()?))).collect();
        offered.sort_by_key(|(line, _)| line.footer);
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &[&str])]) -> BTreeMap<String, KeyChoice> {
        let several = |keys: &[&str]| KeyChoice::Several(keys.iter().map(ToString::to_string).collect());
        pairs.iter().map(|(name, keys)| (name.to_string(), several(keys))).collect()
    }

    #[test]
    fn the_defaults_are_unambiguous_and_complete() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        for (line, keys) in keymap.bindings() {
            assert_eq!(keys.len(), line.keys.len(), "every key of {:?} is one", line.action);
        }
        for action in Action::ALL {
            assert!(TABLE.iter().any(|line| line.action == *action), "{action:?} is in the table");
        }
        let mut names: Vec<_> = Action::ALL.iter().map(|action| action.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Action::ALL.len());
    }

    #[test]
    fn the_most_specific_binding_wins() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let find = |context, keys: &str| keymap.find(context, &keys.parse::<Keys>().unwrap().0);
        assert_eq!(find(Context::Videos, "f"), KeyMatch::Action(Action::States));
        assert_eq!(find(Context::Devices, "f"), KeyMatch::Nothing);
        assert_eq!(find(Context::Videos, "g"), KeyMatch::Prefix);
        assert_eq!(find(Context::Videos, "g g"), KeyMatch::Action(Action::Top));
        assert_eq!(find(Context::Videos, "g j"), KeyMatch::Nothing);
        assert_eq!(find(Context::Log, "q"), KeyMatch::Action(Action::Quit));
        assert_eq!(find(Context::Details, "q"), KeyMatch::Action(Action::Close));
        assert_eq!(find(Context::Details, "l"), KeyMatch::Action(Action::NextVideo));
        assert_eq!(find(Context::Details, "R"), KeyMatch::Action(Action::RetryAll));
        assert_eq!(find(Context::Details, "ctrl-c"), KeyMatch::Action(Action::Quit));
        assert_eq!(find(Context::Details, "tab"), KeyMatch::Nothing);
        assert_eq!(find(Context::Form, "q"), KeyMatch::Nothing);
    }

    #[test]
    fn user_bindings_apply_and_invalid_ones_are_errors() {
        let keymap = Keymap::new(&config(&[("retry", &["f2", "ctrl-t"]), ("help", &["H"])])).unwrap();
        let find = |keys: &str| keymap.find(Context::Videos, &keys.parse::<Keys>().unwrap().0);
        assert_eq!((find("f2"), find("ctrl-t")), (KeyMatch::Action(Action::Retry), KeyMatch::Action(Action::Retry)));
        assert_eq!((find("r"), find("?")), (KeyMatch::Nothing, KeyMatch::Nothing));
        assert_eq!(keymap.key_text(Action::Help), "H");
        let error = |pairs: &[(&str, &[&str])]| Keymap::new(&config(pairs)).unwrap_err();
        assert!(error(&[("retyr", &["r"])]).contains("did you mean `retry`? `reeldeck keys` lists the actions"));
        assert!(
            error(&[("foo", &["r"])]).contains("; `reeldeck keys` lists the actions"),
            "`zoom` and `top` are not near"
        );
        assert!(error(&[("frobnicate", &["r"])]).contains("; `reeldeck keys` lists the actions"), "nothing is near");
        assert!(error(&[("retry", &["q"])]).contains("`q` would be both"));
        assert!(error(&[("retry", &["g"])]).contains("would be both"));
        assert!(error(&[("retry", &["hyper-x"])]).contains("tui.keys.retry"));
        assert!(error(&[("quit", &[])]).contains("this action needs a key"));
        assert!(error(&[("close", &[])]).contains("tui.keys.close: this action needs a key"));
        assert!(
            error(&[("still", &["p"])]).contains("in details of a video, `p` would be both still and previous-video")
        );
    }
}
