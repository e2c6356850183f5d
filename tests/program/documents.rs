//! The commands in the documents: the program accepts each of them, and the test runs those that it can.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Bench, Ran, programs};
use reeldeck::internals::cli::Cli;
use reeldeck_common::recipe::Recipe;

/// Commands that a test cannot run, with the reason. They are parsed as well.
const NOT_RUN: &[(&str, &str)] = &[
    ("--checkpoint published", "needs the network; tests/fetch does the same with a server of its own"),
    ("fetch", "needs the network; tests/fetch does the same with a server of its own"),
    ("demo", "computes for a minute; `make demo` runs it"),
    ("seeded-checkpoint", "tests/real.rs runs it"),
    ("--checkpoint seeded.pth", "tests/real.rs runs it with such a file"),
    ("--watch", "stays until it is stopped; tests/watch.rs runs it"),
    ("tune", "computes for a minute; its arithmetic is tested in src/tune"),
    ("--detach", "tests/life.rs and tests/clients run it"),
    ("attach", "tests/clients runs it"),
    ("status", "tests/clients runs it"),
    ("stop", "tests/clients runs it"),
    ("pause", "tests/clients runs it"),
    ("resume", "tests/clients runs it"),
    ("retry", "tests/clients runs it"),
    ("slurm", "tests/program/slurm runs it"),
    ("--devices all", "this machine may have GPUs and no CUDA"),
    ("--config demo/config.toml", "opens the terminal interface; tests/program/tui does"),
];

/// Programs that are not reeldeck's.
const OTHERS: &[&str] = &["tar", "cd", "wget", "loginctl", "yt-dlp", "find", "#!/bin/bash", "#SBATCH"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn documents() -> Vec<(String, String)> {
    let mut names: Vec<String> = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    names.extend(fs::read_dir(here("docs")).unwrap().map(|e| format!("docs/{}", e.unwrap().file_name().display())));
    names.retain(|name| name.ends_with(".md"));
    names.sort();
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(here(&name)).unwrap())).collect()
}

/// The code blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let mut blocks = vec![];
    let mut parts = text.split("\n```");
    parts.next();
    while let Some(block) = parts.next() {
        if let Some((word, body)) = block.split_once('\n')
            && word == language
        {
            blocks.push(body);
        }
        parts.next();
    }
    blocks
}

/// One command of a document, split into words.
#[derive(Debug)]
struct Typed {
    document: String,
    words: Vec<String>,
}

/// Splits a line as a shell does, with the syntax that the documents use: quotes, comments, `;`, `&&`, `>`.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![]];
    let mut quoted = false;
    let mut word: Option<String> = None;
    let push = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
        if let Some(word) = word.take() {
            commands.last_mut().unwrap().push(word);
        }
    };
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            _ if quoted => word.get_or_insert_default().push(c),
            '#' if word.is_none() && !line.starts_with('#') => break,
            '>' if word.is_none() => break,
            ';' => {
                push(&mut word, &mut commands);
                commands.push(vec![]);
            }
            '&' if rest.peek() == Some(&'&') => {
                rest.next();
                commands.push(vec![]);
            }
            c if c.is_whitespace() => push(&mut word, &mut commands),
            c => word.get_or_insert_default().push(c),
        }
    }
    push(&mut word, &mut commands);
    commands.retain(|words| !words.is_empty());
    commands
}

fn commands() -> Vec<Typed> {
    let mut all = vec![];
    for (document, text) in documents() {
        for block in blocks(&text, "sh") {
            for line in block.lines() {
                for mut words in split(line) {
                    // `…` stands for further options.
                    words.retain(|word| word != "…");
                    let starters = ["exec", "systemd-run", "--user", "--scope"];
                    while words.first().is_some_and(|word| starters.contains(&word.as_str())) {
                        words.remove(0);
                    }
                    all.push(Typed { document: document.clone(), words });
                }
            }
        }
    }
    all
}

impl Typed {
    fn is_reeldeck(&self) -> bool {
        matches!(self.words[0].as_str(), "reeldeck" | "./reeldeck" | "target/release/reeldeck")
    }

    fn line(&self) -> String {
        self.words.join(" ")
    }
}

