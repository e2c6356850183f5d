//! Segments of the annotations that cannot be right: empty, inverted, outside of the video, or twice the same.

use std::fmt::Write as _;

use reeldeck_common::video::printable;
use serde::Serialize;

use crate::out::count;

/// How far a segment may reach beyond the duration without a report, in seconds. Annotation files round both.
const ROUNDING_S: f64 = 0.1;
/// How many segments are kept. All are counted.
const MAX_KEPT: usize = 10_000;

/// A segment of a video: the index of its label, and begin and end in seconds.
pub(super) type Segment = (u32, [f64; 2]);

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentProblem {
    /// It ends where it begins.
    Empty,
    /// It ends before it begins.
    Inverted,
    /// It begins before 0, or ends after the end of the video.
    Outside,
    /// It shares more than half of itself with another segment of the same label, or contains more than half of it.
    Overlapping,
}

impl SegmentProblem {
    const ALL: [Self; 4] = [Self::Empty, Self::Inverted, Self::Outside, Self::Overlapping];

    fn words(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Inverted => "inverted",
            Self::Outside => "outside of the video",
            Self::Overlapping => "overlapping with another of the same label",
        }
    }
}

/// A segment that cannot be right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OddSegment {
    /// The video's id.
    pub id: Box<str>,
    /// Its label.
    pub label: Box<str>,
    /// Begin and end, in seconds.
    pub segment: [f64; 2],
    /// The video's duration in the manifest, in seconds.
    pub duration_s: f64,
    /// What is wrong.
    pub problem: SegmentProblem,
}

/// The segments of a manifest that cannot be right.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct OddSegments {
    /// Their number, by [`SegmentProblem::ALL`].
    #[serde(serialize_with = "by_name")]
    pub counts: [usize; 4],
    /// The number of videos that have one.
    pub videos: usize,
    /// The first of them, in the manifest's order.
    pub first: Vec<OddSegment>,
}

fn by_name<S: serde::Serializer>(counts: &[usize; 4], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(SegmentProblem::ALL.iter().zip(counts))
}

impl OddSegments {
    /// Checks the segments of a video.
    pub(super) fn check<'l>(
        &mut self,
        id: &str,
        duration_s: f64,
        segments: &[Segment],
        label: impl Fn(u32) -> Option<&'l str>,
    ) {
        let odd = judge(segments, duration_s);
        self.videos += usize::from(!odd.is_empty());
        for ((number, segment), problem) in odd {
            if let Some(count) = self.counts.get_mut(problem as usize) {
                *count += 1;
            }
            if self.first.len() < MAX_KEPT {
                let label = label(number).unwrap_or_default().into();
                self.first.push(OddSegment { id: id.into(), label, segment, duration_s, problem });
            }
        }
    }

    /// One line for each of at most `most` segments, then their number. Empty if there is none.
    pub(crate) fn text(&self, most: usize) -> String {
        let mut text = String::new();
        let total: usize = self.counts.iter().sum();
        if total == 0 {
            return text;
        }
        for odd in self.first.iter().take(most) {
            let _ = writeln!(text, "{odd}");
        }
        let named = most.min(self.first.len());
        if total > named {
            let _ = writeln!(text, "segment {} more; -v names more of them", total - named);
        }
        let kinds = SegmentProblem::ALL.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let kinds: Vec<_> = kinds.map(|(problem, count)| format!("{count} {}", problem.words())).collect();
        let (segments, videos) = (count(total, "segment", "segments"), count(self.videos, "video", "videos"));
        let _ = writeln!(
            text,
            "note: {segments} of {videos} are invalid: {}; docs/MANIFEST.md says what each trainer does with them",
            kinds.join(", ")
        );
        text
    }
}

impl std::fmt::Display for OddSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, label, segment: [begin, end], duration_s, problem } = self;
        write!(f, "segment {} ({}): [{begin:?}, {end:?}] ", printable(id), printable(label))?;
        match problem {
            SegmentProblem::Empty => write!(f, "is empty"),
            SegmentProblem::Inverted => write!(f, "ends before it begins"),
            SegmentProblem::Outside => write!(f, "extends beyond the video, which is {duration_s:?} s long"),
            SegmentProblem::Overlapping => write!(f, "overlaps with another segment of the same label"),
        }
    }
}

