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
pub(crate) fn content(path: &Path, failure: &Failure) -> io::Result<Option<String>> {
    let Some(reason) = failure.chain.last().filter(|_| failure.kind == ErrorKind::Corrupt) else { return Ok(None) };
    match digest::of_corrupt(path, reason) {
        Err(error) if is_absent(&error) => Ok(None),
        content => content.map(Some),
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
    let Some(same) = failure.chain.last().and_then(|reason| of_same_content(reason)) else { return failure };
    let warn = |path: &Path, error: &io::Error| {
        tracing::warn!("{video} is not compared with earlier attempts: failed to read {}: {error}", path.display());
    };
    let file = layout.failure(video);
    let earlier = FailureFile::read(&file).inspect_err(|error| warn(&file, error));
    let Ok(Some(earlier)) = earlier else { return failure };
    let content = content(path, &failure).inspect_err(|error| warn(path, error));
    let Ok(content) = content else { return failure };
    let is_known = earlier.last().is_some_and(|last| last.failure.line().ends_with(SAME_CONTENT));
    if content.is_some()
        && content == earlier.content
        && (earlier.source != source || is_known)
        && let Some(reason) = failure.chain.last_mut()
    {
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
        let corrupt = Failure::new(ErrorKind::Corrupt, "cut");
        assert_eq!(content(&path, &corrupt).unwrap(), None);
        // A link to itself cannot be read.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(content(&path, &corrupt).is_err());
        assert_eq!(content(&path, &Failure::new(ErrorKind::Io, "cut")).unwrap(), None);
    }

    #[test]
    fn the_same_content_in_another_download_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(&dir.path().join("out"), "s");
        layout.prepare().unwrap();
        let video = VideoName::new("A/v.mp4").unwrap();
        let path = dir.path().join("v.mp4");
        let fail_with = |bytes: &[u8], mtime_ns: i64, facts: &str| {
            fs::write(&path, bytes).unwrap();
            let source = Some(SourceStamp { size: 9, mtime_ns });
            let failure = Failure::new(ErrorKind::Corrupt, format!("{facts}; download it again"));
            let failure = recognise(&layout, &video, &path, source, failure);
            let content = content(&path, &failure).unwrap();
            let now = jiff::Timestamp::UNIX_EPOCH;
            let line = failure.line();
            let attempts =
                vec![Attempt { started: now, ended: now, device: "cpu".into(), failure, stderr: vec![], retry: false }];
            let file = FailureFile { video: video.clone(), source, content, attempts };
            file.write(&layout.failure(&video), &Owner::this_process()).unwrap();
            line
        };
        let fail = |bytes: &str, mtime_ns: i64| fail_with(bytes.as_bytes(), mtime_ns, "cut");
        let (again, same) = (
            "cut; download it again",
            "cut; the same content failed before: if this is another download, the source itself is damaged",
        );
        assert_eq!(fail("broken", 1), again);
        assert_eq!(fail("broken", 1), again, "the same file, tried again");
        assert_eq!(fail("broken", 2), same, "another download with the same content");
        assert_eq!(fail("broken", 2), same);
        assert_eq!(fail("others", 3), again, "other content");
        // Not all of a large file is read.
        let mut large = vec![1; 20 << 20];
        fail_with(&large, 4, "51 frames are lost");
        large[100_000] = 2;
        assert_eq!(fail_with(&large, 5, "62 frames are lost"), "62 frames are lost; download it again");
    }
}
