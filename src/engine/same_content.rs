//! Recognises a corrupt video that has the content which failed before in another download.

use std::io;
use std::path::Path;

use reeldeck_common::digest;
use reeldeck_common::error::{ErrorKind, Failure, SAME_CONTENT, is_absent, of_same_content};
use reeldeck_common::failure::FailureFile;
use reeldeck_common::layout::Layout;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

/// What identifies the content of a corrupt file; `None` for other failures, and if the file is gone.
///
/// # Errors
/// When the file is there and cannot be read.
pub(crate) fn content(path: &Path, kind: ErrorKind) -> io::Result<Option<String>> {
    if kind != ErrorKind::Corrupt {
        return Ok(None);
    }
    match digest::sampled(path) {
        Err(error) if is_absent(&error) => Ok(None),
        sampled => sampled.map(Some),
    }
}

/// The failure without the advice to download the file again, if that was done before and gave the same content. Reads the disk. What
/// cannot be read is logged, and the advice stays.
pub(crate) fn recognise(
    layout: &Layout,
    video: &VideoName,
    path: &Path,
    source: Option<SourceStamp>,
    mut failure: Failure,
) -> Failure {
    let Some(reason) = failure.chain.last_mut() else { return failure };
    let Some(same) = of_same_content(reason) else { return failure };
    let warn = |path: &Path, error: &io::Error| {
        tracing::warn!("{video} is not compared with earlier attempts: failed to read {}: {error}", path.display());
    };
    let file = layout.failure(video);
    let earlier = FailureFile::read(&file).inspect_err(|error| warn(&file, error));
    let Ok(Some(earlier)) = earlier else { return failure };
    let content = content(path, failure.kind).inspect_err(|error| warn(path, error));
    let Ok(content) = content else { return failure };
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
    fn a_file_that_cannot_be_read_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.mp4");
        assert_eq!(content(&path, ErrorKind::Corrupt).unwrap(), None);
        // A link to itself cannot be read.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(content(&path, ErrorKind::Corrupt).is_err());
        assert_eq!(content(&path, ErrorKind::Io).unwrap(), None);
    }

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
            let content = content(&path, ErrorKind::Corrupt).unwrap();
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
