//! How a process ended, in words.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// SIGXCPU.
const CPU_LIMIT: i32 = 24;

/// How a child process ended. Displays as a predicate, such as `exited with code 3`, for a sentence about the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why this side ended the process; `None` when the process ended by itself.
    pub(crate) reason: Option<String>,
    /// What the kernel reports; `None` when the process cannot be waited for.
    pub(crate) status: Option<ExitStatus>,
}

impl Exit {
    /// Whether another process or the kernel has killed it with SIGKILL, as the kernel does when memory runs out.
    pub fn was_killed(&self) -> bool {
        self.reason.is_none() && self.status.and_then(|status| status.signal()) == Some(9)
    }

    /// Whether another process or the kernel's shortage of memory ended the process by a signal. Then the process may
    /// have no fault.
    pub fn is_from_outside(&self) -> bool {
        // HUP, INT, KILL, TERM: faulty programs do not send them to themselves.
        let signal = self.status.and_then(|status| status.signal());
        self.reason.is_none() && signal.is_some_and(|signal| matches!(signal, 1 | 2 | 9 | 15 | CPU_LIMIT))
    }

    /// Whether it reached the limit of CPU time of the session, as batch systems may set it for a job.
    pub fn reached_cpu_limit(&self) -> bool {
        self.reason.is_none() && self.status.and_then(|status| status.signal()) == Some(CPU_LIMIT)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.reason {
            return f.write_str(reason);
        }
        match self.status.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => write!(f, "exited with code {code}"),
            Some((None, Some(9))) => {
                f.write_str("was killed by signal 9 (SIGKILL); the kernel does that when memory runs out")
            }
            Some((None, Some(signal))) => write!(f, "was killed by signal {signal}{}", signal_name(signal)),
            _ => f.write_str("ended for an unknown reason"),
        }
    }
}

/// The names of signals that end a faulty program. Their numbers are the same on all architectures that Rust supports, but
/// for SIGBUS, which has no name here.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        CPU_LIMIT => " (SIGXCPU): it reached the limit of CPU time that `ulimit -t` shows",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_codes_signals_and_reasons() {
        for (status, words) in [
            (0x0300, "exited with code 3"),
            (0, "exited with code 0"),
            (11, "was killed by signal 11 (SIGSEGV)"),
            (7, "was killed by signal 7"),
            (24, "was killed by signal 24 (SIGXCPU): it reached the limit of CPU time that `ulimit -t` shows"),
            (9, "was killed by signal 9 (SIGKILL); the kernel does that when memory runs out"),
        ] {
            let exit = Exit { reason: None, status: Some(ExitStatus::from_raw(status)) };
            assert_eq!(exit.to_string(), words);
            let outside = matches!(status, 9 | 24);
            assert_eq!((exit.was_killed(), exit.is_from_outside()), (status == 9, outside));
            assert_eq!(exit.reached_cpu_limit(), status == 24);
        }
        let exit = Exit { reason: Some("sent garbage".into()), status: Some(ExitStatus::from_raw(9)) };
        assert!(exit.to_string() == "sent garbage" && !exit.was_killed());
    }
}
