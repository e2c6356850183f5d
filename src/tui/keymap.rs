//! The one table of keys: what is pressed where does what, under which words. Dispatch, footer, help, palette and the
//! README's list are made of it.

use std::collections::BTreeMap;

use super::action::Action;
use super::details;
use super::keys::{Key, Keys};
use crate::config::KeyChoice;

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Wherever nothing else lies on top.
    Everywhere,
    /// In every pane with lines.
    Lists,
    /// The table of videos.
    Videos,
    /// The classes.
    Classes,
    /// The devices.
    Devices,
    /// The throughput.
    Throughput,
    /// The log.
    Log,
}

impl Context {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 7] =
        [Self::Everywhere, Self::Lists, Self::Videos, Self::Classes, Self::Devices, Self::Throughput, Self::Log];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Everywhere => "Everywhere",
            Self::Lists => "Moving about",
            Self::Videos => "Videos",
            Self::Classes => "Classes",
            Self::Devices => "Devices",
            Self::Throughput => "Throughput",
            Self::Log => "Log",
        }
    }

    /// Where a key is looked for that is pressed here, the nearest first.
    pub fn chain(self) -> &'static [Self] {
        match self {
            Self::Everywhere => &[Self::Everywhere],
            Self::Lists => &[Self::Lists, Self::Everywhere],
            Self::Videos => &[Self::Videos, Self::Lists, Self::Everywhere],
            Self::Classes => &[Self::Classes, Self::Lists, Self::Everywhere],
            Self::Devices => &[Self::Devices, Self::Lists, Self::Everywhere],
            Self::Throughput => &[Self::Throughput, Self::Everywhere],
            Self::Log => &[Self::Log, Self::Lists, Self::Everywhere],
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Where.
    pub context: Context,
    /// Which keys, unless the configuration says otherwise.
    pub keys: &'static [&'static str],
    /// What.
    pub action: Action,
    /// In a word or two, for the footer.
    pub short: &'static str,
    /// In full, for help and palette.
    pub long: &'static str,
    /// Its place in the footer, the smallest first; 0: not there.
    pub footer: u8,
}

const fn line(
    context: Context,
    keys: &'static [&'static str],
    action: Action,
    short: &'static str,
    long: &'static str,
    footer: u8,
) -> Line {
    Line { context, keys, action, short, long, footer }
}

use Action as A;
use Context::{Classes, Devices, Everywhere, Lists, Log, Videos};

