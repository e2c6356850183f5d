//! The configuration: the example file equals the defaults, errors name their cause, and options override the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use reeldeck::internals::config::{Config, Device, DeviceList, NvdecUse, Overrides, Settings, Verbosity};
use reeldeck::internals::dataset::LabelStyle;
use reeldeck::internals::error::ExitError;
use reeldeck_common::protocol::CheckpointSource;
use reeldeck_common::strict::from_toml;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn resolve(text: &str, typed: Overrides) -> Result<Settings, ExitError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), text).unwrap();
    Settings::resolve(&typed, dir.path())
}

#[test]
fn the_example_equals_the_defaults_and_explains_every_key() {
    let text = fs::read_to_string(here("config.example.toml")).unwrap();
    let example: Config = from_toml("config.example.toml", &text).unwrap();
    assert_eq!(example, Config::default());
    let written: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(written, toml::Table::try_from(Config::default()).unwrap());
    let mut before = "";
    for line in text.lines() {
        if !line.starts_with('#') && line.contains(" = ") {
            assert!(before.starts_with('#'), "not explained: {line}");
        }
        before = line;
    }
}

#[test]
fn without_a_file_the_defaults_hold() {
    let dir = tempfile::tempdir().unwrap();
    // Another program's variable for its configuration has no effect here.
    fs::write(dir.path().join("reeldeck.toml"), "nonsense").unwrap();
    let settings = Settings::resolve(&Overrides::default(), dir.path()).unwrap();
    assert_eq!(settings.config_file, None);
    assert_eq!((settings.root, settings.out), (dir.path().join("data"), dir.path().join("out")));
    assert_eq!(settings.recipe.name, "slowonly-r50-8x8-k700");
    assert_eq!((settings.checkpoint, settings.devices), (None, DeviceList::These(vec![Device::Cpu])));
    assert_eq!((settings.limit, settings.verbosity), (None, Verbosity::Normal));
    assert_eq!((settings.manifest, settings.prefix.as_str(), settings.tolerance_s), (None, "v_", 2.0));
    assert_eq!((settings.scan.extensions.len(), settings.plain_interval), (18, Duration::from_secs(15)));
}

#[test]
fn an_unreadable_file_is_not_taken_for_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = |typed: &Overrides| {
        let error = anyhow::Error::from(Settings::resolve(typed, dir.path()).unwrap_err());
        format!("{error:#}")
    };
    std::os::unix::fs::symlink("nowhere.toml", dir.path().join("config.toml")).unwrap();
    let text = error(&Overrides::default());
    assert!(text.contains("config.toml") && text.contains("a link to something that does not exist"), "{text}");
    let endless = Overrides { config: Some("/dev/zero".into()), ..Overrides::default() };
    assert!(error(&endless).contains("not a regular file"), "{}", error(&endless));
}

#[test]
fn an_unexpanded_tilde_creates_no_folder_of_that_name() {
    let dir = tempfile::tempdir().unwrap();
    let typed = Overrides { out: Some("~/features".into()), ..Overrides::default() };
    let error = Settings::resolve(&typed, dir.path()).unwrap_err().to_string();
    assert!(error.contains("write --out ~/features"), "{error}");
    // A leading `./` makes it a folder named `~`.
    let meant = Overrides { out: Some("./~/features".into()), ..Overrides::default() };
    assert_eq!(Settings::resolve(&meant, dir.path()).unwrap().out, dir.path().join("~/features"));
    assert!(resolve("root = \"data~\"\nout = \"~you\"", Overrides::default()).is_ok());
}

