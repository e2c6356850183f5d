//! Saving: which values are written, and when; and where the form begins.

use super::write::WriteRequest;
use super::{Effect, Field, Notice, Setup, Verdict, expanded};
use crate::config::Config;
use crate::config::edit::Change;

impl Setup {
    /// The fields whose values differ from those in force.
    pub(in crate::tui) fn changed_fields(&self) -> Vec<Field> {
        self.shown().iter().copied().filter(|field| self.state(*field).is_changed()).collect()
    }

    /// Begins with another field than the first.
    pub(in crate::tui) fn focus_on(&mut self, field: Field) {
        self.focus = field.index();
    }

    /// Writes the configuration, focuses an invalid field, or waits for running checks.
    pub(super) fn write(&mut self) -> Vec<Effect> {
        self.write_when_checked = false;
        // Settings that stay as they are can be repaired later: the disk of the dataset may just be away.
        let wrong = |field: &Field| matches!(self.state(*field).verdict, Some(Verdict::Wrong(_)));
        let changed = self.changed_fields();
        // The file may have changed since the engine has read it.
        if changed.is_empty()
            && (self.engine_is_gone || self.shown().iter().any(|field| self.other_in_use(*field).is_some()))
        {
            return vec![Effect::Done(self.file.clone())];
        }
        if changed.is_empty() {
            self.notice = Notice::Hint("nothing to save: no value was changed".into());
            return vec![];
        }
        if self.fields.iter().any(|state| state.is_checking) {
            self.write_when_checked = true;
            self.notice = Notice::Hint("saved as soon as all checks have finished".into());
            return vec![];
        }
        if let Some(field) = changed.into_iter().find(wrong) {
            self.focus = field.index();
            self.notice = Notice::Problem(format!("not saved: fix the {} first", field.label()));
            return vec![];
        }
        self.is_writing = true;
        self.notice = Notice::None;
        vec![Effect::Write(Box::new(self.write_request()))]
    }

    pub(super) fn write_request(&self) -> WriteRequest {
        let change = |field: Field| {
            let (section, key) = field.setting();
            let text = self.state(field).input.text().trim();
            let value = match field {
                Field::Devices | Field::Layout => text.to_owned(),
                _ => expanded(text, self.home.as_deref()).into_owned(),
            };
            Change { section, key, value }
        };
        let is_of_settings = self.is_of_settings();
        let mut changes: Vec<Change> = self.changed_fields().into_iter().map(change).collect();
        if !is_of_settings {
            // An empty value is the default.
            changes.retain(|change| !change.value.is_empty());
            if !self.recipe.is_empty() && self.recipe != Config::default().recipe {
                changes.push(Change { section: "", key: "recipe", value: self.recipe.clone() });
            }
        }
        WriteRequest { path: self.file.clone(), is_new: self.is_new, changes }
    }
}
