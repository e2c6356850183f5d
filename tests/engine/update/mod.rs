//! The state machine under random events: no video is lost, doubled, retried too often or too early, or charged for what
//! another one did.

use proptest::prelude::*;
use reeldeck::internals::engine::Phase;
use reeldeck_common::error::ErrorKind;

mod model;
mod world;

use world::World;

/// What the world outside of the state machine does next. Numbers choose among what is possible at that time.
#[derive(Clone, Debug)]
enum Happens {
    /// A worker has loaded its model.
    Ready(usize),
    /// A worker finishes one of its orders.
    Done(usize, usize),
    /// One of its orders fails.
    Failed(usize, usize, ErrorKind),
    /// A worker's process crashes; true: after it has finished an order without reporting it.
    Crash(usize, bool),
    /// A worker's process is killed with SIGKILL; true: the kernel has counted it.
    Killed(usize, bool),
    /// A worker reports progress on a job, which need not be its own.
    Progress(usize, u64),
    /// A worker cannot work.
    Fatal(usize),
    /// A worker, which need not exist, finishes a job that was never given.
    Nonsense(usize, u64),
    /// An earlier process of a worker reports something about a job of the current one.
    Late(usize, usize, usize),
    /// The processes that were killed or told to leave end.
    Ends,
    /// The journal reaches the disk as far as this many orders.
    Released(usize),
    Interrupt,
    Abort,
    Pause,
    Resume,
    Retry(usize),
    Redo(usize),
    /// A user excludes a video, undoes it, or does one after the other.
    Exclude(usize),
    Include(usize),
    ExcludeAndInclude(usize),
    Start,
    Rest,
    CannotWrite,
    /// The dataset folder goes, unnoticed or with a word of the watch.
    DatasetGoes(bool),
    /// A worker cannot read one of its orders: its folder is gone, or its file was gone for a moment.
    ReadFails(usize, usize, bool),
    /// A check of the dataset folder ends: it is there or not.
    DatasetChecked(bool),
    /// A check of the output folder ends: it can be written to or not, and this video's feature is lost.
    Checked(bool, usize),
    /// A file is there, new or in this version, with a feature of it or not.
    Seen(usize, u64, bool),
    Vanished(usize),
    Time(u64),
}

fn kind() -> impl Strategy<Value = ErrorKind> {
    prop_oneof![
        6 => Just(ErrorKind::Io),
        2 => Just(ErrorKind::OutOfMemory),
        1 => Just(ErrorKind::Corrupt),
        1 => Just(ErrorKind::Limit),
        1 => Just(ErrorKind::Missing),
        1 => Just(ErrorKind::DiskFull),
        1 => Just(ErrorKind::Output),
        1 => Just(ErrorKind::Interrupted),
        1 => Just(ErrorKind::WorkerCrashed),
        1 => Just(ErrorKind::Device),
        1 => Just(ErrorKind::Internal),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..4usize).prop_map(Happens::Ready),
        10 => (0..4usize, 0..4usize).prop_map(|(w, n)| Happens::Done(w, n)),
        4 => (0..4usize, 0..4usize, kind()).prop_map(|(w, n, k)| Happens::Failed(w, n, k)),
        3 => (0..4usize, prop::bool::weighted(0.2)).prop_map(|(w, unreported)| Happens::Crash(w, unreported)),
        3 => (0..4usize, any::<bool>()).prop_map(|(w, counted)| Happens::Killed(w, counted)),
        2 => (0..4usize, 0..50u64).prop_map(|(w, j)| Happens::Progress(w, j)),
        1 => (0..4usize).prop_map(Happens::Fatal),
        1 => (0..9usize, 0..50u64).prop_map(|(w, j)| Happens::Nonsense(w, j)),
        2 => (0..20usize, 0..4usize, 0..7usize).prop_map(|(p, n, kind)| Happens::Late(p, n, kind)),
        6 => Just(Happens::Ends),
        12 => (1..9usize).prop_map(Happens::Released),
        1 => prop_oneof![6 => Just(Happens::Time(0)), 2 => Just(Happens::Interrupt), 1 => Just(Happens::Abort)],
        1 => Just(Happens::Pause),
        2 => Just(Happens::Resume),
        2 => (0..20usize).prop_map(Happens::Retry),
        2 => (0..20usize).prop_map(Happens::Redo),
        2 => (0..20usize).prop_map(Happens::Exclude),
        2 => (0..20usize).prop_map(Happens::Include),
        3 => (0..20usize).prop_map(Happens::ExcludeAndInclude),
        2 => Just(Happens::Start),
        1 => Just(Happens::Rest),
        1 => Just(Happens::CannotWrite),
        1 => any::<bool>().prop_map(Happens::DatasetGoes),
        2 => (0..4usize, 0..4usize, any::<bool>()).prop_map(|(w, n, folder)| Happens::ReadFails(w, n, folder)),
        4 => any::<bool>().prop_map(Happens::DatasetChecked),
        3 => (any::<bool>(), 0..20usize).prop_map(|(back, video)| Happens::Checked(back, video)),
        4 => (0..24usize, 0..3u64, any::<bool>()).prop_map(|(video, version, done)| Happens::Seen(video, version, done)),
        2 => (0..24usize).prop_map(Happens::Vanished),
        4 => (0..20_000u64).prop_map(Happens::Time),
        4 => (0..1_000u64).prop_map(Happens::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]
    #[test]
    fn every_run_ends_with_every_video_in_one_state(
        videos in 0..20usize,
        workers in 1..4usize,
        capacity in 1..4usize,
        suspects in 0..3usize,
        events in proptest::collection::vec(happens(), 0..120),
    ) {
        let mut world = World::new(videos, workers, capacity, suspects);
        for happens in &events {
            world.step(happens);
        }
        world.end_well();
        let counts = world.state.counts();
        if world.state.phase == Phase::Running {
            prop_assert_eq!(counts.unfinished(), 0, "all videos are processed unless the run was interrupted");
        }
        prop_assert_eq!(counts.running, 0);
    }
}
