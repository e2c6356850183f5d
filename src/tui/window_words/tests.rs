//! No message that reaches the window advises an option or a command that the window has a key for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::*;

/// Where the messages are that reach a window: all of its engine, and of what the settings check.
const SOURCES: [&str; 9] =
    ["engine", "dataset", "config", "fetch", "export", "discovery", "allocation", "protocol", "client"];

/// What a window cannot do, and no advice: options of the engine's own command line, and of Slurm.
const ELSEWHERE: [&str; 11] = [
    "`reeldeck doctor`",
    "`reeldeck tune`",
    "--config",
    "--dry-run",
    "--float16",
    "--limit",
    "--mem",
    "--output",
    "--time",
    "`reeldeck status`",
    "--checkpoint",
];

fn keymap() -> Keymap {
    Keymap::new(&BTreeMap::new()).unwrap()
}

/// The texts of a file of Rust, without those of its tests.
fn texts(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let code = lines.replace("\\\"", "\u{1}").replace("'\"'", "");
    let text = |text: &str| text.split("\\\n").map(str::trim_start).collect::<String>().replace('\u{1}', "\"");
    code.split('"').skip(1).step_by(2).map(text).collect()
}

#[test]
fn no_message_advises_what_the_window_has_a_key_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut left) = (0, vec![]);
    for folder in SOURCES {
        for entry in WalkDir::new(root.join(folder)) {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".rs")
                || entry.path().components().any(|part| part.as_os_str() == "tests")
                || name == "tests.rs"
            {
                continue;
            }
            for text in texts(&fs::read_to_string(entry.path()).unwrap()) {
                // An option alone is an argument, not advice.
                if !text.contains(' ') || !(text.contains("--") || text.contains("`reeldeck ")) {
                    continue;
                }
                seen += 1;
                let words = ELSEWHERE
                    .iter()
                    .fold(in_window(&keymap(), &text).into_owned(), |words, other| words.replace(other, ""));
                let is_advice = words.contains(" --") || words.contains("(--") || words.contains("`reeldeck ");
                left.extend(is_advice.then(|| format!("{}: {words}", entry.path().display())));
            }
        }
    }
    assert!(left.is_empty(), "{left:#?}");
    assert!(seen > 20, "the texts were found");
}

/// Users of the window know runs and windows. Only where several engines are counted, they are called that.
#[test]
fn no_text_of_the_window_speaks_of_the_engine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui");
    let mut seen = 0;
    for entry in WalkDir::new(root) {
        let path = entry.unwrap().into_path();
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        if !is_code
            || path.components().any(|part| part.as_os_str() == "tests")
            || path.to_string_lossy().ends_with("tests.rs")
        {
            continue;
        }
        let replaced: Vec<&str> = PHRASES.iter().map(|(from, _)| *from).collect();
        for text in texts(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            let is_about_it =
                ["the engine", "this engine", "no engine"].iter().any(|words| text.to_lowercase().contains(words));
            assert!(!is_about_it || replaced.contains(&text.as_str()), "{}: {text}", path.display());
        }
    }
    assert!(seen > 500, "{seen}: the texts were found");
}

#[test]
fn only_a_dataset_with_a_manifest_has_lists_of_missing_videos() {
    use crate::tui::tests::fixtures::{details, row};
    let next = |has_manifest| {
        let corrupt = crate::dataset::state::next_step_of_corrupt("cut off");
        let details = Details { next_step: Some(corrupt.into()), ..details(row("A/v.mp4", RowState::Failed)) };
        let mut message = FromEngine::Details { id: 1, details: Box::new(details) };
        received(&keymap(), has_manifest, &mut message);
        let FromEngine::Details { details, .. } = message else { panic!() };
        details.next_step.unwrap()
    };
    let then = ". A new file is noticed automatically; f5 scans now";
    assert_eq!(next(true), format!("download it again; m lists it with the missing videos{then}"));
    assert_eq!(next(false), format!("download it again{then}"));
}

#[test]
fn advice_names_keys_and_the_settings() {
    let says = |text: &str| in_window(&keymap(), text).into_owned();
    assert_eq!(
        says("download it again; with a manifest, `reeldeck missing` lists it with the missing videos"),
        "download it again; with a manifest, m lists it with the missing videos"
    );
    assert_eq!(says("paused; `reeldeck resume` resumes it"), "paused; s resumes");
    assert_eq!(
        says("no manifest to compare with; name one with --manifest"),
        "no manifest to compare with; name one in the settings (,)"
    );
    assert_eq!(
        says("if its path is wrong, quit and correct `root`"),
        "if its path is wrong, change it in the settings (,)"
    );
    assert_eq!(
        in_form("failed to open the manifest a.json; name an existing file with --manifest"),
        "failed to open the manifest a.json; name an existing file here"
    );
    assert!(matches!(in_window(&keymap(), "done A/v.mp4"), Cow::Borrowed(_)));
}

#[test]
fn devices_of_one_name_have_numbers() {
    let device = |name: &str| DeviceState { device: name.into(), ..crate::tui::tests::fixtures::gpus(1).remove(0) };
    let mut devices = ["cpu", "cuda:0", "cpu"].map(device);
    number_equal(&mut devices);
    assert_eq!(devices.map(|device| device.device), ["cpu 1", "cuda:0", "cpu 2"]);
}
