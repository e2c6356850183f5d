//! A dataset with a configuration, and reeldeck in a terminal on it.

use std::fs;
use std::process::Command;

use super::screen::Screen;
use crate::support::prober::{put, settled};
use crate::support::{Bench, wait_for};

pub const CONFIG: &str = "recipe = \"./tiny.toml\"\ncheckpoint = \"seeded\"\n[engine]\nlinger_s = 1\norder = \"list\"\n\
                      [watch]\nsettle_s = 0\npoll_s = 1\nmode = \"polling\"\n";

/// A dataset of scripted videos. Without a configuration if `config` is empty.
pub fn bench(videos: &[(&str, &str)], config: &str) -> Bench {
    let bench = Bench::new(&[]);
    for (name, script) in videos {
        settled(&bench, name, script, 0);
    }
    if config.is_empty() {
        fs::remove_file(bench.path("config.toml")).unwrap();
    } else {
        fs::write(bench.path("config.toml"), config).unwrap();
    }
    put(&bench);
    bench
}

/// reeldeck without a subcommand.
pub fn command(bench: &Bench, arguments: &[&str]) -> Command {
    let like = bench.command(&[]);
    let mut command = Command::new(like.get_program());
    command.current_dir(bench.dir.path()).args(arguments).env("REELDECK_PROBE", bench.path("prober"));
    for (key, value) in like.get_envs().filter_map(|(key, value)| Some((key, value?))) {
        command.env(key, value);
    }
    command
}

/// Runs it in a pseudo-terminal.
pub fn open(bench: &Bench, arguments: &[&str], columns: u16, rows: u16) -> Screen {
    Screen::open(&command(bench, arguments), columns, rows)
}

/// The number of engines that hold the output folder.
pub fn engines(bench: &Bench) -> usize {
    reeldeck::internals::client::runs(&bench.path("out")).unwrap().len()
}

/// Waits until the engine has ended, which it does without clients.
pub fn gone(bench: &Bench) {
    wait_for("the engine exits", || engines(bench) == 0);
}

/// Stops the run.
pub fn end(bench: &Bench) {
    let _ = command(bench, &["stop", "--now", "-q"]).output().unwrap();
    gone(bench);
}

pub const ESC: &str = "\x1b";
pub const ENTER: &str = "\r";
pub const DOWN: &str = "\x1b[B";

/// Videos that each take `ms` milliseconds.
pub fn slow(count: usize, ms: usize) -> Vec<(String, String)> {
    (0..count).map(|i| (format!("A/v_{i:03}.mp4"), format!("slow {ms}"))).collect()
}

pub fn borrowed(videos: &[(String, String)]) -> Vec<(&str, &str)> {
    videos.iter().map(|(name, script)| (name.as_str(), script.as_str())).collect()
}
