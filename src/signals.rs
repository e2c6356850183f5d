//! Unix signals, as futures and as a flag.

use std::io;
use std::process::{self, Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal as ProcessSignal, kill_process};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::Exit;
use crate::out::errln;

/// A signal that asks a program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGINT: a user presses Ctrl-C.
    Interrupt,
    /// SIGTERM: SIGKILL may follow after a while.
    Terminate,
    /// SIGUSR1 or SIGUSR2: a scheduler announces that the time of the job runs out.
    Notice,
}

/// The signals that ask a program to stop.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// SIGUSR1 and SIGUSR2, where they are caught.
    notices: Option<[Signal; 2]>,
}

impl StopSignals {
    /// Catches SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, notices: None })
    }

    /// As [`StopSignals::catch`], also catches the notices of schedulers, and ignores SIGHUP: closing the terminal must not end a
    /// run.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn catch_for_run() -> io::Result<Self> {
        // A handler stays installed when its stream is dropped.
        drop(signal(SignalKind::hangup())?);
        let notices = [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?];
        Ok(Self { notices: Some(notices), ..Self::catch()? })
    }

    /// Waits for the next signal.
    pub(crate) async fn received(&mut self) -> StopSignal {
        let notice = async {
            match &mut self.notices {
                Some([first, second]) => tokio::select! {
                    _ = first.recv() => {}
                    _ = second.recv() => {}
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => StopSignal::Interrupt,
            _ = self.terminate.recv() => StopSignal::Terminate,
            () = notice => StopSignal::Notice,
        }
    }
}

/// A flag that the first signal sets, which also prints `note`; the second signal ends the process. Signals are received on
/// a thread that ends with the process.
///
/// # Errors
/// When signals cannot be caught.
pub(crate) fn cancel_on_signal(note: Option<&'static str>) -> io::Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Before the thread starts, so that no signal is missed in between.
    let mut signals = {
        let _context = runtime.enter();
        StopSignals::catch()?
    };
    let flag = Arc::clone(&cancelled);
    reeldeck_common::thread::spawn("signals", move || {
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
    })?;
    Ok(cancelled)
}

/// The interval of checks for the end of a child process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Waits until a child process ends. Once `cancelled` is set, asks it to end by SIGTERM.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn wait_for(child: &mut Child, cancelled: &AtomicBool) -> io::Result<ExitStatus> {
    let mut is_asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !is_asked && cancelled.load(Ordering::Relaxed) {
            is_asked = true;
            // It may have ended meanwhile.
            let _ = kill_process(Pid::from_child(child), ProcessSignal::TERM);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// What a signal asks the terminal interface to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowSignal {
    /// The terminal has hung up, or the process was asked to end.
    Quit,
    /// An interrupt, which a program that shares the terminal gets too.
    Interrupt,
    /// The terminal has another size.
    Resize,
    /// The process was asked to stop until it is continued.
    Suspend,
    /// The process was continued.
    Resume,
}

/// The signals of the terminal interface.
pub(crate) struct WindowSignals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    resize: Signal,
    suspend: Signal,
    resume: Signal,
}

impl WindowSignals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        let raw = |number: rustix::process::Signal| signal(SignalKind::from_raw(number.as_raw()));
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            resize: signal(SignalKind::window_change())?,
            suspend: raw(rustix::process::Signal::TSTP)?,
            resume: raw(rustix::process::Signal::CONT)?,
        })
    }

    pub(crate) async fn next(&mut self) -> WindowSignal {
        tokio::select! {
            _ = self.hangup.recv() => WindowSignal::Quit,
            _ = self.terminate.recv() => WindowSignal::Quit,
            _ = self.interrupt.recv() => WindowSignal::Interrupt,
            _ = self.resize.recv() => WindowSignal::Resize,
            _ = self.suspend.recv() => WindowSignal::Suspend,
            _ = self.resume.recv() => WindowSignal::Resume,
        }
    }
}
