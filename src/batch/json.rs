//! `--json`: writes every event as a line to standard output.

use std::sync::Arc;

use crate::engine::publish::RunObserver;
use crate::out;
use crate::protocol::event::Line;
use crate::protocol::snapshot::Snapshot;

/// Observes a run and writes its events.
pub(super) struct Json {
    /// Nothing more can be written: the reader has closed its end, or the disk is full.
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
        // This does not end the run.
        self.gone = self.gone || !out::raw(text.as_bytes());
    }

    fn snapshot(&mut self, _snapshot: &Snapshot) {}
}
