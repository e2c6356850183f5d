//! `reeldeck-probe check`: checks whether files are healthy. reeldeck sends orders as JSON lines; people name files.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reeldeck_common::error::Failure;
use reeldeck_common::limits::Limits;
use reeldeck_common::probe::{Alive, Answer, Level, Line, Order, Probed, Verdict};
use reeldeck_common::protocol::{self, MAX_LINE};
use reeldeck_common::video::printable;
use reeldeck_process::{LineReader, confine};
use reeldeck_video::VideoError;
use reeldeck_video::check::check;
use rustix::time::{ClockId, clock_gettime};

/// Time between two heartbeats.
const PULSE: Duration = Duration::from_secs(1);

/// Exit code if a file is not healthy.
const UNHEALTHY: u8 = 3;

/// Reads orders from standard input and answers them one by one until the input ends.
///
/// # Errors
/// If an order is invalid, or standard output is closed.
pub(crate) fn serve(memory_mib: Option<u64>) -> Result<()> {
    ensure!(!io::stdin().is_terminal(), "name the files to check, or send orders as JSON lines on standard input");
    let tied = "failed to tie this process to the one that started it";
    confine::die_with_parent().context(tied)?;
    if let Some(mib) = memory_mib {
        confine::limit_address_space(mib.saturating_mul(1 << 20)).context("failed to limit memory")?;
    }
    reeldeck_video::init();
    let (mut input, mut output) = (LineReader::new(io::stdin().lock(), MAX_LINE), io::stdout().lock());
    while let Some(order) = next(&mut input)? {
        let before = cpu();
        let mut pulse = HeartbeatTimer { last: Instant::now() };
        let mut alive = || {
            if pulse.is_due(Instant::now()) {
                say(&mut output, &Line::Alive(Alive { alive: order.id })).map_err(|_| VideoError::Stopped)?;
            }
            Ok(())
        };
        let found = check(&order.path, order.level, &order.limits, &mut alive).map_err(|error| told(&error));
        let cpu_us = cpu().saturating_sub(before).as_micros() as u64;
        say(&mut output, &Line::Answer(Answer { id: order.id, cpu_us, found }))?;
    }
    Ok(())
}

/// Checks files and prints one line per file.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn print(files: &[PathBuf], level: Level) -> Result<ExitCode> {
    let mut all_healthy = true;
    let mut output = io::stdout().lock();
    for file in files {
        let found = check(file, level, &Limits::default(), &mut || Ok(()));
        all_healthy &= matches!(found, Ok(Probed { verdict: Verdict::Healthy { .. }, .. }));
        writeln!(output, "{}", line(file, found)).context("failed to print")?;
    }
    Ok(if all_healthy { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) })
}

fn line(file: &Path, found: Result<Probed, VideoError>) -> String {
    let name = printable(&file.to_string_lossy());
    let (word, mut more) = match &found {
        Err(error) => ("unread", told(error)),
        Ok(probed) => match &probed.verdict {
            Verdict::Healthy { .. } => ("healthy", String::new()),
            Verdict::Damaged { lost, concealed, reason, .. } => {
                ("damaged", format!("{reason} ({lost} lost, {concealed} broken)"))
            }
            Verdict::Corrupt { reason } => ("corrupt", reason.clone()),
            Verdict::OverLimit { reason } => ("over-limit", reason.clone()),
        },
    };
    if let Some(facts) = found.ok().and_then(|probed| probed.verdict.facts().cloned()) {
        let [width, height] = facts.size;
        let plural = if facts.frames == 1 { "" } else { "s" };
        let (frames, seconds, codec) = (facts.frames, facts.duration_s, &facts.codec);
        let facts = format!("{frames} frame{plural}, {seconds:.1} s, {width}×{height}, {codec}");
        more = if more.is_empty() { facts } else { format!("{more}; {facts}") };
    }
    format!("{word:<10} {name}: {}", printable(&more))
}

/// Sends heartbeats at a steady rate.
struct HeartbeatTimer {
    last: Instant,
}

impl HeartbeatTimer {
    /// Whether the next heartbeat is due.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.last) >= PULSE;
        if due {
            self.last = now;
        }
        due
    }
}

/// The next order; `None` at the end.
fn next(input: &mut LineReader<impl BufRead>) -> Result<Option<Order>> {
    let Some(line) = input.next_line().context("failed to read an order")? else { return Ok(None) };
    let begin = || printable(&String::from_utf8_lossy(line.get(..200).unwrap_or(line)));
    serde_json::from_slice(line).map(Some).with_context(|| format!("not an order: {}", begin()))
}

fn say(output: &mut impl Write, line: &Line) -> Result<()> {
    output.write_all(protocol::line(line)?.as_bytes()).and_then(|()| output.flush()).context("failed to answer")
}

fn told(error: &VideoError) -> String {
    Failure::from_error(error.kind(), error).line()
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_order_is_told_to_live_once_a_second() {
        let begun = Instant::now();
        let mut pulse = HeartbeatTimer { last: begun };
        let due = (0..5000).filter(|ms| pulse.is_due(begun + Duration::from_millis(*ms)));
        assert!(due.eq((1000..5000).step_by(1000)));
    }
}
