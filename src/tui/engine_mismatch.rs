//! Compares a running engine with the settings of this window.

use std::fs;
use std::path::Path;

use reeldeck_common::protocol::CheckpointSource;
use reeldeck_common::versions::SEEDED_WEIGHTS;

use super::action::Action;
use super::app::App;
use super::reopening::{NewSettings, Reopening};
use super::text;
use crate::config::{self, Overrides, Settings};
use crate::protocol::Welcome;
use crate::protocol::words::Level;

impl App {
    /// An engine was running before this window. If the window has a configuration with other settings, its next run uses them.
    /// Returns the differences that decide on the results, for people.
    pub(super) fn join(&mut self, welcome: &Welcome, settings: &Settings, typed: &Overrides) -> Option<String> {
        let uses_own = settings.config_file.is_some() && ![0, settings.digest()].contains(&welcome.settings);
        if uses_own {
            let changed = config::FILE.to_owned();
            let text = format!("the run has other settings; {changed} is used from the next run");
            self.report(Level::Info, text);
            let (settings, typed) = (settings.clone(), typed.clone());
            self.new_settings = NewSettings::Waiting(Box::new(Reopening { settings, typed, changed, then: vec![] }));
        }
        let advice = match uses_own {
            true => "The next run that is started in this window uses those of the window.".to_owned(),
            false => {
                let key = self.keymap.key_text(Action::Settings);
                format!("{key} opens the settings, which the next run uses.")
            }
        };
        Some(format!("{} {advice}", differences(settings, welcome)?))
    }
}

/// The differences, for people; `None` if there are none. Weights are compared by file name only, so features of the
/// same recipe and file name count as the same.
fn differences(settings: &Settings, welcome: &Welcome) -> Option<String> {
    let mut lines = vec![];
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if real(&settings.root) != real(&welcome.root) {
        let [theirs, ours] =
            [&welcome.root, &settings.root].map(|path| text::sanitized(&path.to_string_lossy()).into_owned());
        lines.push(format!("dataset folder {theirs} (this window: {ours})"));
    }
    let recipe = &settings.recipe;
    let (set, weights) = (text::sanitized(&welcome.set), text::sanitized(&welcome.checkpoint));
    let is_of = |name: &str| welcome.set.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).is_some();
    let name = match &settings.checkpoint {
        None => None,
        Some(CheckpointSource::Seeded) => Some("seeded".into()),
        Some(CheckpointSource::File(path)) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        // The cache decides on the file name for a URL with a query.
        Some(CheckpointSource::Url(url)) => {
            url.rsplit('/').next().filter(|name| !name.contains(['?', '#'])).map(str::to_owned)
        }
    };
    let same_weights = name.as_ref().is_none_or(|name| *name == welcome.checkpoint);
    if !same_weights {
        let name = name.unwrap_or_default();
        lines.push(format!("weights {weights} (this window: {})", text::sanitized(&name)));
    }
    if !is_of(&recipe.name) {
        lines.push(format!("features {set} (this window: the recipe {})", text::sanitized(&recipe.name)));
    } else if same_weights && welcome.synthetic_weights && recipe.set_name(SEEDED_WEIGHTS) != welcome.set {
        lines.push(format!("features {set} (the recipe {} has changed since)", text::sanitized(&recipe.name)));
    }
    (!lines.is_empty()).then(|| {
        format!("The run in this output folder was started with other settings, and uses them: {}.", lines.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Verbosity;

    #[test]
    fn differences_to_the_settings_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["data", "other"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("data", dir.path().join("link")).unwrap();
        let settings = |root: &str, checkpoint: &str| {
            let typed =
                Overrides { root: Some(root.into()), checkpoint: Some(checkpoint.into()), ..Overrides::default() };
            Settings::resolve(&typed, dir.path()).unwrap()
        };
        let own = settings("data", "seeded");
        assert_eq!(own.digest(), settings("data", "seeded").digest());
        assert_ne!(own.digest(), settings("data", "w.pth").digest());
        let other_look = Settings { verbosity: Verbosity::Quiet, limit: Some(3), ..own.clone() };
        assert_eq!(own.digest(), other_look.digest(), "it decides on no run");
        let welcome = Welcome {
            version: 1,
            tool: "reeldeck 0".into(),
            pid: 4711,
            root: own.root.clone(),
            out: own.out.clone(),
            set: own.recipe.set_name(SEEDED_WEIGHTS),
            dataset: "data".into(),
            checkpoint: "seeded".into(),
            synthetic_weights: true,
            manifest: None,
            settings: own.digest(),
            exports_result: true,
        };
        assert_eq!(differences(&own, &welcome), None);
        assert_eq!(differences(&settings("link", "seeded"), &welcome), None, "a link to the same folder");
        let says = |settings: &Settings, welcome: &Welcome| differences(settings, welcome).unwrap();
        assert!(says(&settings("other", "seeded"), &welcome).contains("/other"));
        assert!(says(&settings("data", "w.pth"), &welcome).contains("weights seeded (this window: w.pth)"));
        let other = Welcome { set: "mine-0123abcd".into(), ..welcome.clone() };
        assert!(says(&own, &other).contains("features mine-0123abcd (this window: the recipe slowonly"));
        let mut changed = own.clone();
        changed.recipe.sampling.interval = 4;
        assert!(says(&changed, &welcome).contains("has changed since"));
        // Only the name of a weight file is known.
        let file = Welcome { checkpoint: "w.pth".into(), synthetic_weights: false, ..welcome };
        assert_eq!(differences(&settings("data", "w.pth"), &file), None);
    }
}
