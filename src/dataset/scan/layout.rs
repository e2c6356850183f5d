//! Where in the dataset folder the videos lie.

use clap::ValueEnum;
use reeldeck_common::video::{MAX_FOLDERS, VideoName};
use serde::{Deserialize, Serialize};

use super::Refusal;

/// The places of videos in the dataset folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FolderLayout {
    /// The layout that most videos have
    #[default]
    Auto,
    /// `Class/file`
    Classes,
    /// `file`
    Flat,
    /// `split/Class/file` and `split/file`, where split is train, val, test or the like
    Split,
    /// At any depth
    Any,
}

impl FolderLayout {
    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Classes => "classes",
            Self::Flat => "flat",
            Self::Split => "split",
            Self::Any => "any",
        }
    }

    /// The layout itself; for [`FolderLayout::Auto`] the one that most of the videos have. `None` if they have none of the
    /// named layouts, or if there is no video.
    pub(crate) fn resolve<'v>(self, videos: impl Iterator<Item = &'v VideoName>) -> Option<Self> {
        if self != Self::Auto {
            return Some(self);
        }
        // In this order for equal counts.
        let mut counts = [(Self::Classes, 0), (Self::Split, 0), (Self::Flat, 0)];
        for video in videos {
            let has = match (video.depth(), video.is_in_split()) {
                (0, _) => Self::Flat,
                (1, false) => Self::Classes,
                (1 | 2, true) => Self::Split,
                _ => continue,
            };
            if let Some((_, count)) = counts.iter_mut().find(|(layout, _)| *layout == has) {
                *count += 1;
            }
        }
        let most = counts.iter().map(|(_, count)| *count).max().filter(|most| *most > 0)?;
        counts.into_iter().find(|(_, count)| *count == most).map(|(layout, _)| layout)
    }

    /// Why a video does not belong to this layout; `None` if it does.
    pub(crate) fn refuses(self, video: &VideoName) -> Option<Refusal> {
        let depth = video.depth();
        match self {
            Self::Auto | Self::Any => None,
            Self::Flat => (depth > 0).then_some(Refusal::NotFlat),
            Self::Split => (!video.is_in_split() || depth > 2).then_some(Refusal::NotInSplit),
            Self::Classes => match depth {
                0 => Some(Refusal::NoClass),
                1 => None,
                _ => Some(Refusal::TooDeep),
            },
        }
    }

    /// The depths of the folders that may contain videos; 0 is the dataset folder itself.
    pub(in crate::dataset) fn folder_depths(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Auto | Self::Any => 0..=MAX_FOLDERS,
            Self::Classes => 1..=1,
            Self::Flat => 0..=0,
            Self::Split => 1..=2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(names: &[&str]) -> Option<FolderLayout> {
        let videos: Vec<_> = names.iter().map(|name| VideoName::new(name).unwrap()).collect();
        FolderLayout::Auto.resolve(videos.iter())
    }

    #[test]
    fn the_layout_of_most_videos_is_found() {
        use FolderLayout::*;
        for (names, expected) in [
            (&["A/v_1.mp4", "B/v_2.mp4"][..], Some(Classes)),
            (&["v_1.mp4", "v_2.mp4"], Some(Flat)),
            (&["train/A/v_1.mp4", "val/A/v_2.mp4"], Some(Split)),
            // THUMOS14; and HACS, whose testing videos have no class.
            (&["validation/v_1.mp4", "Test/v_2.mp4"], Some(Split)),
            (&["training/A/v_1.mp4", "testing/v_2.mp4"], Some(Split)),
            // A class that has the name of a split.
            (&["A/v_1.mp4", "B/v_2.mp4", "test/v_3.mp4"], Some(Classes)),
            (&["v_1.mp4", "v_2.mp4", "A/v_3.mp4"], Some(Flat)),
            (&["v_1.mp4", "A/v_3.mp4"], Some(Classes)),
            (&["hacs/A/v_1.mp4"], None),
            (&["a/b/c/v_1.mp4", "train/a/b/v_1.mp4"], None),
            (&[], None),
        ] {
            assert_eq!(resolve(names), expected, "{names:?}");
        }
    }
}
