//! Recognises a corrupt video that has the content which failed before in another download.

use std::path::Path;

use reeldeck_common::digest;
use reeldeck_common::error::{ErrorKind, Failure, SAME_CONTENT, of_same_content};
use reeldeck_common::failure::FailureFile;
use reeldeck_common::layout::Layout;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// What identifies the content of a corrupt file; `None` if it cannot be read, and for other failures.
pub(crate) fn content(path: &Path, kind: ErrorKind) -> Option<String> {
    (kind == ErrorKind::Corrupt).then(|| digest::sampled(path).ok()).flatten()
}

/// The failure without the advice to download the file again, if that was done before and gave the same content. Reads the disk.
pub(crate) fn recognise(
    layout: &Layout,
    video: &VideoName,
    path: &Path,
    source: Option<SourceStamp>,
    mut failure: Failure,
) -> Failure {
    let Some(reason) = failure.chain.last_mut() else { return failure };
    let Some(same) = of_same_content(reason) else { return failure };
    let Some(earlier) = FailureFile::read(&layout.failure(video)).ok().flatten() else { return failure };
    let content = content(path, failure.kind);
    let is_known = earlier.last().is_some_and(|last| last.failure.line().ends_with(SAME_CONTENT));
    if content.is_some() && content == earlier.content && (earlier.source != source || is_known) {
        *reason = same;
    }
    failure
}

#[cfg(test)]
mod tests {
    use std::fs;

    use reeldeck_common::atomic::Owner;
    use reeldeck_common::failure::Attempt;

    use super::*;

    #[test]
    fn the_same_content_in_another_download_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("out"), "s");
        layout.prepare().unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let path = dir.path().join("v.mp4");
        let fail = |bytes: &str, mtime_ns: i64| {
            fs::write(&path, bytes).unwrap();
            let source = Some(SourceStamp { size: 9, mtime_ns });
            let failure = Failure::new(ErrorKind::Corrupt, "cut; download it again");
            let failure = recognise(&layout, &video, &path, source, failure);
            let now = jiff::Timestamp::UNIX_EPOCH;
            let line = failure.line();
            let attempts =
                vec![Attempt { started: now, ended: now, device: "cpu".into(), failure, stderr: vec![], retry: false }];
            let content = content(&path, ErrorKind::Corrupt);
            let file = FailureFile { video: video.clone(), source, content, attempts };
            file.write(&layout.failure(&video), &Owner::this_process()).unwrap();
            line
        };
        let (again, same) =
            ("cut; download it again", "cut; the same content failed before, so the source itself is damaged");
        assert_eq!(fail("broken", 1), again);
        assert_eq!(fail("broken", 1), again, "the same file, tried again");
        assert_eq!(fail("broken", 2), same, "another download with the same content");
        assert_eq!(fail("broken", 2), same);
        assert_eq!(fail("others", 3), again, "other content");
    }
}
