//! A dataset folder and a fake prober that follows the names of the files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reeldeck::internals::dataset::Cache;
use reeldeck::internals::dataset::{Ended, Outcome, ProbeError, Request, Setup, probe};
use reeldeck::internals::dataset::{FolderLayout, Scan, ScanRules, scan};
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Level, Verdict};
use tempfile::TempDir;

/// A prober that follows the names of the files, and records each file that it gets.
const FAKE: &str = r#"#!/bin/bash
facts='{"duration_s":1.0,"frames":30,"fps":[30,1],"size":[64,48],"codec":"h264","container":"mp4"}'
here=${0%/*}
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  path=${line#*\"path\":\"}; path=${path%%\"*}
  level=${line#*\"level\":\"}; level=${level%%\"*}
  answer() { echo "{\"id\":$id,\"cpu_us\":1,\"found\":$1}"; }
  if [ "$path" = / ]; then answer '{"Err":"a folder"}'; continue; fi
  echo "$path" >> "$here/orders"
  case "$path" in
    *v_crash*) echo 'assertion failed' >&2; kill -SEGV $$ ;;
    *v_killed*) kill -KILL $$ ;;
    *v_once*) [ -e "$here/crashed" ] || { touch "$here/crashed"; kill -KILL $$; } ;;
    *v_exit*) exit 7 ;;
    *v_garbage*) echo 'what?' ;;
    *v_other*) answer '{"Err":"none"}' | sed 's/"id":[0-9]*/"id":999/' ;;
    *v_spin*) while :; do :; done ;;
    *v_sleep*) exec sleep 1000 ;;
    *v_gone*) answer '{"Err":"failed to read the file"}'; continue ;;
    *v_long*) for _ in 1 2 3 4 5 6 7; do sleep 1; echo "{\"alive\":$id}"; done ;;
    *v_slow*) sleep 0.1 ;;
    *v_hold*) while [ ! -e "$here/release" ]; do sleep 0.05; done ;;
    *v_grow*) echo more >> "$path" ;;
  esac
  stamp=$(stat -L -c '%s %.9Y' "$path"); size=${stamp% *}; time=${stamp#* }
  verdict="{\"is\":\"healthy\",\"facts\":$facts}"
  case "$path" in
    *v_broken*) verdict="{\"is\":\"damaged\",\"facts\":$facts,\"lost\":2,\"concealed\":1,\"reason\":\"2 of 30 frames are missing\"}" ;;
    *v_large*) verdict='{"is":"over-limit","reason":"too large"}' ;;
  esac
  answer "{\"Ok\":{\"level\":\"$level\",\"source\":{\"size\":$size,\"mtime_ns\":${time/./}},\"verdict\":$verdict}}"
done
"#;

/// A dataset folder and a fake prober.
pub struct Bench(pub TempDir);

impl Bench {
    pub fn new(videos: &[&str]) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.program(FAKE);
        for video in videos {
            bench.video(video, b"not really a video");
        }
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes the prober by another process: a child of another test may inherit the file while this process writes it, and
    /// then the file cannot be executed.
    pub fn program(&self, script: &str) {
        fs::write(self.path("script"), script).unwrap();
        fs::set_permissions(self.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Command::new("cp").arg(self.path("script")).arg(self.path("fake")).status().unwrap().success());
    }

    /// Adds or replaces a video that was last modified an hour ago.
    pub fn video(&self, name: &str, bytes: &[u8]) {
        let path = self.path("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }

    pub fn scan(&self) -> Scan {
        let rules = ScanRules { extensions: vec!["mp4".into(), "mkv".into()], layout: FolderLayout::Auto };
        scan(&self.path("data"), &rules).unwrap()
    }

    pub fn setup(&self, processes: usize) -> Setup {
        Setup { processes, ..Setup::new(self.path("fake"), &Limits::default()) }
    }

    pub fn cache(&self, scan: &Scan) -> Cache {
        Cache::open(&self.path("probe-cache"), &scan.videos, true).unwrap()
    }

    /// Probes all videos and returns the result of each.
    pub fn probe(&self, setup: &Setup, level: Level) -> Result<BTreeMap<String, Outcome>, ProbeError> {
        let scan = self.scan();
        let mut found = BTreeMap::new();
        let limits = Limits::default();
        let request = Request { root: &self.path("data"), videos: &scan.videos, level, limits: &limits };
        let mut each = |index: usize, finding| {
            let before = found.insert(scan.videos[index].name.as_str().to_owned(), finding);
            assert!(before.is_none(), "told twice");
        };
        let ended = probe(request, setup, &mut self.cache(&scan), &AtomicBool::new(false), &mut each)?;
        assert_eq!((ended, found.len()), (Ended::Complete, scan.videos.len()));
        Ok(found)
    }

    /// The files that the prober got since the last call, sorted.
    pub fn orders(&self) -> Vec<String> {
        let orders = fs::read_to_string(self.path("orders")).unwrap_or_default();
        fs::write(self.path("orders"), "").unwrap();
        let mut names: Vec<_> = orders.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
        command.current_dir(self.0.path()).env("REELDECK_PROBE", self.path("fake")).arg("scan").args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

pub fn is_healthy(finding: &Outcome) -> bool {
    matches!(finding, Outcome::Probed { probed, .. } if matches!(probed.verdict, Verdict::Healthy { .. }))
}

/// The reason of a corrupt video.
pub fn corrupt(finding: &Outcome) -> &str {
    match finding {
        Outcome::Probed { probed, .. } => match &probed.verdict {
            Verdict::Corrupt { reason } => reason,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
