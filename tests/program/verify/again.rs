//! `--sample`: some videos are extracted again by a worker, here a shell script, and compared.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use reeldeck_common::feature::Feature;
use reeldeck_common::protocol::{self, FromWorker, Report, VERSION};
use reeldeck_common::video::VideoName;

use super::{VIDEOS, logits, retry};
use crate::support::made::{Ran, Set};

/// A worker that is a shell script: each line of a `case` handles a video.
fn worker(set: &Set, begin: &str, cases: &str) -> String {
    let report = Report { clips: 4, clips_computed: 4, ..Report::default() };
    let done = FromWorker::Done { job: 424242, report };
    let done = protocol::line(&done).unwrap().replace("424242", "'$job'");
    let ready = format!(r#"{{"type":"ready","version":{VERSION},"device":"sh","load_ms":0}}"#);
    let script = format!(
        r#"#!/bin/sh
read init
{begin}
echo '{ready}'
while read line; do
  job=$(echo "$line" | sed 's/.*"job":\([0-9]*\).*/\1/')
  feature=$(echo "$line" | sed 's/.*"feature":"\([^"]*\)".*/\1/')
  name=$(basename "$feature")
  mkdir -p "$(dirname "$feature")"
  cp "{anew}/$name" "$feature"
  case "$name" in
  {cases}
  esac
  echo '{}'
done
"#,
        done.trim_end(),
        anew = set.at("anew").display()
    );
    let path = set.at("worker.sh");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn with_worker(set: &Set, worker: &str, sample: &str) -> Ran {
    let mut command = set.command(&["--checkpoint", "seeded", "verify", "--sample", sample]);
    Ran::of(command.env("REELDECK_WORKER", worker))
}

/// The features that the second extraction gives.
fn anew(set: &Set, video: &str, change: impl FnOnce(&mut Feature)) {
    let mut feature = set.made(video);
    change(&mut feature);
    let name = feature.provenance.video.file().to_owned();
    feature.write(&set.at("anew").join(format!("{name}.safetensors")), &set.owner).unwrap();
}

#[test]
fn a_reextracted_sample_is_compared_and_removed() {
    let set = Set::of(&VIDEOS);
    // As a killed verification leaves it.
    let mut ended = std::process::Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let left = format!(".{host}-{0}-{0}-7-0123456789abcdef.reeldeck-tmp", ended.id());
    let left = set.layout.private().join(left);
    fs::create_dir_all(left.join("A")).unwrap();
    for video in VIDEOS {
        anew(&set, video, |feature| logits(feature).data[3] += 1e-5);
    }
    anew(&set, VIDEOS[1], |feature| feature.tensors.get_mut("pooled").unwrap().data[40] += 0.01);
    let before: Vec<Vec<u8>> =
        VIDEOS.map(|v| fs::read(set.layout.feature(&VideoName::new(v).unwrap())).unwrap()).to_vec();
    let script = worker(&set, "", "");
    with_worker(&set, &script, "9").expect(
        3,
        &[
            "compared 4 features with a new extraction: 3 within 2.0e-4",
            "A/v_mp4x.mp4: its pooled differ after a new extraction",
            "1 wrong",
        ],
    );
    assert_eq!(retry(&set), ["A/v_mp4x.mp4"]);
    assert_eq!(String::from_utf8(set.bytes("verify/again.tsv")).unwrap().lines().count(), 5);
    let after: Vec<Vec<u8>> =
        VIDEOS.map(|v| fs::read(set.layout.feature(&VideoName::new(v).unwrap())).unwrap()).to_vec();
    assert_eq!(before, after);
    let left: Vec<_> = fs::read_dir(set.layout.private()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [""; 0]);

    anew(&set, VIDEOS[1], |_| {});
    with_worker(&set, &script, "2").expect(0, &["compared 2 features with a new extraction: 2 within"]);
}

#[test]
fn verify_samples_doubtful_features_first() {
    let set = Set::of(&VIDEOS);
    for video in VIDEOS {
        anew(&set, video, |_| {});
    }
    let repeat = |feature: &mut Feature| logits(feature).data.copy_within(0..5, 5);
    set.feature(VIDEOS[2], repeat);
    let script = worker(&set, "", "");
    with_worker(&set, &script, "1").expect(3, &["wrong, again: B c/v 3.mkv: its logits differ after a new extraction"]);
    anew(&set, VIDEOS[2], repeat);
    with_worker(&set, &script, "1")
        .expect(0, &["compared 1 feature with a new extraction: 1 within", "B c/v 3.mkv: bit-identical"]);
}

#[test]
fn a_failed_worker_costs_one_video_and_an_unusable_one_ends_the_check() {
    let set = Set::of(&VIDEOS);
    for video in VIDEOS {
        anew(&set, video, |_| {});
    }
    fs::write(set.at("config.toml"), "recipe = \"./tiny.toml\"\n[worker]\nstall_timeout_s = 1\n").unwrap();
    let failed = r#"echo '{"type":"failed","job":'$job',"failure":{"kind":"corrupt","chain":["no frames"]},"source":null}'; continue"#;
    let cases = format!(
        "v_-1.mp4.*) echo about to end >&2; exit 7 ;;\n  v_mp4x.*) {failed} ;;\n  'v 3.mkv.safetensors') sleep 60 & wait ;;"
    );
    let script = worker(&set, "", &cases);
    let ran = with_worker(&set, &script, "4").expect(
        3,
        &[
            "A/v_-1.mp4: it cannot be extracted again: the worker exited with code 7: about to end",
            "A/v_mp4x.mp4: it cannot be extracted again: no frames",
            "B c/v 3.mkv: it cannot be extracted again: no message for 1 s",
            "compared 1 feature with a new extraction",
        ],
    );
    // Their features may be right, and `retry` would remove them.
    assert!(ran.err.contains("its feature may be right") && !ran.err.contains("retry --list"), "{}", ran.err);
    let script = worker(&set, "echo Segmentation fault; sleep 5", "");
    with_worker(&set, &script, "1").expect(1, &["the worker broke the protocol"]);
    let script =
        worker(&set, "echo '{\"type\":\"ready\",\"version\":99,\"device\":\"sh\",\"load_ms\":0}'; sleep 5", "");
    with_worker(&set, &script, "1").expect(1, &["version 99 of the protocol"]);
    let script = worker(
        &set,
        "echo '{\"type\":\"fatal\",\"failure\":{\"kind\":\"device\",\"chain\":[\"no such device\"]}}'; sleep 5",
        "",
    );
    with_worker(&set, &script, "1").expect(1, &["no such device"]);
    assert_eq!(fs::read_dir(set.layout.private()).unwrap().count(), 0);
    set.run(&["verify", "--sample", "1"]).expect(2, &["no weights to extract the sample with", "--checkpoint"]);
}
