//! Draws the screen of a program as SVG: runs the program in a pseudo-terminal and follows the given steps.
//! `scripts/screenshot` draws the pictures in the README with it.
//!
//! ```sh
//! cargo run --example screenshot -- 120x36 wait:ready key:s wait:running shot:screen.svg key:q -- program arguments …
//! ```

#![cfg_attr(test, allow(clippy::expect_used))]

mod svg;
mod terminal;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer than anything that a step waits for.
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Wait until a text is on the screen.
    Wait(String),
    /// Wait until it is not.
    Gone(String),
    /// Wait until the number after a word is at least this large.
    Count(String, u64),
    /// Wait until nothing has been written for this many milliseconds.
    Still(u64),
    /// Press a key: a character, `enter`, `esc`, `tab`, `space`, `up`, `down`, `left`, `right`, `pgdn`, `ctrl-x`.
    Key(String),
    Type(String),
    /// Draw the screen to a file.
    Shot(PathBuf),
    /// Print the screen as text.
    Print,
}

impl Step {
    fn parse(text: &str) -> Result<Self> {
        let (verb, what) = text.split_once(':').unwrap_or((text, ""));
        let what = || what.to_owned();
        Ok(match verb {
            "wait" => Self::Wait(what()),
            "gone" => Self::Gone(what()),
            "count" => {
                let (word, least) =
                    what().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
                Self::Count(word, least.parse().context("count: takes a word, a colon and a number")?)
            }
            "still" => Self::Still(what().parse().context("still: takes milliseconds")?),
            "key" => Self::Key(what()),
            "type" => Self::Type(what()),
            "shot" => Self::Shot(what().into()),
            "print" => Self::Print,
            _ => bail!("no step {text:?}: wait:, gone:, count:, still:, key:, type:, shot: or print"),
        })
    }
}

/// The first number right after a word. Commas in it are ignored.
fn number_after(text: &str, word: &str) -> Option<u64> {
    text.match_indices(word).find_map(|(at, _)| {
        let rest = text.get(at + word.len()..)?.strip_prefix(' ')?;
        let digits: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
        digits.parse().ok()
    })
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let end = arguments.iter().position(|argument| argument == "--").context("name the program after --")?;
    let (before, program) = (&arguments[..end], &arguments[end + 1..]);
    let (size, steps) = before.split_first().context("begin with the size, such as 120x36")?;
    let (columns, rows) = size.split_once('x').context("the size is columns x rows, such as 120x36")?;
    let (columns, rows) = (columns.parse()?, rows.parse()?);
    let steps = steps.iter().map(|step| Step::parse(step)).collect::<Result<Vec<_>>>()?;
    let mut terminal = terminal::Terminal::start(program, columns, rows)?;
    for step in steps {
        let done = match &step {
            Step::Wait(text) => terminal.wait(TIMEOUT, |screen| screen.contents().contains(text.as_str())),
            Step::Gone(text) => terminal.wait(TIMEOUT, |screen| !screen.contents().contains(text.as_str())),
            Step::Count(word, least) => {
                terminal.wait(TIMEOUT, |screen| number_after(&screen.contents(), word).is_some_and(|n| n >= *least))
            }
            Step::Still(ms) => terminal.settle(TIMEOUT, Duration::from_millis(*ms)),
            Step::Key(name) => terminal::bytes_of(name).and_then(|bytes| terminal.write(&bytes)),
            Step::Type(text) => terminal.write(text.as_bytes()),
            Step::Shot(path) => terminal.look(|screen| {
                let picture = svg::draw(screen);
                std::fs::write(path, picture).with_context(|| format!("failed to write {}", path.display()))
            }),
            Step::Print => terminal.look(|screen| {
                println!("{}", screen.contents());
                Ok(())
            }),
        };
        if let Err(error) = done {
            eprintln!("error: {step:?}: {error:#}; the screen was:\n{}", terminal.text());
            std::process::exit(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_parsed_and_unknown_ones_rejected() {
        assert_eq!(Step::parse("wait:a:b").ok(), Some(Step::Wait("a:b".into())));
        assert_eq!(Step::parse("print").ok(), Some(Step::Print));
        assert_eq!(Step::parse("count:done:12").ok(), Some(Step::Count("done".into(), 12)));
        assert_eq!(number_after("undone x done 18,204  failed 1", "done"), Some(18_204));
        assert_eq!(number_after("done", "done"), None);
        assert!(Step::parse("weit:a").is_err() && Step::parse("still:x").is_err());
    }

    #[test]
    fn a_program_is_run_and_drawn() {
        let program = ["sh", "-c", "printf '\\033[31mred\\033[0m ready'; read line; echo got-$line; read line"];
        let mut terminal = terminal::Terminal::start(&program.map(String::from), 40, 5).expect("it starts");
        let sees = |text: &'static str| move |screen: &vt100::Screen| screen.contents().contains(text);
        terminal.wait(TIMEOUT, sees("ready")).expect("it says so");
        terminal.write(b"x\r").expect("it listens");
        terminal.wait(TIMEOUT, sees("got-x")).expect("it answers");
        let picture = terminal.look(|screen| Ok(svg::draw(screen))).expect("it is drawn");
        assert!(picture.contains(">red</text>") && picture.contains("got-x"), "{picture}");
        // Waiting for a program that has ended fails at once.
        terminal.write(b"\r").expect("it listens");
        let error = terminal.wait(TIMEOUT, sees("never")).expect_err("it has ended").to_string();
        assert!(error.contains("ended"), "{error}");
    }
}
