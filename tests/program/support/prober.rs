//! A prober that answers at once, and videos that have lain there for long.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::Bench;

/// What it finds out about `$path`, of `$size` bytes, is put in for the words in capitals.
const PROBER: &str = r#"#!/bin/bash
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  path=${line#*\"path\":\"}; path=${path%%\"*}
  level=${line#*\"level\":\"}; level=${level%%\"*}
  if [ "$path" = / ]; then echo "{\"id\":$id,\"cpu_us\":1,\"found\":{\"Err\":\"a folder\"}}"; continue; fi
  stamp=$(stat -L -c '%s %.9Y' "$path"); size=${stamp% *}; time=${stamp#* }
  facts="{FACTS,\"fps\":[30,1],\"codec\":\"h264\",\"container\":\"mp4\"}"
  verdict="{\"is\":\"healthy\",\"facts\":$facts}"
  if IS_CORRUPT; then verdict='{"is":"corrupt","reason":"moov atom missing"}'; fi
  echo "{\"id\":$id,\"cpu_us\":1,\"found\":{\"Ok\":{\"level\":\"$level\",\"source\":{\"size\":$size,\"mtime_ns\":${time/./}},\"verdict\":$verdict}}}"
done
"#;

/// Puts a prober beside the dataset: a file with `corrupt` in its text is that, any other is healthy.
pub fn put(bench: &Bench) {
    put_with(bench, "duration_s 151.0 frames 4530 size [1280,720]", r#"grep -q corrupt "$path""#);
}

/// The same with facts of its own, names and values in turn, and a condition of the shell for a corrupt file.
pub fn put_with(bench: &Bench, facts: &str, is_corrupt: &str) {
    let words: Vec<&str> = facts.split(' ').collect();
    let facts: Vec<String> = words.chunks(2).map(|pair| format!(r#"\"{}\":{}"#, pair[0], pair[1])).collect();
    let script = PROBER.replace("FACTS", &facts.join(",")).replace("IS_CORRUPT", is_corrupt);
    fs::write(bench.path("prober"), script).unwrap();
    fs::set_permissions(bench.path("prober"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A "video" that nobody takes for one that is still arriving; there at once.
pub fn settled(bench: &Bench, name: &str, script: &str, seconds: u64) {
    let (path, making) = (bench.path("data").join(name), bench.path("making"));
    fs::write(&making, script).unwrap();
    let file = fs::File::options().append(true).open(&making).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::rename(making, path).unwrap();
}
