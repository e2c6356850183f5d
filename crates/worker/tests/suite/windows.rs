//! Features of windows at a stride.

use reeldeck_common::error::ErrorKind;
use reeldeck_common::feature::{Feature, Header};
use reeldeck_common::protocol::FromWorker;
use reeldeck_common::recipe::{Output, Placement, Recipe, Sampling, Short};

use crate::harness::{Worker, complete_files, init, job, tiny_recipe, video};

fn with(sampling: Sampling) -> Recipe {
    Recipe { sampling, outputs: vec![Output::Logits, Output::Pooled], ..tiny_recipe() }
}

/// Clips that are spread so that they start at every fourth frame are windows at a stride of four.
#[test]
fn windows_have_the_numbers_of_spread_clips_in_the_same_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mp4");
    video(&path, 100, 1);
    let features = [Sampling::spread(24, 8, 1), Sampling::windows(4, 8, 1)].map(|sampling| {
        let mut worker = Worker::start(&init(with(sampling)));
        let feature = folder.path().join(format!("out/{}.safetensors", sampling.fixed_rows().is_some()));
        worker.send(&job(0, &path, &feature));
        let report = worker.expect_done(0);
        assert_eq!((report.frames.output, report.clips, report.clips_computed), (100, 24, 24));
        worker.finish();
        assert!(Header::read(&feature).unwrap().satisfies(&with(sampling)));
        Feature::read(&feature).unwrap()
    });
    assert_eq!(features[0].tensors["pooled"].shape, [24, 128]);
    assert!(features[0].tensors == features[1].tensors, "the numbers differ");
    assert_eq!(complete_files(&folder.path().join("out")).len(), 2);
}

#[test]
fn the_number_of_rows_follows_from_the_length_of_the_video() {
    let folder = tempfile::tempdir().unwrap();
    let placement = |fps, short| Placement::Windows { stride: 3, fps, short };
    let sampling = |fps, short| Sampling { placement: placement(fps, short), length: 8, interval: 1 };
    // Videos have 30 frames per second.
    for (fps, short) in [(None, Short::Drop), (Some(15.0), Short::Drop), (None, Short::RepeatLast)] {
        let recipe = with(sampling(fps, short));
        let mut worker = Worker::start(&init(recipe.clone()));
        for (number, frames) in [7_u64, 8, 10, 11, 40].into_iter().enumerate() {
            let path = folder.path().join(format!("{frames}.mp4"));
            video(&path, frames, 2);
            let feature = folder.path().join(format!("{number}.{fps:?}.{short:?}.safetensors"));
            worker.send(&job(number as u64, &path, &feature));
            let sampled = if fps.is_some() { frames.div_ceil(2) } else { frames };
            let expected = recipe.sampling.rows(sampled);
            if expected == 0 {
                let failure = worker.expect_failed(number as u64);
                assert_eq!(failure.kind, ErrorKind::Limit);
                assert!(
                    failure.line().contains(&format!("it has {sampled} frames, and a clip spans 8")),
                    "{failure:?}"
                );
                assert!(!feature.exists());
                continue;
            }
            assert_eq!(worker.expect_done(number as u64).clips, expected, "{frames} frames at {fps:?}");
            let header = Header::read(&feature).unwrap();
            assert_eq!((header.provenance.frames.output, header.provenance.resampled), (frames, fps.map(|_| sampled)));
            assert!(header.satisfies(&recipe), "{frames} frames at {fps:?}");
            let other = with(Sampling::windows(2, 8, 1));
            assert_eq!(header.satisfies(&other), other.sampling.rows(sampled) == expected, "another stride");
        }
        let ended = worker.finish();
        assert!(ended.messages.iter().all(|message| matches!(message, FromWorker::Progress { .. })));
    }
}
