//! `--json`: writes every event as a line to standard output.

use std::io::{self, Write};
use std::sync::Arc;

use crate::engine::publish::RunObserver;
use crate::protocol::event::Line;
use crate::protocol::snapshot::Snapshot;

/// Observes a run and writes its events.
pub(super) struct Json {
    /// The reader has closed its end.
    gone: bool,
}

impl Json {
    /// Writes to standard output.
    pub(super) fn new() -> Self {
        Self { gone: false }
    }
}

impl RunObserver for Json {
    fn event(&mut self, _line: &Line, text: &Arc<str>) {
        if !self.gone {
            let mut out = io::stdout().lock();
            // A reader that leaves, such as `head`, does not end the run.
            self.gone = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
        }
    }

    fn snapshot(&mut self, _snapshot: &Snapshot) {}
}
