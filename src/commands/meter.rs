//! The progress meter of a command that works through many files.

use anyhow::Context;

use crate::config::Settings;
use crate::progress::Meter;
use crate::signals::cancel_on_signal;

/// A meter for a command with these settings, which a signal cancels.
///
/// # Errors
/// When signals cannot be caught.
pub(super) fn cancellable_meter(settings: &Settings) -> anyhow::Result<Meter> {
    let note = "finishing what is in progress; interrupt again to stop now";
    Ok(settings.meter().cancelled_by(cancel_on_signal(Some(note)).context("failed to catch signals")?))
}