/// The table.
#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    line(Everywhere, &["s"], A::StartPause, "start", "start the run; pause it; let it go on", 10),
    line(Everywhere, &["S"], A::Stop, "stop", "stop the run, after the videos in hand or now", 70),
    line(Everywhere, &["R"], A::RetryAll, "retry failed", "try all failed videos again", 24),
    line(Everywhere, &["l"], A::WriteList, "write list", "write the list of videos, hacs_data.txt", 60),
    line(Everywhere, &["e"], A::Export, "export", "write what trainers read, in a format of your choice", 62),
    line(Everywhere, &["m"], A::WriteMissing, "list missing", "write the lists of missing videos", 64),
    line(Everywhere, &["f5", "ctrl-r"], A::Rescan, "rescan", "look through the dataset folder again", 66),
    line(Everywhere, &["c"], A::Check, "check", "check the files that were not checked yet", 0),
    line(Everywhere, &["C"], A::CheckDeep, "deep check", "check all files anew, decoding some frames of each", 0),
    line(Everywhere, &["u"], A::Undo, "undo", "take the last exclusion back", 68),
    line(Everywhere, &["tab"], A::NextPane, "next pane", "to the next pane", 0),
    line(Everywhere, &["backtab"], A::PreviousPane, "pane before", "to the pane before", 0),
    line(Everywhere, &["1"], A::PaneClasses, "classes", "to the classes", 0),
    line(Everywhere, &["2"], A::PaneVideos, "videos", "to the videos", 0),
    line(Everywhere, &["3"], A::PaneDevices, "devices", "to the devices", 0),
    line(Everywhere, &["4"], A::PaneThroughput, "throughput", "to the throughput", 0),
    line(Everywhere, &["5"], A::PaneLog, "log", "to the log", 0),
    line(Everywhere, &["z"], A::Zoom, "zoom", "show this pane alone, or with the others again", 0),
    line(Everywhere, &["esc"], A::Back, "back", "back out one level: a range, a filter, marks, the zoom", 0),
    line(Everywhere, &[":", "ctrl-p"], A::Palette, "command", "look for a command by its words", 80),
    line(Everywhere, &["?", "f1"], A::Help, "help", "show all keys", 3),
    line(Everywhere, &["q", "ctrl-c"], A::Quit, "quit", "leave; while a run is going on, asks what becomes of it", 4),
    line(Everywhere, &["ctrl-z"], A::Suspend, "suspend", "give the terminal back for a while; `fg` returns", 0),
    line(Everywhere, &["ctrl-l"], A::Redraw, "redraw", "draw everything anew", 0),

    line(Lists, &["k", "up"], A::Up, "up", "up one line", 0),
    line(Lists, &["j", "down"], A::Down, "down", "down one line", 0),
    line(Lists, &["ctrl-u"], A::HalfUp, "half a page up", "up half a page", 0),
    line(Lists, &["ctrl-d"], A::HalfDown, "half a page down", "down half a page", 0),
    line(Lists, &["pgup", "ctrl-b"], A::PageUp, "page up", "up a page", 0),
    line(Lists, &["pgdn", "ctrl-f"], A::PageDown, "page down", "down a page", 0),
    line(Lists, &["g g", "home"], A::Top, "first", "to the first line", 0),
    line(Lists, &["G", "end"], A::Bottom, "last", "to the last line", 0),

    line(Videos, &["enter"], A::Open, "details", "all about this video", 30),
    line(Videos, &["r"], A::Retry, "retry", "extract the marked videos again, or this one", 20),
    line(Videos, &["space"], A::Mark, "mark", "mark or unmark this video, and go on to the next", 26),
    line(Videos, &["v"], A::Range, "range", "begin a range of marks here; again: end it", 52),
    line(Videos, &["a"], A::MarkAll, "mark all", "mark all videos that the filter shows", 54),
    line(Videos, &["i"], A::Invert, "invert", "mark what is not marked, and the other way round", 0),
    line(Videos, &["A"], A::Unmark, "unmark", "take all marks away", 0),
    line(Videos, &["/"], A::Filter, "filter", "show only videos with a text in name, state or reason", 28),
    line(Videos, &["f"], A::States, "states", "show only videos of some states", 42),
    line(Videos, &["F"], A::Problems, "problems", "show only videos with a problem, or all again", 40),
    line(Videos, &["o"], A::Sort, "sort", "choose the column to sort by", 44),
    line(Videos, &["O"], A::Reverse, "reverse", "turn the order round", 0),
    line(Videos, &["<"], A::SortLeft, "sort left", "sort by the column to the left", 0),
    line(Videos, &[">"], A::SortRight, "sort right", "sort by the column to the right", 0),
    line(Videos, &["x"], A::Exclude, "exclude", "leave the marked videos alone, or this one; on excluded ones, take them in again", 46),
    line(Videos, &["y"], A::Yank, "copy name", "copy the name of this video, over SSH too", 58),
    line(Videos, &["Y"], A::YankPath, "copy path", "copy the path of this video's file", 0),

    line(Classes, &["enter", "space"], A::Open, "show class", "show the videos of this class", 30),
    line(Classes, &["/"], A::Filter, "find", "show only classes with a text in their name", 28),
    line(Classes, &["o"], A::Sort, "sort", "sort by name, by progress, by problems", 44),

    line(Devices, &["enter"], A::Open, "details", "all about the video that this device works on", 30),

    line(Log, &["enter"], A::Open, "whole line", "show the whole line", 30),
    line(Log, &["f"], A::States, "level", "show all lines; without details; problems alone", 42),
    line(Log, &["/"], A::Filter, "filter", "show only lines with a text", 28),
];

