//! `--json`: every event as a line on standard output.

use std::io::{self, Write};
use std::sync::Arc;

use crate::engine::publish::RunObserver;
use crate::protocol::event::Line;
use crate::protocol::snapshot::Snapshot;

/// Writes lines as they come.
pub struct Json {
    /// Nobody reads any more.
    gone: bool,
}

impl Json {
    /// On standard output.
    pub fn new() -> Self {
        Self { gone: false }
    }
}

impl RunObserver for Json {
    fn event(&mut self, _line: &Line, text: &Arc<str>) {
        if !self.gone {
            let mut out = io::stdout().lock();
            // Whoever reads has had enough; the run goes on.
            self.gone = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
        }
    }

    fn snapshot(&mut self, _snapshot: &Snapshot) {}
}
