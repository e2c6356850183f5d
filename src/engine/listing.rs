//! The manifest as the engine uses it: lookups of single videos, and annotations that are read on first use.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::dataset::manifest::{Manifest, ManifestError, id_of};
use crate::protocol::details::{ListedVideo, Segment};

/// The position of a file that is not in the manifest.
pub(crate) const NONE: u32 = u32::MAX;

/// A manifest and its annotations.
#[derive(Debug)]
pub(crate) struct Listing {
    manifest: Manifest,
    spans: OnceLock<Spans>,
}

/// The annotated spans, grouped by video.
#[derive(Debug, Default)]
struct Spans {
    labels: Vec<Box<str>>,
    /// For each video of the manifest, the end of its spans.
    ends: Vec<u32>,
    /// Index of the label, start and end in seconds.
    spans: Vec<(u32, f32, f32)>,
}

/// An annotation in an entry of a manifest.
#[derive(Deserialize)]
struct Annotation {
    label: String,
    segment: [f64; 2],
}

impl Listing {
    /// Wraps a manifest.
    pub(crate) fn new(manifest: Manifest) -> Self {
        Self { manifest, spans: OnceLock::new() }
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The position of a file's video in the manifest, or [`NONE`].
    pub(crate) fn position(&self, file: &str) -> u32 {
        let position = id_of(file, &self.manifest.prefix).and_then(|id| self.manifest.position(id));
        position.and_then(|position| u32::try_from(position).ok()).unwrap_or(NONE)
    }

    /// The expected duration of a video, in seconds.
    pub(crate) fn duration_s(&self, position: u32) -> Option<f64> {
        self.manifest.at(position as usize)?.1.duration_s
    }

    /// The expected file name of a video, without extension.
    pub(crate) fn file(&self, position: u32) -> String {
        let id = self.manifest.at(position as usize).map_or("", |(id, _)| id);
        format!("{}{id}", self.manifest.prefix)
    }

    /// The entry of a video. The first call reads the manifest again, so it may block.
    pub(crate) fn details(&self, position: u32) -> Option<ListedVideo> {
        let (id, listed) = self.manifest.at(position as usize)?;
        let spans = self.spans.get_or_init(|| Spans::read(&self.manifest).unwrap_or_default());
        Some(ListedVideo {
            id: id.to_owned(),
            duration_s: listed.duration_s,
            subset: listed.split.map(|split| split.name().to_owned()),
            url: listed.address(id),
            segments: spans.of(position as usize),
        })
    }
}

impl Spans {
    fn read(manifest: &Manifest) -> Result<Self, ManifestError> {
        let mut all = Self::default();
        let mut labels = indexmap::IndexSet::<Box<str>>::new();
        manifest.each::<ManifestError>(|entry| {
            // The entries of a plain list have no annotations.
            for Annotation { label, segment } in
                serde_json::from_str::<Vec<Annotation>>(&entry.text).unwrap_or_default()
            {
                let label = labels.insert_full(label.into()).0;
                all.spans.push((label as u32, segment[0] as f32, segment[1] as f32));
            }
            all.ends.push(all.spans.len() as u32);
            Ok(())
        })?;
        all.labels = labels.into_iter().collect();
        Ok(all)
    }

    fn of(&self, video: usize) -> Vec<Segment> {
        let end = |video: usize| self.ends.get(video).map_or(0, |end| *end as usize);
        let from = video.checked_sub(1).map_or(0, end);
        let segment = |(label, start, end): &(u32, f32, f32)| Segment {
            label: self.labels.get(*label as usize).map(|label| label.to_string()).unwrap_or_default(),
            start_s: (*start).into(),
            end_s: (*end).into(),
        };
        self.spans.get(from..end(video)).unwrap_or_default().iter().map(segment).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_found_by_the_place_of_their_video() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.json");
        let text = r#"{"database": {
            "a": {"duration": 9.5, "subset": "training", "annotations": [
                {"label": "Tai chi", "segment": [1, 2.5]}, {"label": "Archery", "segment": [3, 4]}]},
            "b": {"duration": 5, "subset": "testing", "annotations": []},
            "-c0123456789": {"duration": 5, "subset": "validation", "annotations": [{"label": "Archery", "segment": [0, 5]}]}}}"#;
        std::fs::write(&path, text).unwrap();
        let listing = Listing::new(Manifest::read(&path, "v_").unwrap());
        assert_eq!(
            (listing.position("v_b.mp4"), listing.position("b.mp4"), listing.position("v_x.mp4")),
            (1, NONE, NONE)
        );
        assert_eq!((listing.duration_s(0), listing.file(1)), (Some(9.5), "v_b".to_owned()));
        let a = listing.details(0).unwrap();
        assert_eq!((a.id.as_str(), a.subset.as_deref(), a.url), ("a", Some("training"), None));
        let span = |label: &str, start_s, end_s| Segment { label: label.into(), start_s, end_s };
        assert_eq!(a.segments, [span("Tai chi", 1.0, 2.5), span("Archery", 3.0, 4.0)]);
        assert_eq!(listing.details(1).unwrap().segments, []);
        let c = listing.details(2).unwrap();
        assert_eq!(c.segments, [span("Archery", 0.0, 5.0)]);
        assert!(listing.details(3).is_none());
    }
}