/// The segments that cannot be right, in their order.
fn judge(segments: &[Segment], duration_s: f64) -> Vec<(Segment, SegmentProblem)> {
    let mut problems: Vec<Option<SegmentProblem>> = segments
        .iter()
        .map(|(_, [begin, end])| {
            let is_outside = *begin < 0.0 || duration_s > 0.0 && *end > duration_s + ROUNDING_S;
            match end.total_cmp(begin) {
                std::cmp::Ordering::Less => Some(SegmentProblem::Inverted),
                std::cmp::Ordering::Equal => Some(SegmentProblem::Empty),
                std::cmp::Ordering::Greater => is_outside.then_some(SegmentProblem::Outside),
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..segments.len()).filter(|at| problems.get(*at) == Some(&None)).collect();
    let key = |at: &usize| segments.get(*at).copied().unwrap_or_default();
    order.sort_by(|a, b| {
        let ((label_a, a), (label_b, b)) = (key(a), key(b));
        label_a.cmp(&label_b).then(a[0].total_cmp(&b[0])).then(a[1].total_cmp(&b[1]))
    });
    // The segment of the same label that ends last.
    let mut last: Option<Segment> = None;
    for at in order {
        let (label, [begin, end]) = key(&at);
        if let Some((_, [last_begin, last_end])) = last.filter(|(other, _)| *other == label) {
            let shared = end.min(last_end) - begin;
            let shorter = (end - begin).min(last_end - last_begin);
            if shared > shorter / 2.0
                && let Some(problem) = problems.get_mut(at)
            {
                *problem = Some(SegmentProblem::Overlapping);
            }
            if end <= last_end {
                continue;
            }
        }
        last = Some((label, [begin, end]));
    }
    segments.iter().copied().zip(problems).filter_map(|(segment, problem)| Some((segment, problem?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(segments: &[Segment], duration_s: f64) -> Vec<(usize, SegmentProblem)> {
        let odd = judge(segments, duration_s);
        odd.into_iter().map(|(odd, problem)| (segments.iter().position(|s| *s == odd).unwrap(), problem)).collect()
    }

    #[test]
    fn impossible_segments_are_found() {
        use SegmentProblem::*;
        let segments =
            [(0, [0.0, 1.0]), (0, [2.0, 1.0]), (0, [1.5, 1.5]), (0, [1.0, 9.5]), (0, [-0.5, 0.2]), (1, [2.9, 3.05])];
        assert_eq!(problems(&segments, 3.0), [(1, Inverted), (2, Empty), (3, Outside), (4, Outside)]);
        // Without a duration, nothing is past the end.
        assert_eq!(problems(&[(0, [1.0, 9.5])], 0.0), []);
    }

    #[test]
    fn only_long_overlaps_of_the_same_label_are_reported() {
        use SegmentProblem::Overlapping;
        let long = [(0, [0.0, 10.0]), (1, [0.0, 10.0]), (0, [9.0, 19.0]), (0, [2.0, 3.0]), (0, [12.0, 18.0])];
        assert_eq!(problems(&long, 20.0), [(3, Overlapping), (4, Overlapping)]);
        assert_eq!(problems(&[(0, [1.0, 2.0]), (0, [2.0, 3.0])], 20.0), []);
        // The same segment twice.
        assert_eq!(judge(&[(0, [1.0, 2.0]), (0, [1.0, 2.0])], 20.0), [((0, [1.0, 2.0]), Overlapping)]);
    }

    #[test]
    fn the_text_names_each_segment_and_counts_all() {
        let mut odd = OddSegments::default();
        assert_eq!(odd.text(9), "");
        odd.check("a", 3.0, &[(0, [2.0, 1.0]), (0, [1.0, 9.5])], |_| Some("Archery\u{1b}"));
        odd.check("b", 3.0, &[(0, [1.0, 2.0])], |_| None);
        let text = odd.text(1);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "segment a (Archery\\u{1b}): [2.0, 1.0] ends before it begins",
                "segment 1 more; -v names more of them",
                "note: 2 segments of 1 video are invalid: 1 inverted, 1 outside of the video; docs/MANIFEST.md says what \
                 each trainer does with them",
            ]
        );
        assert!(odd.text(2).contains("[1.0, 9.5] extends beyond the video, which is 3.0 s"));
        let json = serde_json::to_value(&odd).unwrap();
        assert_eq!((&json["counts"]["inverted"], &json["first"][1]["problem"]), (&1.into(), &"outside".into()));
    }
}
