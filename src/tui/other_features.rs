//! Features of other weights or recipes in the output folder. They explain why no video counts as done after such a change.

use std::fs;
use std::path::Path;

use reeldeck_common::layout::{Layout, files_below};

use super::text;

/// A sentence about the features of other sets, if this set has none. This can block.
pub(super) fn sentence(out: &Path, set: &str) -> Option<String> {
    let own = Layout::new(out, set).features();
    let features = |folder: &Path| {
        let files = files_below(folder).unwrap_or_default();
        files.iter().filter(|file| file.ends_with(".safetensors")).count() as u64
    };
    if features(&own) > 0 {
        return None;
    }
    let others = fs::read_dir(own.parent()?).ok()?.flatten().map(|entry| entry.path()).filter(|path| *path != own);
    let found: Vec<(u64, String)> = others
        .map(|path| (features(&path), path.file_name().unwrap_or_default().to_string_lossy().into_owned()))
        .filter(|(count, _)| *count > 0)
        .collect();
    let all: u64 = found.iter().map(|(count, _)| count).sum();
    let of = match found.as_slice() {
        [] => return None,
        [(_, set)] => set.clone(),
        sets => text::plural(sets.len() as u64, "other set", "other sets"),
    };
    let features = text::plural(all, "feature", "features");
    Some(format!("no video is done with these weights and this recipe; the output folder still has {features} of {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_other_sets_are_counted_only_if_this_set_has_none() {
        let out = tempfile::tempdir().unwrap();
        let put = |file: &str| {
            let path = out.path().join("features").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        assert_eq!(sentence(out.path(), "new"), None);
        put("old/Archery/v_a.mp4.safetensors");
        put("old/Archery/.v_b.tmp");
        let says = sentence(out.path(), "new").unwrap();
        assert!(says.ends_with("the output folder still has 1 feature of old"), "{says}");
        put("older/Archery/v_a.mp4.safetensors");
        let says = sentence(out.path(), "new").unwrap();
        assert!(says.contains("2 features of 2 other sets"), "{says}");
        put("new/Archery/v_a.mp4.safetensors");
        assert_eq!(sentence(out.path(), "new"), None);
    }
}
