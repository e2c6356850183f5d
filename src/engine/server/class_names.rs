//! The names of a network's classes: from the file that the configuration names, or built in for the published weights.

use std::path::Path;

use anyhow::{Context, Result};
use reeldeck_common::bounded;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::printable;

use crate::dataset::shown;

/// The classes of Kinetics-700 in the order of the scores. The dataset is by DeepMind, licensed under CC BY 4.0; the order is the
/// alphabetical one of GluonCV (Apache-2.0) and of MMAction2, whose checkpoint the recipe uses.
const KINETICS_700: &str = include_str!("../../../assets/classes/kinetics-700.txt");
/// The recipe of the network that was trained on them.
const TRAINED_ON_KINETICS_700: &str = "slowonly-r50-8x8-k700";

/// The names of the classes of a recipe's network, from `file` if there is one. Empty if they are unknown.
///
/// # Errors
/// When the file cannot be read, is too large or is not UTF-8.
pub(crate) fn class_names(file: Option<&Path>, recipe: &Recipe) -> Result<Vec<String>> {
    let Some(path) = file else {
        let published = Recipe::find(TRAINED_ON_KINETICS_700)?;
        let known = recipe.model == published.model && recipe.checkpoint == published.checkpoint;
        return Ok(if known { KINETICS_700.lines().map(str::to_owned).collect() } else { vec![] });
    };
    let failed = || format!("failed to read the class names {}", shown(path));
    let bytes = bounded::read(path, 1 << 20).with_context(failed)?;
    let text = String::from_utf8(bytes).with_context(failed)?;
    Ok(text.lines().map(|line| printable(line.trim())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_weights_have_names() {
        let mut recipe = Recipe::find(TRAINED_ON_KINETICS_700).unwrap();
        let names = class_names(None, &recipe).unwrap();
        assert_eq!(names.len(), 700);
        assert_eq!(
            (&*names[0], &*names[19], &*names[327]),
            ("abseiling", "backflip (human)", "massaging person's head")
        );
        assert_eq!(names[699], "zumba");
        // Weights of another training may have other classes.
        recipe.checkpoint.url = Some("https://example.org/other.pth".into());
        assert!(class_names(None, &recipe).unwrap().is_empty());
        for name in ["slowfast-r50-32x8", "videomaev2-b-16x4"] {
            assert!(class_names(None, &Recipe::find(name).unwrap()).unwrap().is_empty(), "{name}");
        }
    }

    #[test]
    fn a_file_replaces_the_built_in_names() {
        let recipe = Recipe::find(TRAINED_ON_KINETICS_700).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        std::fs::write(&path, "one\n two \r\nth\u{1b}ree\n").unwrap();
        let names = class_names(Some(&path), &recipe).unwrap();
        assert_eq!(names.len(), 3);
        assert_eq!(names[..2], ["one", "two"]);
        assert!(!names[2].contains('\u{1b}'));
        assert!(class_names(Some(&folder.path().join("none.txt")), &recipe).is_err());
        std::fs::write(&path, [0xff]).unwrap();
        assert!(class_names(Some(&path), &recipe).is_err());
    }
}
