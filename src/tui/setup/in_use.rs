//! What the engine uses now, where it differs from the form: values can wait for the next run, and the engine may have been started
//! with others.

use std::path::{Path, PathBuf};

use reeldeck_common::recipe::Recipe;

use super::{Field, Setup, place};
use crate::config::DeviceList;
use crate::protocol::Welcome;

/// What the engine says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tui) struct InUse {
    root: PathBuf,
    out: PathBuf,
    /// The name of the file, `seeded`, or empty.
    checkpoint: String,
    manifest: Option<PathBuf>,
    /// One for each worker; empty if unknown.
    devices: Vec<String>,
}

impl InUse {
    /// `devices`: those of the workers, or none before the first run.
    pub(in crate::tui) fn of<'a>(welcome: &Welcome, devices: impl Iterator<Item = &'a str>) -> Self {
        Self {
            root: welcome.root.clone(),
            out: welcome.out.clone(),
            checkpoint: welcome.checkpoint.clone(),
            manifest: welcome.manifest.clone(),
            devices: devices.map(str::to_owned).collect(),
        }
    }
}

impl Setup {
    /// Compares the form with what the engine uses; none if it is gone.
    pub(in crate::tui) fn compare_with(&mut self, in_use: Option<InUse>) {
        self.engine_is_gone = in_use.is_none();
        self.in_use = in_use;
    }

    /// What the engine uses in place of the value of a field, if it differs.
    pub(super) fn other_in_use(&self, field: Field) -> Option<String> {
        let in_use = self.in_use.as_ref()?;
        let text = self.state(field).input.text().trim();
        let at = |text: &str| place(text, &self.folder, self.home.as_deref());
        let path = |used: &Path| (at(text) != used).then(|| used.to_string_lossy().into_owned());
        match field {
            Field::Root => path(&in_use.root),
            Field::Out => path(&in_use.out),
            Field::Manifest => match &in_use.manifest {
                Some(used) if !text.is_empty() => path(used),
                Some(used) => Some(used.to_string_lossy().into_owned()),
                None => (!text.is_empty()).then(|| NONE.to_owned()),
            },
            Field::Checkpoint => {
                let used = if in_use.checkpoint.is_empty() { NONE } else { &in_use.checkpoint };
                let name = self.file_of_weights(text);
                let is_same = name.is_none_or(|name| name == in_use.checkpoint);
                (!is_same).then(|| used.to_owned())
            }
            Field::Devices => {
                let Ok(DeviceList::These(list)) = text.parse() else { return None };
                let is_same = list.iter().map(ToString::to_string).eq(in_use.devices.iter().cloned());
                (!is_same && !in_use.devices.is_empty()).then(|| shortened(&in_use.devices))
            }
            Field::Layout => None,
        }
    }

    /// The name of the file that a checkpoint means; none if the cache decides on it.
    fn file_of_weights(&self, text: &str) -> Option<String> {
        match text {
            "" | "seeded" => Some(text.to_owned()),
            "published" => {
                let url = Recipe::find(&self.recipe).ok()?.checkpoint.url?;
                self.file_of_weights(&url)
            }
            _ => text.rsplit('/').next().filter(|name| !name.contains(['?', '#'])).map(str::to_owned),
        }
    }
}

const NONE: &str = "none";

/// `cpu*2` for two workers on the CPU.
fn shortened(devices: &[String]) -> String {
    let same = |devices: &[String]| match devices {
        [one] => one.clone(),
        [one, ..] => format!("{one}*{}", devices.len()),
        [] => String::new(),
    };
    devices.chunk_by(|a, b| a == b).map(same).collect::<Vec<_>>().join(",")
}
