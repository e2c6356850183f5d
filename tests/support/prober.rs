//! A prober that answers at once, and videos that have lain there for long.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use super::Bench;

/// A file with `corrupt` in its text is that, any other is healthy.
const PROBER: &str = r#"#!/bin/bash
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}
  path=${line#*\"path\":\"}; path=${path%%\"*}
  level=${line#*\"level\":\"}; level=${level%%\"*}
  if [ "$path" = / ]; then echo "{\"id\":$id,\"cpu_us\":1,\"found\":{\"Err\":\"a folder\"}}"; continue; fi
  stamp=$(stat -L -c '%s %.9Y' "$path"); size=${stamp% *}; time=${stamp#* }
  facts="{\"duration_s\":151.0,\"frames\":4530,\"fps\":[30,1],\"size\":[1280,720],\"codec\":\"h264\",\"container\":\"mp4\"}"
  verdict="{\"is\":\"healthy\",\"facts\":$facts}"
  if grep -q corrupt "$path"; then verdict='{"is":"corrupt","reason":"moov atom missing"}'; fi
  echo "{\"id\":$id,\"cpu_us\":1,\"found\":{\"Ok\":{\"level\":\"$level\",\"source\":{\"size\":$size,\"mtime_ns\":${time/./}},\"verdict\":$verdict}}}"
done
"#;

/// Puts the prober beside the dataset.
pub fn put(bench: &Bench) {
    fs::write(bench.path("prober"), PROBER).unwrap();
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
