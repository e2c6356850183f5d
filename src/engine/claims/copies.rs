//! Notices that another engine reads other copies of the videos, or has another recipe for the same feature set. Each of the two engines
//! would find the features of the other outdated or incomplete.

use std::collections::BTreeSet;
use std::path::Path;

use reeldeck_claims::Item;
use reeldeck_common::recipe::Recipe;

use crate::dataset::shown;
use crate::engine::files::Files;
use crate::engine::state::VideoId;
use crate::protocol::holder::{self, Holder, KnownVideo};

/// The number of videos that engines compare.
const COMPARED: usize = 4;

/// The engines that this one has compared itself with.
#[derive(Default)]
pub(super) struct Copies {
    compared: BTreeSet<String>,
}

/// Some videos. All engines of a dataset choose the same ones: those with the lowest hashes.
pub(super) fn some(files: &Files, items: &[Item]) -> Vec<KnownVideo> {
    let mut lowest: Vec<(u64, usize)> = vec![];
    for (number, item) in items.iter().enumerate() {
        if lowest.len() < COMPARED || lowest.last().is_some_and(|(hash, _)| item.hash < *hash) {
            lowest.push((item.hash, number));
            lowest.sort_unstable();
            lowest.truncate(COMPARED);
        }
    }
    let files = lowest.into_iter().filter_map(|(_, number)| files.get(VideoId(number)));
    files.map(|file| KnownVideo { name: file.name.clone(), stamp: file.stamp }).collect()
}

/// What a recipe says beyond the name of its feature set.
pub(super) fn terms(recipe: &Recipe) -> String {
    let mut outputs: Vec<&str> = recipe.outputs.iter().map(|output| output.name()).collect();
    outputs.sort_unstable();
    format!("outputs {}, max_lost {}", outputs.join(" and "), recipe.damage.max_lost)
}

impl Copies {
    /// Compares `me` with engines that are new. Returns why it cannot take part, if an engine that started before it has other files.
    pub(super) fn compare<'e>(
        &mut self,
        private: &Path,
        me: &Holder,
        engines: impl Iterator<Item = &'e str>,
    ) -> Option<String> {
        for id in engines.filter(|id| *id != me.id) {
            if me.videos.is_empty() || self.compared.contains(id) {
                continue;
            }
            // Its file may be incomplete. It is read again with the next heartbeat.
            let Some(other) = holder::read_holder(&holder::file(private, id)) else { continue };
            if other.videos.is_empty() {
                continue;
            }
            self.compared.insert(id.to_owned());
            let is_before = (other.started, &other.id) < (me.started, &me.id);
            if is_before && !other.terms.is_empty() && other.terms != me.terms {
                return Some(format!(
                    "the engine on {} extracts the same feature set with other terms ({}; here {}); use the same recipe, or another --out",
                    other.in_words(),
                    other.terms,
                    me.terms
                ));
            }
            if let Some(video) = other.other_copy(&me.videos).filter(|_| is_before) {
                return Some(format!(
                    "the engine on {} has another file for most videos, such as {}: the size or the time differs; use the same dataset \
                     folder, or copies that keep the times (cp -p, rsync -t)",
                    other.in_words(),
                    shown(Path::new(video.name.as_str()))
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use reeldeck_common::source::SourceStamp;
    use reeldeck_common::video::VideoName;

    use super::*;
    use crate::protocol::holder::tests::holder;

    fn known(times: &[i64]) -> Vec<KnownVideo> {
        let video = |(number, mtime_ns): (usize, &i64)| KnownVideo {
            name: VideoName::new(&format!("A/v_{number}.mp4")).unwrap(),
            stamp: SourceStamp { size: 1, mtime_ns: *mtime_ns },
        };
        times.iter().enumerate().map(video).collect()
    }

    #[test]
    fn an_engine_with_other_copies_than_one_that_started_before_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(holder::folder(dir.path())).unwrap();
        let write = |videos: &[i64]| {
            let other = Holder { videos: known(videos), ..holder("a") };
            fs::write(holder::file(dir.path(), "a"), other.file_text().unwrap()).unwrap();
            other.started
        };
        let compare = |videos: &[i64], started| {
            let me = Holder { videos: known(videos), started, ..holder("b") };
            Copies::default().compare(dir.path(), &me, ["a", "b"].into_iter())
        };
        let started = write(&[1, 2, 3, 4]);
        let reason = compare(&[5, 2, 7, 8], started).unwrap();
        assert!(reason.contains("A/v_0.mp4") && reason.contains("cp -p"), "{reason}");
        assert_eq!(compare(&[1, 2, 3, 4], started), None);
        assert_eq!(compare(&[9, 2, 3], started), None, "a video has changed");
        assert_eq!(compare(&[], started), None, "no common videos");
        let before = started - std::time::Duration::from_secs(1);
        assert_eq!(compare(&[5, 6, 7, 8], before), None, "the other engine leaves");
        write(&[]);
        assert_eq!(compare(&[5, 6, 7, 8], started), None, "it has read no videos yet");
    }

    #[test]
    fn an_engine_with_another_recipe_for_the_same_set_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(holder::folder(dir.path())).unwrap();
        let mut recipe = Recipe::find("slowonly-r50-8x8-k700").unwrap();
        let with = |id: &str, terms: String| Holder { videos: known(&[1, 2]), terms, ..holder(id) };
        let (first, same) = (with("a", terms(&recipe)), terms(&recipe));
        fs::write(holder::file(dir.path(), "a"), first.file_text().unwrap()).unwrap();
        let compare = |terms: String| {
            let me = Holder { started: first.started, ..with("b", terms) };
            Copies::default().compare(dir.path(), &me, ["a", "b"].into_iter())
        };
        assert_eq!(compare(same), None);
        recipe.damage.max_lost = 0.5;
        let reason = compare(terms(&recipe)).unwrap();
        assert!(reason.contains("max_lost 0.05; here outputs logits, max_lost 0.5"), "{reason}");
        recipe.outputs.reverse();
        recipe.damage.max_lost = 0.05;
        assert_eq!(compare(terms(&recipe)), None, "the order of the outputs means nothing");
    }
}
