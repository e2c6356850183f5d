//! Messages of the engine and of the settings, in the words of the window: they name options and commands, for which the window has
//! keys and the form of the settings.

use std::borrow::Cow;

use super::action::Action;
use super::keymap::Keymap;
use super::text;
use crate::protocol::FromEngine;
use crate::protocol::details::Details;
use crate::protocol::row::{Finding, RowState};
use crate::protocol::snapshot::{DeviceState, Snapshot};

/// What messages say, and what the window says instead, with the names of actions for their keys. Longer phrases come first.
const PHRASES: &[(&str, &str)] = &[
    (
        "fix the cause of the failures, then retry them (`--retry-failed`)",
        "{problems} shows the problems, {retry-all} retries the failed videos",
    ),
    ("download the corrupt videos again", "download the corrupt videos again; {problems} shows them"),
    (
        "extract the changed videos again (`--redo-stale`)",
        "{problems} shows the changed videos, {retry} extracts one again",
    ),
    ("or extract them again (`--retry-failed`)", "or retry them ({retry-all})"),
    ("start the run again: it extracts", "{start-pause} extracts"),
    ("`reeldeck missing` lists it", "{write-missing} lists it"),
    ("`reeldeck missing` writes", "{write-missing} writes"),
    ("`reeldeck export` ", "{export} "),
    ("`reeldeck fetch` or a run downloads", "a run downloads"),
    ("`reeldeck scan` names them", "{states} shows them"),
    ("`reeldeck resume` resumes it", "{start-pause} resumes"),
    ("interrupt again to stop now, or run `reeldeck stop --now`", "{stop} stops now"),
    ("; --out names the folder of another run, and `reeldeck --batch --detach` starts one", ""),
    ("; the engine exits", ""),
    ("the engine is ", "reeldeck is "),
    ("the engine was ", "reeldeck was "),
    ("other clients follow this engine", "other windows show this run"),
    ("this engine is not paused", "the run is not paused"),
    ("quit and correct `root`", "change it{settings}"),
    ("quit and start reeldeck again to use", "save{settings} to use"),
    (
        "set `[scan] layout = \"any\"`, or name another folder with --root",
        "choose a layout or another folder{settings}",
    ),
    ("check --root", "check the dataset folder{settings}"),
    ("another --out", "another output folder{settings}"),
    ("omit --checkpoint", "choose no checkpoint{settings}"),
    ("with --checkpoint", "as the checkpoint{settings}"),
    (" with --root", "{settings}"),
    (" with --out", "{settings}"),
    (" with --manifest", "{settings}"),
    ("fewer workers (--devices)", "fewer workers, with other devices{settings}"),
    (" or --compact", ""),
    (", and `--devices cpu` runs without them", "; to run without them, choose cpu as the devices{settings}"),
    ("run without --limit", "start reeldeck without --limit"),
    ("exclude it with x in the terminal interface or in .reeldeck/excluded", "exclude it with {exclude}"),
    ("include it again to have it extracted", "press {exclude} to include it again"),
    ("include it first", "include it first ({exclude})"),
    ("extract it again: the file", "press {retry} to extract it again: the file"),
    ("fix the cause, then retry", "fix the cause, then press {retry}"),
    ("start a run: it extracts", "press {start-pause} to start a run: it extracts"),
];

/// What the engine's messages about weights begin with.
pub(super) const NEEDS: &str = "extraction needs weights: ";

/// A message as the window says it.
pub(super) fn in_window<'a>(keymap: &Keymap, text: &'a str) -> Cow<'a, str> {
    let settings = format!(" in the settings ({})", keymap.key_text(Action::Settings));
    translated(text, &settings, |action| keymap.key_text(action))
}

/// A message below a field of the form, which is itself the place to correct it.
pub(super) fn in_form(text: &str) -> Cow<'_, str> {
    translated(text, " here", |action| format!(":{}", action.name()))
}

fn translated<'a>(text: &'a str, settings: &str, key: impl Fn(Action) -> String) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for (from, to) in PHRASES.iter().filter(|(from, _)| text.contains(from)).collect::<Vec<_>>() {
        let mut words = to.replace("{settings}", settings);
        for action in Action::ALL {
            let name = format!("{{{}}}", action.name());
            if words.contains(&name) {
                words = words.replace(&name, &key(*action));
            }
        }
        text = Cow::Owned(text.replace(from, &words));
    }
    text
}

/// A message of the engine, with all its texts as the window says them.
pub(super) fn received(keymap: &Keymap, has_manifest: bool, message: &mut FromEngine) {
    let change = |text: &mut String| {
        if let Cow::Owned(words) = in_window(keymap, text) {
            *text = words;
        }
    };
    match message {
        FromEngine::Snapshot { snapshot, .. } => {
            let Snapshot { reason, watch, devices, last_run, .. } = snapshot;
            number_equal(devices);
            let details = devices.iter_mut().filter_map(|device| device.detail.as_mut());
            let ended = last_run.iter_mut().flat_map(|run| run.reason.iter_mut().chain(&mut run.next_step));
            reason.iter_mut().chain(watch).chain(details).chain(ended).for_each(change);
        }
        FromEngine::Rows { rows, .. } => rows.iter_mut().filter_map(|row| row.reason.as_mut()).for_each(change),
        FromEngine::Log { lines, .. } => lines.iter_mut().for_each(|line| change(&mut line.text)),
        FromEngine::Ok { message, .. } => change(message),
        // The refusal of a run without weights is told from others by its text.
        FromEngine::Error { message, .. } if !message.starts_with(NEEDS) => change(message),
        FromEngine::Details { details, .. } => {
            details.row.reason.iter_mut().chain(&mut details.next_step).for_each(change);
            add_next_steps(keymap, has_manifest, details);
        }
        _ => {}
    }
}

/// Numbers devices of one name, such as two workers on the CPU: `cpu 1`, `cpu 2`.
fn number_equal(devices: &mut [DeviceState]) {
    let names: Vec<String> = devices.iter().map(|device| device.device.clone()).collect();
    for (at, device) in devices.iter_mut().enumerate() {
        let is_same = |name: &&String| **name == device.device;
        if names.iter().filter(is_same).count() > 1 {
            let number = names.iter().take(at + 1).filter(is_same).count();
            device.device.push_str(&format!(" {number}"));
        }
    }
}

/// What follows is of use only with a manifest.
const WITH_MANIFEST: &str = "; with a manifest, ";

/// Adds what only a window can do, and leaves out what it cannot.
fn add_next_steps(keymap: &Keymap, has_manifest: bool, details: &mut Details) {
    let [rescan, exclude] = [Action::Rescan, Action::Exclude].map(|action| keymap.key_text(action));
    let state = details.row.state;
    let Some(next) = &mut details.next_step else { return };
    if let Some((before, lists)) = next.split_once(WITH_MANIFEST) {
        *next = if has_manifest { format!("{before}; {lists}") } else { before.to_owned() };
    }
    next.truncate(text::without_stop(next).len());
    if next.contains("download it") || state == RowState::Missing {
        next.push_str(&format!(". A new file is noticed automatically; {rescan} scans now"));
    }
    if state == RowState::Queued && details.row.findings.has(Finding::Corrupt) {
        next.push_str(&format!(". A run tries to extract it, unless you exclude it ({exclude})"));
    }
}

#[cfg(test)]
mod tests;