#[test]
fn nvdec_and_graphs_are_off_unless_configured() {
    let dir = tempfile::tempdir().unwrap();
    let cuda = |text: &str| {
        fs::write(dir.path().join("config.toml"), text).unwrap();
        let settings = Settings::resolve(&Overrides::default(), dir.path()).map_err(|error| error.to_string())?;
        Ok((settings.nvdec, settings.nvdec_streams, settings.graphs))
    };
    assert_eq!(cuda("devices = \"all\""), Ok((NvdecUse::Off, 0, false)));
    assert_eq!(cuda("[cuda]\nnvdec = \"share\"\nnvdec_streams = 12"), Ok((NvdecUse::Share, 12, false)));
    assert_eq!(cuda("[cuda]\ngraphs = true"), Ok((NvdecUse::Off, 0, true)));
    for wrong in ["nvdec = true", "nvdec = \"only\"", "nvdec_streams = 1000"] {
        let error: Result<_, String> = cuda(&format!("[cuda]\n{wrong}"));
        assert!(error.is_err(), "{wrong}");
    }
}

#[test]
fn paths_that_workers_cannot_be_told_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let path = || Some(std::ffi::OsStr::from_bytes(b"d\xe9").into());
    for (option, typed) in [
        ("--root", Overrides { root: path(), ..Overrides::default() }),
        ("--out", Overrides { out: path(), ..Overrides::default() }),
        ("--checkpoint", Overrides { checkpoint: path(), ..Overrides::default() }),
    ] {
        let error = Settings::resolve(&typed, dir.path()).unwrap().check_paths().unwrap_err().to_string();
        assert!(error.starts_with(option) && error.contains("is not UTF-8 text"), "{error}");
    }
}

#[test]
fn a_configuration_that_was_only_found_names_libraries_by_absolute_paths() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, "[cuda]\ntorch = \"torch\"\n").unwrap();
    let error = Settings::resolve(&Overrides::default(), dir.path()).unwrap_err().to_string();
    assert!(error.contains("[cuda] torch") && error.contains("--config"), "{error}");
    let typed = Overrides { config: Some("config.toml".into()), ..Overrides::default() };
    assert_eq!(Settings::resolve(&typed, dir.path()).unwrap().torch, dir.path().join("torch"));
    fs::write(&path, "[cuda]\ntorch = \"/opt/torch\"\n").unwrap();
    assert_eq!(Settings::resolve(&Overrides::default(), dir.path()).unwrap().torch, std::path::Path::new("/opt/torch"));
}

#[test]
fn relative_paths_are_relative_to_the_configuration_file() {
    let dir = tempfile::tempdir().unwrap();
    let (there, current) = (dir.path().join("there"), dir.path().join("current"));
    fs::create_dir_all(&there).unwrap();
    fs::create_dir_all(&current).unwrap();
    let recipe = fs::read_to_string(here("assets/recipes/slowonly-r50-8x8-k700.toml")).unwrap();
    fs::write(there.join("mine"), recipe.replace("slowonly-r50-8x8-k700", "there")).unwrap();
    fs::write(current.join("mine.toml"), recipe.replace("slowonly-r50-8x8-k700", "current")).unwrap();
    let text = "root = \"./d\"\nout = \"../o\"\nrecipe = \"mine\"\ncheckpoint = \"w.pth\"\ndevices = \"cuda:1\"\n\
                [manifest]\npath = \"m.json\"\n";
    fs::write(there.join("c.toml"), text).unwrap();

    let typed = Overrides { config: Some("../there/c.toml".into()), ..Overrides::default() };
    let settings = Settings::resolve(&typed, &current).unwrap();
    let folder = current.join("../there");
    assert_eq!((&settings.root, &settings.out), (&folder.join("d"), &folder.join("../o")));
    assert_eq!(settings.checkpoint, Some(CheckpointSource::File(folder.join("w.pth"))));
    assert_eq!(settings.manifest, Some(folder.join("m.json")));
    assert_eq!(
        (settings.recipe.name.as_str(), &settings.devices),
        ("there", &DeviceList::These(vec![Device::Cuda(1)]))
    );

    let typed = Overrides {
        root: Some("d".into()),
        out: Some("/o".into()),
        recipe: Some("mine.toml".into()),
        checkpoint: Some("./seeded".into()),
        manifest: Some("n.txt".into()),
        devices: Some("all".into()),
        ..typed
    };
    let settings = Settings::resolve(&typed, &current).unwrap();
    assert_eq!((&settings.root, &settings.out), (&current.join("d"), &PathBuf::from("/o")));
    assert_eq!(settings.checkpoint, Some(CheckpointSource::File(current.join("seeded"))));
    assert_eq!(settings.manifest, Some(current.join("n.txt")));
    // An empty name on the command line removes the configured one.
    let none = Settings::resolve(&Overrides { manifest: Some("".into()), ..typed }, &current).unwrap();
    assert_eq!(none.manifest, None);
    assert_eq!((settings.recipe.name.as_str(), &settings.devices), ("current", &DeviceList::All));
}

