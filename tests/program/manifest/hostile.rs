//! Hostile manifests: huge, deeply nested, and randomly changed ones.

use std::fs;
use std::io::{BufWriter, Write};
use std::process::Command;

use proptest::prelude::*;

use super::bench::{Bench, HACS, Ran, VIDEOS, fixture};

/// The program with too little address space to hold a large file.
fn run_small(bench: &Bench, manifest: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 100000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_reeldeck")]);
    bench.finish(command.args(["--manifest", manifest, "scan"]))
}

#[test]
fn large_and_hostile_files_take_no_memory() {
    let bench = Bench::new(&VIDEOS);
    let video = "\"a\": {\"duration\": 1, \"subset\": \"training\", \"annotations\": [";
    let write = |begin: &str, repeated: &str, end: &str| {
        let mut file = BufWriter::new(fs::File::create(bench.at("big")).unwrap());
        file.write_all(begin.as_bytes()).unwrap();
        let piece = repeated.repeat((1 << 20) / repeated.len());
        (0..130).for_each(|_| file.write_all(piece.as_bytes()).unwrap());
        file.write_all(end.as_bytes()).unwrap();
    };
    for (begin, repeated, says) in [
        ("{\"database\": {\"", "x", "64 KiB"),
        ("{\"database\": {\"a\": {\"duration\": 1", "1", "64 KiB"),
        ("{\"x\": ", "[", "64 deep"),
        (&format!("{{\"database\": {{{video}"), "{\"label\":\"a\",\"segment\":[1,2]},", "4 MiB"),
        ("", "x", "4096 bytes"),
        ("", " ", "4096 bytes"),
    ] {
        write(begin, repeated, "");
        run_small(&bench, "big").expect(2, &["big", says, "line 1, column "]);
    }
    // Unknown content is skipped, even if there is much of it.
    write("{\"x\": [", "[1, \"a\"], ", &format!("1], \"database\": {{{video}]}}}}}}"));
    run_small(&bench, "big").expect(3, &["has 1 video in"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// With any change of the manifest the program exits normally; an invalid one changes no existing file.
    #[test]
    fn the_program_survives_any_manifest(cut in 0..2000usize, at in 0..2000usize, byte: u8) {
        let bench = Bench::new(&VIDEOS);
        bench.hacs(&["missing"]).expect(3, &[]);
        let before = bench.text("out/missing/missing_files.txt");
        let mut bytes = fixture(HACS);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut.min(bytes.len()) / 40);
        fs::write(bench.at("changed.json"), bytes).unwrap();
        let ran = bench.run(&["--manifest", "changed.json", "missing"]);
        match ran.code {
            Some(2) => {
                prop_assert!(ran.err.contains("line ") && ran.err.contains("column "), "{}", ran.err);
                prop_assert_eq!(bench.text("out/missing/missing_files.txt"), before);
            }
            code => prop_assert!(code == Some(3), "{:?} {}", code, ran.err),
        }
    }
}