#[test]
fn commands_are_complete_and_unique() {
    let makefile = fs::read_to_string(here("Makefile")).unwrap();
    let all = commands();
    assert!(all.len() > 30, "the documents have commands: {}", all.len());
    for typed in &all {
        let (first, line) = (typed.words[0].as_str(), typed.line());
        if typed.is_reeldeck() {
            if let Err(error) = Cli::read(&typed.words) {
                panic!("{}: {line}: {error}", typed.document);
            }
        } else if first == "make" {
            assert!(makefile.contains(&format!("\n{}:", typed.words[1])), "{}: {line}", typed.document);
        } else if let Some(script) = typed.words.iter().find(|word| word.starts_with("scripts/")) {
            assert!(here(script).is_file(), "{}: {line}", typed.document);
        } else {
            assert!(OTHERS.contains(&first), "{}: neither run nor known: {line}", typed.document);
        }
    }
}

#[test]
fn commands_in_the_documents_work() {
    let mut run = BTreeSet::new();
    for (document, text) in documents() {
        let typed: Vec<Typed> =
            commands().into_iter().filter(|typed| typed.document == document && typed.is_reeldeck()).collect();
        let wanted = |typed: &&Typed| {
            let line = format!("{} ", typed.line());
            !NOT_RUN.iter().any(|(part, _)| line.contains(&format!(" {part} ")))
        };
        let typed: Vec<&Typed> = typed.iter().filter(wanted).collect();
        if typed.is_empty() {
            continue;
        }
        let scene = scene(&text);
        for typed in typed {
            let home = scene.dir.path();
            let arguments: Vec<String> =
                typed.words[1..].iter().map(|word| word.replacen("~/", &format!("{}/", home.display()), 1)).collect();
            if arguments.first().is_some_and(|word| word == "init") {
                fs::remove_file(scene.path("config.toml")).unwrap();
            }
            let ran = Ran::to_the_end(&mut program(&scene, &arguments));
            // 3: the dataset of this test contains invalid videos.
            assert!(matches!(ran.code, 0 | 3), "{document}: {}: {ran:?}", typed.line());
            if arguments.first().is_some_and(|word| word == "init") {
                configure(&scene);
            }
            run.insert(arguments[0].clone());
        }
    }
    for command in
        ["--batch", "annotations", "completions", "doctor", "export", "extract", "init", "man", "missing", "scan"]
    {
        assert!(run.contains(command), "{command} is in no document: {run:?}");
    }
}

/// The dataset of the documents after one run, with copies of its export.
fn scene(document: &str) -> Bench {
    let scene = Bench::new(&[]);
    fs::remove_dir(scene.path("data")).unwrap();
    for name in ["Archery/v_1.mp4", "Archery/v_2.mp4", "Dodgeball/v_3.mp4"] {
        let path = scene.path("data/hacs").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "ok").unwrap();
    }
    let manifest = r#"{"database": {
        "1": {"duration": 9.0, "subset": "training", "annotations": [{"label": "Archery", "segment": [1.0, 2.0]}]},
        "9": {"duration": 9.0, "subset": "validation", "annotations": [{"label": "Dodgeball", "segment": [1.0, 2.0]}]}}}"#;
    fs::write(scene.path("HACS_segments_v1.1.1.json"), manifest).unwrap();
    if let Some(recipe) = blocks(document, "toml").first().filter(|text| text.starts_with("name = ")) {
        fs::write(scene.path("mine.toml"), recipe).unwrap();
        Recipe::parse("mine.toml", recipe).unwrap();
    }
    configure(&scene);
    let first = Ran::to_the_end(&mut program(&scene, &["--batch".into()]));
    assert_eq!(first.code, 0, "{first:?}");
    fs::copy(scene.export("result.pkl"), scene.path("features.pkl")).unwrap();
    fs::copy(scene.export("hacs_data.txt"), scene.path("hacs_data.txt")).unwrap();
    scene
}

fn configure(scene: &Bench) {
    let text = "root = \"data/hacs\"\nrecipe = \"tiny.toml\"\ncheckpoint = \"seeded\"\n";
    fs::write(scene.path("config.toml"), text).unwrap();
}

fn program(scene: &Bench, arguments: &[String]) -> Command {
    // With the fake worker, and without the user's own settings.
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeldeck"));
    command
        .current_dir(scene.dir.path())
        .env("REELDECK_WORKER", crate::support::fake_worker())
        .env("REELDECK_PROBE", programs().join("reeldeck-probe"))
        .env("HOME", scene.dir.path())
        .env_remove("XDG_CACHE_HOME")
        .args(arguments)
        .stdin(Stdio::null());
    command
}
