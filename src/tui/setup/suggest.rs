//! Initial values of the form, guessed from the names in the folder.

use std::fs;
use std::path::Path;

use super::Values;
use crate::config::{Config, detect};
use crate::dataset::scan::FolderLayout;

/// The number of directory entries read.
const MAX_ENTRIES: usize = 2_000;

/// The initial values for a config.toml in `folder` with this recipe, on a machine with or without a GPU.
pub(crate) fn suggested(folder: &Path, recipe: &str, has_gpu: bool) -> Values {
    let usual = Config::default();
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MAX_ENTRIES)
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let is_folder = |name: &str| folder.join(name).is_dir();
    let usually =
        ["data/hacs", "data", "videos", "dataset"].into_iter().find(|name| is_folder(name)).map(str::to_owned);
    let out = usual.out.to_string_lossy();
    // Otherwise take the only folder that contains folders.
    let has_folders = |name: &String| {
        let inside = fs::read_dir(folder.join(name)).into_iter().flatten().take(MAX_ENTRIES).flatten();
        inside.filter_map(|entry| entry.file_type().ok()).any(|kind| kind.is_dir())
    };
    let mut others = names.iter().filter(|name| !name.starts_with('.') && **name != out && has_folders(name));
    let alone = others.next().filter(|_| others.next().is_none());
    let root = usually.or_else(|| alone.cloned()).unwrap_or_else(|| usual.root.to_string_lossy().into_owned());
    let manifest = detect::manifest_beside(folder, Path::new(&root));
    Values {
        out: out.into_owned(),
        checkpoint: detect::checkpoint_in(folder, recipe),
        manifest: manifest.and_then(|path| path.into_os_string().into_string().ok()).unwrap_or_default(),
        root,
        recipe: recipe.to_owned(),
        devices: if has_gpu { "all".into() } else { usual.devices },
        layout: FolderLayout::Any.name().into(),
    }
}

#[cfg(test)]
mod tests {
    use reeldeck_common::recipe::Recipe;

    use super::*;

    const RECIPE: &str = "slowonly-r50-8x8-k700";

    #[test]
    fn values_are_suggested_from_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let plain = suggested(folder.path(), RECIPE, false);
        assert_eq!((plain.root.as_str(), plain.out.as_str(), plain.devices.as_str()), ("data", "out", "cpu"));
        assert_eq!((plain.checkpoint.as_str(), plain.manifest.as_str()), ("published", ""));
        // Any name will do if there is only one candidate.
        for (name, root) in
            [("out/features", "data"), (".git/hooks", "data"), ("clips/Zumba", "clips"), ("b/Archery", "data")]
        {
            fs::create_dir_all(folder.path().join(name)).unwrap();
            assert_eq!(suggested(folder.path(), RECIPE, false).root, root, "{name}");
        }
        fs::create_dir_all(folder.path().join("data/hacs")).unwrap();
        let published = Recipe::find(RECIPE).unwrap().checkpoint.url.unwrap();
        let published = published.rsplit('/').next().unwrap();
        for name in ["a.pth", published, "other.json", "HACS_segments_broken.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let manifest = r#"{"database": {"aa": {"subset": "training", "duration": 9.0, "annotations": []}}}"#;
        fs::write(folder.path().join("data/HACS_segments_v1.1.1.json"), manifest).unwrap();
        let found = suggested(folder.path(), RECIPE, true);
        assert_eq!((found.root.as_str(), found.devices.as_str()), ("data/hacs", "all"));
        assert_eq!(found.checkpoint, published);
        assert_eq!(found.manifest, "data/HACS_segments_v1.1.1.json", "next to the dataset, and readable");
    }
}
