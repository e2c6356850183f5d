//! Options of every command that some commands would pass over: a script would read text for JSON, or a person believe that
//! nothing was changed.

use super::{Cli, Command};

impl Cli {
    /// Why an option that was typed cannot be heeded, and what to do instead; nothing where all can.
    pub(super) fn unsupported_flags(&self) -> Option<&'static str> {
        if self.global.json && !self.has_json() {
            return Some(
                "--json goes with --batch, extract, attach, status, scan and doctor; what others print is text",
            );
        }
        let changes = self.global.dry_run && !self.has_dry_run();
        changes.then_some(
            "--dry-run goes with --batch, extract, list, export, verify, scan, missing, annotations, init and retry --list; \
             leave it out, or look with `reeldeck status` or `reeldeck doctor`",
        )
    }

    /// There is JSON to print.
    fn has_json(&self) -> bool {
        use Command::{Attach, Doctor, Engine, Extract, Scan, Status};
        match &self.command {
            None => self.batch,
            Some(Extract(_) | Engine { .. } | Attach(_) | Status | Scan(_) | Doctor) => true,
            Some(_) => false,
        }
    }

    /// Nothing is changed with `--dry-run`, if anything ever is.
    fn has_dry_run(&self) -> bool {
        use Command::{Demo, Fetch, Man, Pause, Resume, Retry, SeededCheckpoint, Stop, Tune};
        match &self.command {
            None => self.batch,
            Some(Retry(args)) => args.list.is_some(),
            Some(Man { dir }) => dir.is_none(),
            Some(Demo { .. } | Fetch | Tune(_) | SeededCheckpoint { .. } | Stop { .. } | Pause | Resume) => false,
            Some(_) => true,
        }
    }
}