#[test]
fn options_override_the_configuration_file() {
    let text = "checkpoint = \"seeded\"\n[scan]\nextensions = [\"MP4\"]\n[list]\nlabel_style = \"index\"\n[worker]\nbatch = 4\n\
                [limits]\nmegapixels = 9\n[batch]\nplain_interval_s = 1\n";
    let settings = resolve(text, Overrides { verbose: true, limit: Some(3), ..Overrides::default() }).unwrap();
    assert_eq!(settings.checkpoint, Some(CheckpointSource::Seeded));
    assert_eq!((settings.scan.extensions, settings.label_style), (vec!["mp4".to_owned()], LabelStyle::Index));
    assert_eq!((settings.worker.batch, settings.worker.threads, settings.limits.megapixels), (4, 0, 9.0));
    assert_eq!((settings.plain_interval, settings.limits.frames), (Duration::from_secs(1), 2_000_000));
    assert_eq!((settings.verbosity, settings.limit), (Verbosity::Verbose, Some(3)));
    let typed = Overrides { checkpoint: Some("/w.pth".into()), quiet: true, ..Overrides::default() };
    let settings = resolve(text, typed).unwrap();
    assert_eq!(settings.checkpoint, Some(CheckpointSource::File("/w.pth".into())));
    assert_eq!(settings.verbosity, Verbosity::Quiet);
}

/// The first line of each file is a part of the expected error.
#[test]
fn invalid_files_say_what_is_wrong() {
    let mut seen = 0;
    for entry in fs::read_dir(here("tests/invalid_configs")).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let expected =
            text.lines().next().and_then(|line| line.strip_prefix("# expect: ")).expect("an `# expect: ` line");
        let output =
            Command::new(env!("CARGO_BIN_EXE_reeldeck")).arg("--config").arg(&path).arg("list").output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{}: {error}", path.display());
        assert!(error.starts_with("error: ") && error.contains(expected), "{}: {error}", path.display());
        // Errors about folders name the folder; all others name the file.
        let names = error.contains(path.file_name().unwrap().to_str().unwrap()) || error.contains(" folder ");
        assert!(names && output.stdout.is_empty(), "{}: {error}", path.display());
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} files");
}

#[test]
fn a_command_lists_the_actions_that_keys_can_have() {
    let output = Command::new(env!("CARGO_BIN_EXE_reeldeck")).arg("keys").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("\n  retry-all "), "{text}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z_ =\"\\[\\]\\n0-9.*:,-]{0,80}") {
        let _ = from_toml::<Config>("fuzz", &text);
        let _ = text.parse::<DeviceList>();
    }

    #[test]
    fn a_list_of_devices_is_read_as_it_is_shown(indices in proptest::collection::btree_set(0u32..128, 1..8)) {
        let devices: Vec<_> = indices.into_iter().map(Device::Cuda).collect();
        let text: Vec<_> = devices.iter().map(ToString::to_string).collect();
        prop_assert_eq!(text.join(",").parse(), Ok(DeviceList::These(devices)));
    }
}
