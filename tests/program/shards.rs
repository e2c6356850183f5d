//! One dataset on several machines: the parts do not overlap, locks enforce it, and they share one output folder.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Bench, Ran, wait_for};

fn bench(script: &str) -> Bench {
    let names: Vec<String> = (0..24).map(|i| format!("A/v_{i:02}.mp4")).collect();
    let bench = Bench::new(&names.iter().map(|name| (name.as_str(), script)).collect::<Vec<_>>());
    bench.video("B/v_x.mp4", "fail corrupt");
    bench
}

#[test]
fn shards_partition_the_dataset() {
    let bench = bench("slow 20");
    // A part that starts late would count the failure of another part as an earlier failure.
    bench.video("B/v_x.mp4", "until all-have-begun fail corrupt");
    let parts: Vec<_> = (0..3).map(|i| bench.start(&["--batch", "--shard", &format!("{i}/3")])).collect();
    wait_for("all have begun", || fs::read_dir(bench.path("out/.reeldeck/runs")).is_ok_and(|runs| runs.count() == 3));
    fs::write(bench.path("all-have-begun"), "").unwrap();
    let ran: Vec<Ran> = parts.into_iter().map(|part| Ran::of(part.wait_with_output().unwrap())).collect();
    assert_eq!(ran.iter().filter(|ran| ran.code == 3).count(), 1, "the part with the failing video: {ran:?}");
    assert_eq!(ran.iter().filter(|ran| ran.code == 0).count(), 2, "{ran:?}");
    assert_eq!((bench.files("features").len(), bench.files("failures").len()), (24, 1));
    assert!(!bench.path("out/exports").exists(), "a part is not exported");
    assert!(ran.iter().all(|ran| ran.stderr.contains("of other parts")), "{ran:?}");
    // The journal of each part lists its videos.
    let mut started = vec![];
    for entry in fs::read_dir(bench.path("out/.reeldeck/runs")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = text.lines().filter(|line| line.contains("video-started"));
        started
            .extend(lines.map(|line| line.split("\"video\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()));
    }
    assert_eq!((started.len(), started.iter().collect::<BTreeSet<_>>().len()), (25, 25), "once each");
    let whole = bench.run(&["--batch"]);
    assert!(whole.code == 3 && whole.stdout.contains("24 done (0 now, 24 before), 1 failed"), "{whole:?}");
    assert!(bench.export("result.pkl").exists());
}

#[test]
fn runs_that_overlap_are_refused() {
    let bench = bench("slow 500");
    let mut first = bench.start(&["--batch", "--shard", "0/2"]);
    wait_for("it holds its part", || {
        fs::read_to_string(bench.path("out/.reeldeck/locks/0-of-2")).is_ok_and(|text| text.contains("socket\":\"/"))
    });
    for (options, says) in [
        (&["--shard", "0/2"][..], "another run is using this output folder"),
        (&["--shard", "1/3"], "a run of part 0/2 is using this output folder"),
        (&[], "must be split in the same way"),
    ] {
        let ran = bench.run(&[&["--batch"], options].concat());
        assert!(ran.code == 11 && ran.stderr.contains(says), "{options:?}: {ran:?}");
    }
    let mut second = bench.start(&["--batch", "--shard", "1/2"]);
    wait_for("the other part runs beside it", || bench.run(&["status"]).stdout.matches("process").count() == 2);
    let either = bench.run(&["pause"]);
    assert!(either.code == 2 && either.stderr.contains("parts 0/2, 1/2; choose one with --shard"), "{either:?}");
    assert_eq!(bench.run(&["stop", "--now", "--shard", "1/2"]).code, 0);
    assert_eq!(second.wait().unwrap().code(), Some(130));
    let gone = bench.run(&["pause", "--shard", "1/2"]);
    assert!(gone.code == 2 && gone.stderr.contains("no run of part 1/2"), "{gone:?}");
    assert_eq!(bench.run(&["stop", "--now"]).code, 0, "of one alone it need not be said");
    assert_eq!(first.wait().unwrap().code(), Some(130));
}

#[test]
fn a_slurm_array_task_takes_its_shard() {
    let bench = bench("ok");
    let task = |id: &str, more: &[&str]| {
        let mut command = bench.command(&[&["--batch"], more].concat());
        command.envs([("SLURM_ARRAY_TASK_ID", id), ("SLURM_ARRAY_TASK_COUNT", "2"), ("SLURM_ARRAY_TASK_MIN", "1")]);
        Ran::to_the_end(&mut command)
    };
    let first = task("1", &[]);
    assert!(first.stderr.contains("part 0/2 of the Slurm array; --shard 0/1 takes all"), "{first:?}");
    let done = bench.files("features").len();
    assert!((1..24).contains(&done), "{done}");
    task("2", &[]);
    assert_eq!(bench.files("features").len(), 24);
    let odd = task("7", &[]);
    assert!(odd.code == 2 && odd.stderr.contains("set it with --shard"), "{odd:?}");
    let whole = task("1", &["--shard", "0/1"]);
    assert!(whole.stdout.contains("24 done (0 now, 24 before)") && !whole.stderr.contains("Slurm"), "{whole:?}");
}

#[test]
fn temporary_files_of_another_part_are_left_alone() {
    let bench = bench("ok");
    assert_eq!(bench.run(&["--batch", "--shard", "0/2"]).code % 3, 0);
    let set = fs::read_dir(bench.path("out/features")).unwrap().next().unwrap().unwrap().path();
    let left = |name: &str| {
        let path = set.join("A").join(format!(".{name}.host-1-1-0-0000000000000000.reeldeck-tmp"));
        fs::write(&path, "half").unwrap();
        path
    };
    let (own, other) = (left("0-of-2"), left("1-of-2"));
    bench.run(&["--batch", "--shard", "0/2"]);
    assert!(!own.exists() && other.exists());
    bench.run(&["--batch"]);
    assert!(!other.exists(), "who holds the whole folder sweeps it all");
}
