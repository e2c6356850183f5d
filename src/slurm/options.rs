//! Reads the options in a batch script as sbatch does.

use std::str::Chars;

/// The short options of sbatch that take a value, which may be the next word.
const WITH_VALUE: &str = "aAbBcCdDeFGiJLmMnNopqStwx";

/// The short option whose value can only follow it directly.
const WITH_ATTACHED_VALUE: char = 'k';

/// The long options of sbatch that never take the next word as their value.
const WITHOUT_VALUE: [&str; 23] = [
    "contiguous",
    "exclusive",
    "get-user-env",
    "help",
    "hold",
    "ignore-pbs",
    "nice",
    "no-kill",
    "no-requeue",
    "overcommit",
    "oversubscribe",
    "parsable",
    "propagate",
    "quiet",
    "reboot",
    "requeue",
    "spread-job",
    "test-only",
    "usage",
    "use-min-nodes",
    "verbose",
    "version",
    "wait",
];

/// The number of the line whose options choose other clusters, from 1. sbatch reads the comments before the first command.
pub(crate) fn line_of_clusters(text: &str) -> Option<usize> {
    let is_comment = |line: &(usize, &str)| line.1.trim().is_empty() || line.1.trim_start().starts_with('#');
    let lines = text.lines().enumerate().take_while(is_comment);
    let options = lines.filter_map(|(at, line)| Some((at + 1, line.strip_prefix("#SBATCH")?)));
    // A value may be on the next line.
    let mut words = options.flat_map(|(at, line)| Words(line.chars()).map(move |word| (at, word)));
    while let Some((at, word)) = words.next() {
        let takes_next = if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            // Long options may be shortened.
            if long.starts_with("clu") && !long.starts_with("cluster-") {
                return Some(at);
            }
            !long.contains('=') && !WITHOUT_VALUE.iter().any(|option| option.starts_with(long))
        } else {
            // sbatch refuses a script with any other word.
            let short = word.strip_prefix('-').filter(|short| !short.is_empty() && *short != "-")?;
            let end = short.find(|option| WITH_VALUE.contains(option) || option == WITH_ATTACHED_VALUE);
            match end.map(|end| short.split_at(end).1) {
                Some(last) if last.starts_with('M') => return Some(at),
                Some(last) => last.len() == 1 && !last.starts_with(WITH_ATTACHED_VALUE),
                None => false,
            }
        };
        if takes_next {
            words.next();
        }
    }
    None
}

/// The words of a line. They differ from those of a shell: a backslash also escapes between single quotes, `#` begins a comment
/// within a word, white space ends a word even after a backslash, and an empty word ends the line.
struct Words<'l>(Chars<'l>);

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (mut word, mut quote, mut is_escaped) = (String::new(), None, false);
        self.0 = self.0.as_str().trim_start().chars();
        while let Some(c) = self.0.clone().next() {
            if quote.is_none() && c.is_whitespace() || quote.is_none() && !is_escaped && c == '#' {
                break;
            }
            self.0.next();
            match c {
                _ if is_escaped => {
                    is_escaped = false;
                    word.push(c);
                }
                '\\' => is_escaped = true,
                _ if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ => word.push(c),
            }
        }
        // sbatch refuses a script with a quote that has no end.
        (!word.is_empty() && quote.is_none()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &str) -> Option<usize> {
        line_of_clusters(&format!("#!/bin/sh\n\n#SBATCH --partition=main\n#SBATCH {options}\nreeldeck extract\n"))
    }

    #[test]
    fn options_that_choose_clusters_are_found() {
        // Each was tried with sbatch 22.05.
        for options in [
            "--clusters=a,b",
            "--clusters a",
            "--cluster=a",
            "-M a",
            "-Ma",
            "--time=1 -M a # comment",
            "-HM a",
            "-QM a",
            "-sM a",
            "-WMa",
            "-OQHM a",
            "-k -M a",
            "-J x -M a",
            "-Jx -M a",
            "--comment= -M a",
            "--comment='a\"b' -M a",
            "--comment 'a\\'b' -M a",
            "-J a'b c'd -M a",
            "-J a\\# -M a",
            "-J x\\ -M\\ y",
            "--nice -M a",
            "--exclusive -M a",
            "--hold -Ma",
            "--get-user-env -M a",
            "'-M' a",
        ] {
            assert_eq!(line(options), Some(4), "{options}");
        }
    }

    #[test]
    fn values_and_comments_choose_no_cluster() {
        for options in [
            "--cluster-constraint=a --mem=-M",
            "--comment=\"x # -M y\"",
            "--comment='x # -M y'",
            "--comment 'a\\' -M o'",
            "-J -Mx",
            "-HJ -Mx",
            "-JM a",
            "-kM",
            "--comm -Mx",
            "--job-name --clusters",
            "--time=1#x -M a",
            "--comment '' -M a",
            "# -M a",
            "--hold -- -M a",
            "--hold x -M a",
            "-J 'x -M a",
            "-J\n#SBATCH -Mx",
        ] {
            assert_eq!(line(options), None, "{options}");
        }
        assert_eq!(line("--hold\nreeldeck\n#SBATCH -M a"), None);
        assert_eq!(line_of_clusters("#!/bin/sh\n# SBATCH -M a\n  #SBATCH -M a\n\n #\n#SBATCH -M a\n"), Some(6));
    }
}