/// The table with the user's keys in it.
#[derive(Clone, Debug)]
pub struct Keymap {
    lines: Vec<(Line, Vec<Keys>)>,
}

/// What a key that was pressed means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This.
    Action(Action),
    /// The beginning of something.
    Prefix,
    /// Nothing.
    Nothing,
}

impl Keymap {
    /// The table, with other keys for some actions.
    ///
    /// # Errors
    /// In words: an action or a key that does not exist, a key that would do two things.
    pub fn new(wanted: &BTreeMap<String, KeyChoice>) -> Result<Self, String> {
        let mut chosen: BTreeMap<Action, Vec<Keys>> = BTreeMap::new();
        for (name, keys) in wanted {
            let action = Action::ALL.iter().find(|action| action.name() == name).ok_or_else(|| {
                let near = Action::ALL.iter().map(|a| (strsim::damerau_levenshtein(a.name(), name), a.name())).min();
                let meant = near.map(|(_, near)| format!("; did you mean `{near}`?")).unwrap_or_default();
                format!("tui.keys: no action `{name}`{meant}")
            })?;
            let texts = match keys {
                KeyChoice::One(key) => std::slice::from_ref(key),
                KeyChoice::Several(keys) => keys.as_slice(),
            };
            let keys: Result<Vec<Keys>, String> = texts.iter().map(|text| text.parse()).collect();
            chosen.insert(*action, keys.map_err(|error| format!("tui.keys.{name}: {error}"))?);
        }
        let lines = TABLE.iter().map(|line| {
            let keys = chosen.get(&line.action).cloned();
            (*line, keys.unwrap_or_else(|| line.keys.iter().filter_map(|text| text.parse().ok()).collect()))
        });
        let keymap = Self { lines: lines.collect() };
        keymap.check()?;
        Ok(keymap)
    }

    /// No keys do two things in one place, none are the beginning of others, and there is a way out.
    fn check(&self) -> Result<(), String> {
        for context in Context::ALL {
            let here: Vec<(&Keys, Action)> = self.reachable(context).collect();
            for (place, (keys, action)) in here.iter().enumerate() {
                for (others, other) in here.iter().skip(place + 1).filter(|(_, other)| other != action) {
                    if others.0.starts_with(&keys.0) || keys.0.starts_with(&others.0) {
                        return Err(format!(
                            "tui.keys: in {}, `{keys}` would be both {} and {} (`{others}`)",
                            context.title().to_lowercase(),
                            action.name(),
                            other.name()
                        ));
                    }
                }
            }
        }
        match self.keys_of(Action::Quit, Context::Everywhere) {
            Some(keys) if !keys.is_empty() => Ok(()),
            _ => Err("tui.keys.quit: without a key there is no way out".into()),
        }
    }

    fn reachable(&self, context: Context) -> impl Iterator<Item = (&Keys, Action)> {
        let lines = self.lines.iter().filter(move |(line, _)| context.chain().contains(&line.context));
        lines.flat_map(|(line, keys)| keys.iter().map(|keys| (keys, line.action)))
    }

    /// What these keys mean here.
    pub fn find(&self, context: Context, pressed: &[Key]) -> Found {
        let mut prefix = false;
        for (keys, action) in self.reachable(context) {
            if keys.0 == pressed {
                return Found::Action(action);
            }
            prefix |= keys.0.starts_with(pressed);
        }
        if prefix { Found::Prefix } else { Found::Nothing }
    }

    /// The table's lines with their keys.
    pub fn lines(&self) -> impl Iterator<Item = (&Line, &[Keys])> {
        self.lines.iter().map(|(line, keys)| (line, keys.as_slice()))
    }

    /// The keys of an action where it is to be had.
    pub fn keys_of(&self, action: Action, context: Context) -> Option<&[Keys]> {
        let mut lines = self.lines.iter().filter(|(line, _)| context.chain().contains(&line.context));
        lines.find(|(line, _)| line.action == action).map(|(_, keys)| keys.as_slice())
    }

