//! Ctrl-C and SIGTERM during a command that works through many files.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context;
use tokio::runtime::Builder;

use crate::config::{Settings, Verbosity};
use crate::errln;
use crate::error::Exit;
use crate::progress::Meter;
use crate::signals::StopSignals;

/// A meter for a command with these settings, which a signal cancels.
///
/// # Errors
/// When signals cannot be caught.
pub fn cancellable_meter(settings: &Settings) -> anyhow::Result<Meter> {
    let note = "finishing what is in progress; interrupt again to stop now";
    Ok(meter(settings).cancelled_by(cancel_on_signal(Some(note)).context("failed to catch signals")?))
}

/// A meter for a command with these settings.
pub fn meter(settings: &Settings) -> Meter {
    Meter::new(settings.verbosity == Verbosity::Quiet, settings.plain_interval)
}

/// A flag that the first signal sets, which also prints `note`; the second signal ends the process. Signals are received on
/// a thread that ends with the process.
///
/// # Errors
/// When signals cannot be caught.
pub fn cancel_on_signal(note: Option<&'static str>) -> io::Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Before the thread starts, so that no signal is missed in between.
    let mut signals = {
        let _context = runtime.enter();
        StopSignals::catch()?
    };
    let flag = Arc::clone(&cancelled);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                signals.received().await;
                if flag.swap(true, Ordering::Relaxed) {
                    process::exit(Exit::Interrupted.code().into());
                }
                if let Some(note) = note {
                    errln!("{note}");
                }
            }
        });
    });
    Ok(cancelled)
}
