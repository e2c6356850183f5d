//! What concerns settings and files: the theme, the form, weights, and the start of an engine.

use std::path::PathBuf;

use super::Window;
use crate::config::edit::{Change, edit};
use crate::config::{Overrides, Settings};
use crate::error::{self, Exit};
use crate::launch;
use crate::tui::other_features;
use crate::tui::reopening::Reopening;
use crate::tui::setup::Field;
use crate::tui::setup::in_force::{in_force, without};
use crate::tui::update::Msg;

impl Window {
    pub(super) fn keep_theme(&self, name: &'static str) {
        let (file, done) = (self.settings.config_file.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let change = Change { section: "tui", key: "theme", value: name.to_owned() };
            let text = match file.as_deref().map(|path| edit(path, &[change])) {
                Some(Ok(())) => format!("theme {name}, saved in config.toml"),
                Some(Err(why)) => format!("theme {name} until you quit: {why}"),
                None => format!("theme {name} until you quit: there is no config.toml to save it in"),
            };
            let _ = done.send(Msg::Notify(text));
        });
    }

    /// The command line that the next run uses: without the options that saved settings replace.
    fn next_typed(&self) -> Overrides {
        self.app.new_settings.saved().map_or_else(|| self.typed.clone(), |new| new.typed.clone())
    }

    /// Reads the settings in force for the form.
    pub(super) fn read_settings(&self) {
        let (typed, done) = (self.next_typed(), self.done.clone());
        let recipe = self.settings.recipe_source.clone();
        tokio::task::spawn_blocking(move || {
            let read = std::env::current_dir().map_err(|error| format!("failed to find the current folder: {error}"));
            let read = read
                .and_then(|current| in_force(&typed, &current, &recipe).map_err(|error| error::text_of(&error.into())));
            let _ = done.send(Msg::SettingsRead(read.map(Box::new)));
        });
    }

    /// Writes a checkpoint into config.toml and uses it. Without such a file, it is used until the user quits.
    pub(super) fn use_weights(&self, checkpoint: &'static str) {
        let (mut typed, file, done) = (self.next_typed(), self.settings.config_file.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let change = Change { section: "", key: "checkpoint", value: checkpoint.to_owned() };
            match file.map(|path| edit(&path, &[change])) {
                Some(Ok(())) => typed = without(typed, &[Field::Checkpoint]),
                Some(Err(why)) => return drop(done.send(Msg::SettingsSaved(Err(why)))),
                None => typed.checkpoint = Some(checkpoint.into()),
            }
            let _ = done.send(Msg::SettingsSaved(resolved(typed, Field::Checkpoint.label().to_owned())));
        });
    }

    /// Reads the configuration again, of which these fields have changed.
    pub(super) fn use_settings(&self, changed: Vec<Field>) {
        let (typed, done) = (without(self.next_typed(), &changed), self.done.clone());
        let changed = changed.into_iter().map(Field::label).collect::<Vec<_>>().join(", ");
        tokio::task::spawn_blocking(move || done.send(Msg::SettingsSaved(resolved(typed, changed))));
    }

    /// Tells the user about features of other weights if there are none of this set. Later connections have nothing new to say.
    pub(super) fn look_for_other_features(&mut self, out: PathBuf, set: &str) {
        if self.looked_for_features.replace(set.to_owned()).as_deref() == Some(set) {
            return;
        }
        let (set, done) = (set.to_owned(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            other_features::sentence(&out, &set).map(|text| done.send(Msg::Report(text)))
        });
    }

    pub(super) fn launch(&self) {
        let (settings, typed, done) = (self.settings.clone(), self.typed.clone(), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let step = |line: &str| drop(done.send(Msg::EngineStarting(line.to_owned())));
            let started = match launch::start_waiting(&settings, &typed, &step) {
                // Somebody else uses the output folder: the link finds out who.
                Err(error) if error::exit_of(&error) == Exit::Locked => Ok(()),
                started => started.map(drop),
            };
            let _ = done.send(Msg::EngineStarted(started.map_err(|error| error::text_of(&error))));
        });
    }
}

/// The settings of this command line, of which `changed` is new.
fn resolved(typed: Overrides, changed: String) -> Result<Box<Reopening>, String> {
    let read = || {
        let settings = Settings::resolve(&typed, &std::env::current_dir()?)?;
        settings.check_folders_or_wait()?;
        anyhow::Ok(settings)
    };
    match read() {
        Ok(settings) => Ok(Box::new(Reopening { settings, typed, changed, then: vec![] })),
        Err(error) => Err(error::text_of(&error)),
    }
}
