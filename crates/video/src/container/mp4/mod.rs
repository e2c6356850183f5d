//! MP4 and MOV files: the index or the fragments list every frame.

mod boxes;
mod fragments;
mod table;
mod timeline;

use std::io::{self, Read, Seek};

use reeldeck_common::feature::ExpectedFrom;

use super::holes::Source;
use super::reader::Reader;
use super::{Amount, Declaration, End, Structure};
pub(crate) use boxes::Boxes;
use boxes::Segments;
use fragments::Listed;
use table::Index;
pub(crate) use table::SampleTable;

/// No index of a video is larger.
const MAX_INDEX: usize = 256 << 20;
/// No header of a fragment is larger.
const MAX_FRAGMENT: usize = 16 << 20;

/// A movie that should last longer than its fragments by this much lacks some of them.
const SLACK_SECONDS: f64 = 1.0;

/// Walks over the top-level boxes.
///
/// # Errors
/// If reading fails.
pub(crate) fn boxes(file: impl Source) -> io::Result<Boxes> {
    boxes::walk(&mut Reader::new(file)?)
}

/// Fragments that end so much earlier than a segment index says lack some frames.
const MISSING_SECONDS: f64 = 0.05;

/// Reads the index, and the headers of all fragments.
pub(super) fn inspect<R: Read + Seek>(file: &mut Reader<R>, id: i32) -> io::Result<Structure> {
    let boxes = boxes::walk(file)?;
    let mut structure = Structure { missing: boxes.missing, ..Structure::default() };
    boxes.breaks.iter().for_each(|at| structure.broken_at(*at));
    let Some((start, end)) = boxes.index else { return Ok(structure) };
    let content = file.bytes(start, end - start, MAX_INDEX)?;
    let Some(mut index) = Index::parse(&content, id) else {
        // QuickTime can compress the index.
        if table::find(&content, &[b"cmov"]).is_none() {
            structure.unreadable = Some("its index (moov) has no video track that can be read");
        }
        return Ok(structure);
    };
    structure.encryption.clone_from(&index.encryption);
    structure.codec = index.format.map(|format| String::from_utf8_lossy(&format).into_owned());
    let samples = index.table.samples();
    if boxes.fragments.is_empty() {
        // The table comes before or after all data, so it also shows what a cut file lacks: but for fragments that should follow.
        let (source, end) = match index.has_fragments && samples > 0 {
            true => (ExpectedFrom::Nothing, End::Unknown),
            false => (ExpectedFrom::SampleTable, End::Complete),
        };
        structure.declarations = vec![Declaration::list(samples, source)];
        structure.end = end;
        index.table.unreferenced = boxes.data.saturating_sub(index.referenced);
        structure.seconds = index.table.seconds_if_times_are_wrong();
        structure.table = Some(index.table);
        return Ok(structure);
    }
    let mut listed = Listed::default();
    let mut breaks = boxes.breaks.iter().copied().peekable();
    for (start, end) in &boxes.fragments {
        let after_break = breaks.next_if(|at| at < start).is_some();
        listed.add(&file.bytes(*start, end - start, MAX_FRAGMENT)?, &index, after_break);
    }
    if let (Some((start, end)), Some((_, last))) = (boxes.fragment_index, boxes.fragments.last()) {
        let content = file.bytes(start, end - start, MAX_FRAGMENT)?;
        listed.add_unread(&content, index.track, *last);
    }
    let beyond = boxes.segments.filter(|segments| segments.end > file.size());
    structure.missing = structure.missing.max(beyond.map_or(0, |segments| segments.end - file.size()));
    // The sound may be shorter than the index says. If no fragment is missing, their lists of frames are more precise.
    let slack = |segments: &Segments| match beyond {
        Some(_) => MISSING_SECONDS,
        None => MISSING_SECONDS.max(segments.typical_seconds() / 2.0),
    };
    let segments = boxes.segments.filter(|segments| segments.seconds() > listed.seconds() + slack(segments));
    if let Some(segments) = segments {
        let amount = Amount::Seconds { seconds: segments.seconds(), from_zero: false };
        structure.declarations.push(Declaration::if_incomplete(amount, ExpectedFrom::ContainerIndex));
    }
    let slack = SLACK_SECONDS.max(listed.end * 0.05);
    // A header that is shorter than the fragments does not count all of them.
    let total = index.fragments_seconds.filter(|seconds| seconds + slack >= listed.end);
    let longer = total.filter(|seconds| seconds - listed.end > slack);
    let verified = boxes.fragment_index.is_some() || boxes.segments.is_some();
    structure.end = match () {
        () if boxes.cut_fragment || beyond.is_some() || segments.is_some() => End::Cut,
        () if verified => End::Complete,
        () if longer.is_some() => End::Cut,
        () if total.is_some() => End::Complete,
        () => End::Unknown,
    };
    if let Some(seconds) = longer.filter(|_| structure.end == End::Cut) {
        let amount = Amount::Seconds { seconds, from_zero: true };
        structure.declarations.push(Declaration::if_incomplete(amount, ExpectedFrom::ContainerHeader));
    }
    structure.indexed = Some(samples);
    let frames = samples.saturating_add(listed.samples).saturating_add(listed.missing());
    // Fragments list only their own frames, so something else must tell that they are all.
    let are_all = verified || total.is_some();
    let source = if are_all { ExpectedFrom::SampleTable } else { ExpectedFrom::Nothing };
    structure.declarations.push(Declaration::list(frames, source));
    Ok(structure)
}
