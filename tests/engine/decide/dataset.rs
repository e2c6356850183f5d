//! A dataset folder that goes and comes back.

use reeldeck::internals::engine::{Effect, Event, Notice, ReadFailure, Status, VideoId, WorkerId};
use reeldeck::internals::protocol::snapshot::Folder;
use reeldeck_common::error::{ErrorKind, Failure};

use super::Run;

fn unread(run: &mut Run, worker: usize, unread: ReadFailure) -> Vec<Effect> {
    let job = run.job(worker);
    let failure = Failure::new(ErrorKind::Missing, "failed to open it");
    run.event(Event::ReadFailed(run.state.process(WorkerId(worker)), job, unread, failure))
}

fn no_dataset() -> ReadFailure {
    ReadFailure::DatasetGone("the disk is gone".into())
}

fn no_folder() -> ReadFailure {
    ReadFailure::FolderGone("A is gone".into())
}

fn is_held(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Notify(Notice::Held(..))))
}

fn is_charged(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Record { .. }))
}

#[test]
fn a_lost_dataset_folder_holds_the_run_and_charges_no_video() {
    let mut run = super::run(6, 2, 1, |_| {});
    let effects = unread(&mut run, 0, no_dataset());
    assert!(is_held(&effects) && !is_charged(&effects), "{effects:?}");
    assert!(!is_held(&unread(&mut run, 1, no_dataset())), "it says so once");
    for _ in 0..3 {
        let looks = run.wait(10_000).into_iter().filter(|effect| matches!(effect, Effect::LookAtDataset(_)));
        assert_eq!(looks.collect::<Vec<_>>(), [Effect::LookAtDataset(vec![])], "one look at a time");
        run.event(Event::StillHeld(Folder::Dataset, "the disk is gone".into()));
        assert!(run.assignments(0).is_empty() && run.assignments(1).is_empty());
    }
    // A process that ends meanwhile is not charged to its video.
    run.event(Event::OutputBack(vec![]));
    assert!(run.state.waits_for_dataset(), "the output folder is not what it waits for");
    let effects = run.event(Event::DatasetBack);
    assert!(effects.contains(&Effect::Notify(Notice::DatasetBack)), "{effects:?}");
    let mut again = [run.assignments(0), run.assignments(1)].concat();
    again.sort_unstable();
    assert_eq!(again, [0, 1], "the same videos");
    assert!(run.state.videos.iter().all(|video| video.attempts == 0 && !video.suspect));
}

#[test]
fn a_process_that_ends_while_the_dataset_folder_is_gone_charges_no_video() {
    let mut run = super::run(3, 2, 1, |_| {});
    run.event(Event::DatasetGone("the disk is gone".into()));
    assert!(run.state.waits_for_dataset());
    let effects = run.gone(0, "was killed by signal 7 (SIGBUS)");
    assert!(!is_charged(&effects) && run.attempts(0) == 0, "{effects:?}");
    assert!(!run.state.videos[VideoId(0)].suspect);
}

#[test]
fn a_video_in_progress_may_be_finished_during_the_hold() {
    let mut run = super::run(3, 2, 1, |_| {});
    unread(&mut run, 0, no_dataset());
    run.done(1);
    assert_eq!(run.state.counts().done, 1);
    assert!(run.assignments(1).is_empty());
    run.event(Event::DatasetBack);
    assert_eq!((run.assignments(0), run.assignments(1)), (vec![0], vec![2]));
}

#[test]
fn one_removed_file_fails_at_once() {
    let mut run = super::run(2, 1, 1, |_| {});
    assert!(!is_held(&run.fail(0, ErrorKind::Missing)));
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }));
    assert_eq!(run.assignments(0), [1]);
}

#[test]
fn several_videos_in_a_row_without_their_folder_hold_the_run() {
    let mut run = super::run(6, 1, 1, |_| {});
    assert!(!is_held(&unread(&mut run, 0, no_folder())) && !is_held(&unread(&mut run, 0, no_folder())));
    // A video of another folder in between: the disk is there.
    run.done(0);
    assert!(!is_held(&unread(&mut run, 0, no_folder())) && !is_held(&unread(&mut run, 0, no_folder())));
    assert_eq!(run.assignments(0), [5]);
    assert!(is_held(&unread(&mut run, 0, no_folder())));
    let looks = run.wait(2_000);
    let looked = |effect: &Effect| matches!(effect, Effect::LookAtDataset(videos) if videos.len() == 3);
    assert!(looks.iter().any(looked), "{looks:?}");
    // A user who excludes them does not have to wait.
    run.event(Event::StillHeld(Folder::Dataset, "A is gone".into()));
    run.event(Event::Exclude(vec![VideoId(3), VideoId(4)], false));
    let looked = |effect: &Effect| *effect == Effect::LookAtDataset(vec![VideoId(5)]);
    assert!(run.wait(2_000).iter().any(looked));
    run.event(Event::DatasetBack);
    assert!(run.state.videos.iter().all(|video| video.attempts == 0), "{:?}", run.state.videos);
    assert_eq!(run.assignments(0).len(), 1);
}

#[test]
fn a_single_video_whose_folder_was_removed_fails_in_the_end() {
    let mut run = super::run(1, 1, 1, |_| {});
    for _ in 0..4 {
        assert_eq!(run.assignments(0), [0]);
        assert!(!is_charged(&unread(&mut run, 0, no_folder())));
        assert!(run.assignments(0).is_empty(), "not at once");
        run.wait(2_000);
    }
    assert!(is_charged(&unread(&mut run, 0, no_folder())));
    assert!(matches!(run.state.videos[VideoId(0)].status, Status::Failed { .. }));
}

#[test]
fn a_file_that_is_back_is_tried_again_without_being_charged() {
    let mut run = super::run(1, 1, 1, |_| {});
    assert!(!is_charged(&unread(&mut run, 0, ReadFailure::FileBack)) && run.state.hold.is_none());
    run.wait(2_000);
    run.done(0);
    assert_eq!((run.state.counts().done, run.attempts(0)), (1, 0));
}
