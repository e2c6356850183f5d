//! A fake prober that answers at once, and videos with an old time of modification.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::Bench;

/// FACTS and IS_CORRUPT are replaced. IS_CORRUPT is a shell condition; `$path` and `$size` describe the file.
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

/// Writes a prober beside the dataset. It reports a file as corrupt if its text contains `corrupt`.
pub fn put(bench: &Bench) {
    put_with(bench, "duration_s 151.0 frames 4530 size [1280,720]", r#"grep -q corrupt "$path""#);
}

/// As [`put`], with other facts (alternating names and values) and another shell condition for a corrupt file.
pub fn put_with(bench: &Bench, facts: &str, is_corrupt: &str) {
    let words: Vec<&str> = facts.split(' ').collect();
    let facts: Vec<String> = words.chunks(2).map(|pair| format!(r#"\"{}\":{}"#, pair[0], pair[1])).collect();
    let script = PROBER.replace("FACTS", &facts.join(",")).replace("IS_CORRUPT", is_corrupt);
    fs::write(bench.path("prober"), script).unwrap();
    fs::set_permissions(bench.path("prober"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Adds a "video" in one step, with an old time of modification, so that it does not count as still arriving.
pub fn settled(bench: &Bench, name: &str, script: &str, seconds: u64) {
    let (path, making) = (bench.path("data").join(name), bench.path("making"));
    fs::write(&making, script).unwrap();
    let file = fs::File::options().append(true).open(&making).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::rename(making, path).unwrap();
}
