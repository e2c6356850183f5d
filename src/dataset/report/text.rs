//! The report for people: tables, then each problem with its reason and the next step.

use std::io::{self, Write};

use reeldeck_common::video::printable;

use super::{Change, Report, Row, Tally};
use crate::dataset::state::State;
use crate::out::count;

impl Report<'_> {
    /// Writes the number of videos by state, split and class. Writes nothing without a manifest.
    ///
    /// # Errors
    /// Errors of the writer.
    pub(crate) fn write_tables(&self, writer: &mut impl Write) -> io::Result<()> {
        if self.matches.is_some() {
            let tables = self.tables();
            let splits = tables.splits.iter().map(|(split, tally)| match split {
                Some(split) => (split.name().to_owned(), tally),
                None if tally.listed > 0 => ("(no split)".into(), tally),
                None => ("not in the manifest".into(), tally),
            });
            // Videos without a split come last.
            let mut splits: Vec<_> = splits.collect();
            splits.rotate_left(usize::from(tables.splits.contains_key(&None)));
            splits.push(("all".into(), &tables.all));
            write_table(writer, "split", &splits, &tables.all)?;
            let mut classes: Vec<_> = tables.classes.iter().map(|(class, tally)| (printable(class), tally)).collect();
            if let Some((name, _)) = classes.first_mut().filter(|(name, _)| name.is_empty()) {
                *name = "(no class)".into();
                classes.rotate_left(1);
            }
            writeln!(writer)?;
            write_table(writer, "class", &classes, &tables.all)?;
            writeln!(writer)?;
        }
        Ok(())
    }

    /// Writes the problems: at most `most` videos of each state, with the reason and the next step.
    ///
    /// # Errors
    /// Errors of the writer.
    pub(crate) fn write_problems(&self, writer: &mut impl Write, most: usize) -> io::Result<()> {
        let tables = self.tables();
        self.write_names(writer, &tables.all, most)?;
        if let Some(row) = self.rows().find(|row| row.misplaced) {
            let videos = count(tables.misplaced, "video is", "videos are");
            let name = row.files.first().map(|file| printable(file.name.as_str())).unwrap_or_default();
            writeln!(
                writer,
                "note: {videos} in the folder of a class that the manifest does not give, such as {name} ({})",
                printable(&row.classes().join(", "))
            )?;
        }
        if let Some(row) = self.rows().find(|row| self.has_unverified_end(row)) {
            let videos = count(tables.unverified, "video has", "videos have");
            writeln!(
                writer,
                "note: {videos} a container that does not state its duration, such as {}; only a manifest with durations shows whether \
                 frames are missing at the end",
                printable(&row.name())
            )?;
        }
        if let Some(prefix) = self.other_prefix() {
            writeln!(
                writer,
                "note: no file matches the manifest, and with another prefix files do; set `[manifest] prefix = {prefix:?}`"
            )?;
        }
        Ok(())
    }

    /// Writes a summary line and the changes, one line for each of at most `most` videos. With `quiet`, it writes only
    /// changes to a problem.
    ///
    /// # Errors
    /// Errors of the writer.
    pub(crate) fn write_changes(
        &self,
        writer: &mut impl Write,
        changes: &[Change],
        time: &str,
        most: usize,
        quiet: bool,
    ) -> io::Result<()> {
        let is_problem = |change: &Change| change.now.as_ref().is_some_and(State::is_problem);
        if !quiet {
            let tally = self.tables().all;
            let counts = State::WORDS.iter().zip(tally.states).filter(|(_, count)| *count > 0).rev();
            let counts: Vec<_> = counts.map(|(word, count)| format!("{count} {word}")).collect();
            let number = count(changes.len(), "change", "changes");
            writeln!(writer, "{time} {number}; now {}", counts.join(", "))?;
        }
        let named = changes.iter().filter(|change| !quiet || is_problem(change));
        for Change { name, was, now, .. } in named.clone().take(most) {
            let was = was.as_ref().map_or("new".into(), |state| format!("was {}", state.word()));
            let (word, why) = match now {
                Some(state) if state.next_step().is_some() => (state.word(), format!(": {}", state.reason())),
                Some(state) => (state.word(), String::new()),
                None => ("gone", String::new()),
            };
            writeln!(writer, "  {word} {}{} ({was})", printable(name), printable(&why))?;
        }
        let more = named.count().saturating_sub(most);
        if more > 0 { writeln!(writer, "  {more} more; -v names them all") } else { Ok(()) }
    }

    fn write_names(&self, writer: &mut impl Write, all: &Tally, most: usize) -> io::Result<()> {
        for (index, (word, number)) in State::WORDS.iter().zip(all.states).enumerate() {
            if number == 0 {
                continue;
            }
            // Each next step follows the videos that it is for.
            let mut groups: Vec<(&str, Vec<String>)> = vec![];
            for row in self.rows().filter(|row| row.state.index() == index).take(most) {
                let Some(step) = row.state.next_step() else { break };
                let line = format!("{word} {}: {}", printable(&row.name()), printable(&row.state.reason()));
                match groups.iter_mut().find(|(other, _)| *other == step) {
                    Some((_, lines)) => lines.push(line),
                    None => groups.push((step, vec![line])),
                }
            }
            for (step, lines) in &groups {
                writeln!(writer, "{}\n  next: {step}", lines.join("\n"))?;
            }
            if number > most && !groups.is_empty() {
                writeln!(writer, "{word} {} more; -v names them all", number - most)?;
            }
        }
        Ok(())
    }
}

impl Row<'_> {
    /// A video that is one file by its path, any other by its id, with its class and split.
    pub(super) fn name(&self) -> String {
        match (self.id, self.files.as_slice()) {
            (Some(id), []) => {
                let split = self.listed.and_then(|listed| listed.split).map(|split| split.name());
                let known: Vec<_> = self.classes().into_iter().chain(split).collect();
                if known.is_empty() { id.to_owned() } else { format!("{id} ({})", known.join(", ")) }
            }
            (Some(id), [_, _, ..]) => id.to_owned(),
            (_, files) => files.first().map(|file| file.name.to_string()).unwrap_or_default(),
        }
    }
}

/// Writes one line per name. Empty columns and zeros are left out.
fn write_table(writer: &mut impl Write, title: &str, rows: &[(String, &Tally)], all: &Tally) -> io::Result<()> {
    let width = rows.iter().map(|(name, _)| name.chars().count()).chain([title.len(), 19]).max().unwrap_or(0);
    let columns: Vec<_> = (0..State::WORDS.len()).filter(|index| all.states[*index] > 0).collect();
    write!(writer, "{title:width$}  listed")?;
    for column in &columns {
        write!(writer, "  {:>7}", State::WORDS[*column])?;
    }
    writeln!(writer)?;
    for (name, tally) in rows {
        write!(writer, "{name:width$}  {:>6}", number(tally.listed))?;
        for column in &columns {
            let width = State::WORDS[*column].len().max(7);
            write!(writer, "  {:>width$}", number(tally.states[*column]))?;
        }
        writeln!(writer)?;
    }
    Ok(())
}

fn number(n: usize) -> String {
    if n == 0 { String::new() } else { n.to_string() }
}