    /// The first key of an action, for messages that name it.
    pub fn key_text(&self, action: Action) -> String {
        let keys = self.lines.iter().find(|(line, _)| line.action == action).and_then(|(_, keys)| keys.first());
        keys.map_or_else(|| format!(":{}", action.name()), ToString::to_string)
    }

    /// What the footer offers here, the most important first.
    pub fn footer(&self, context: Context) -> Vec<(&Line, &Keys)> {
        let here = self.lines.iter().filter(|(line, _)| line.footer > 0 && context.chain().contains(&line.context));
        let mut offered: Vec<_> = here.filter_map(|(line, keys)| Some((line, keys.first()?))).collect();
        offered.sort_by_key(|(line, _)| line.footer);
        offered
    }

    /// The list of keys for the README.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for context in Context::ALL {
            let mut lines = self.lines.iter().filter(|(line, _)| line.context == context).peekable();
            if lines.peek().is_none() {
                continue;
            }
            text.push_str(&format!("| {} | | |\n|---|---|---|\n", context.title()));
            for (line, keys) in lines {
                let keys: Vec<String> = keys.iter().map(|keys| format!("`{keys}`")).collect();
                text.push_str(&format!("| {} | {} | `{}` |\n", keys.join(" "), line.long, line.action.name()));
            }
            text.push('\n');
        }
        text.push_str("| Details of a video | | |\n|---|---|---|\n");
        for binding in details::BINDINGS {
            let keys: Vec<String> =
                binding.keys.iter().map(|(code, mods)| format!("`{}`", Key::new(*code, *mods))).collect();
            text.push_str(&format!("| {} | {} | |\n", keys.join(" "), binding.long));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &[&str])]) -> BTreeMap<String, KeyChoice> {
        let several = |keys: &[&str]| KeyChoice::Several(keys.iter().map(ToString::to_string).collect());
        pairs.iter().map(|(name, keys)| (name.to_string(), several(keys))).collect()
    }

    #[test]
    fn no_key_does_two_things_and_every_action_has_one() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        for (line, keys) in keymap.lines() {
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
    fn the_nearest_meaning_is_found() {
        let keymap = Keymap::new(&BTreeMap::new()).unwrap();
        let find = |context, keys: &str| keymap.find(context, &keys.parse::<Keys>().unwrap().0);
        assert_eq!(find(Context::Videos, "f"), Found::Action(Action::States));
        assert_eq!(find(Context::Devices, "f"), Found::Nothing);
        assert_eq!(find(Context::Videos, "g"), Found::Prefix);
        assert_eq!(find(Context::Videos, "g g"), Found::Action(Action::Top));
        assert_eq!(find(Context::Videos, "g j"), Found::Nothing);
        assert_eq!(find(Context::Log, "q"), Found::Action(Action::Quit));
    }

    #[test]
    fn the_user_chooses_and_is_told_what_does_not_work() {
        let keymap = Keymap::new(&wanted(&[("retry", &["f2", "ctrl-t"]), ("help", &["H"])])).unwrap();
        let find = |keys: &str| keymap.find(Context::Videos, &keys.parse::<Keys>().unwrap().0);
        assert_eq!((find("f2"), find("ctrl-t")), (Found::Action(Action::Retry), Found::Action(Action::Retry)));
        assert_eq!((find("r"), find("?")), (Found::Nothing, Found::Nothing));
        assert_eq!(keymap.key_text(Action::Help), "H");
        let error = |pairs: &[(&str, &[&str])]| Keymap::new(&wanted(pairs)).unwrap_err();
        assert!(error(&[("retyr", &["r"])]).contains("did you mean `retry`?"));
        assert!(error(&[("retry", &["q"])]).contains("`q` would be both"));
        assert!(error(&[("retry", &["g"])]).contains("would be both"));
        assert!(error(&[("retry", &["hyper-x"])]).contains("tui.keys.retry"));
        assert!(error(&[("quit", &[])]).contains("no way out"));
    }
}
