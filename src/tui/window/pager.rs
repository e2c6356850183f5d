//! The log in the user's pager, which gets the terminal.

use super::Window;
use crate::tui::key_reader;
use crate::tui::update::Msg;

impl Window {
    /// Opens the log file in the user's pager or editor, which gets the terminal until it ends. The run's messages are
    /// still received.
    pub(super) fn show_log(&mut self) {
        let path = self.app.log.file.clone();
        let set = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        let program = ["PAGER", "VISUAL", "EDITOR"].into_iter().find_map(set).unwrap_or_else(|| "less".into());
        (self.lent, self.percent) = (true, None);
        key_reader::lend(true);
        self.screen.lend();
        // The variables may contain options.
        let shell = format!("{program} \"$1\"");
        let started = tokio::process::Command::new("sh").args(["-c", &shell, "sh"]).arg(path).spawn();
        let done = self.done.clone();
        tokio::spawn(async move {
            let ended = match started {
                Ok(mut child) => child.wait().await,
                Err(error) => Err(error),
            };
            let problem = match ended {
                Ok(status) if status.success() => None,
                Ok(status) => Some(format!("{program}: {status}")),
                Err(error) => Some(format!("failed to start {program}: {error}")),
            };
            let _ = done.send(Msg::TerminalReturned(problem));
        });
    }

    /// The other program has ended.
    pub(super) fn take_back(&mut self) -> anyhow::Result<()> {
        self.lent = false;
        key_reader::lend(false);
        self.screen.resume(&self.title)?;
        self.redraw();
        Ok(())
    }
}
