//! The terminal: entered, drawn on in whole frames, and restored on exit, suspend and panic.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::{Hide, MoveTo, Show};
use ratatui::crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use ratatui::crossterm::queue;
use ratatui::crossterm::style::{Attribute, SetAttribute};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
    window_size,
};
use ratatui::layout::{Position, Rect, Size};

use super::app::App;
use super::theme::{Role, Theme};
use super::{osc, view};

/// The terminal is in our mode.
static OURS: AtomicBool = AtomicBool::new(false);

/// The mouse is captured: 1.
static MOUSE: AtomicU8 = AtomicU8::new(0);

/// The terminal shows our progress: 1.
static PROGRESS: AtomicU8 = AtomicU8::new(0);

/// Collects the bytes of a frame.
#[derive(Clone, Default)]
struct Pending(Rc<RefCell<Vec<u8>>>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    // The backend flushes several times a frame.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Draws frames. ratatui's own `Terminal` queries the cursor position whenever it clears: that costs a round trip over
/// a network, and the key reader would take the answer for keys. This type never queries the terminal.
pub(super) struct Screen {
    backend: CrosstermBackend<Pending>,
    pending: Pending,
    /// The cells on the terminal.
    shown: Buffer,
    cursor: Option<Position>,
    /// What is on the terminal is unknown.
    lost: bool,
}

/// A terminal may claim to have any size, and each cell takes memory.
const MAX_SIZE: Size = Size { width: 2000, height: 1000 };

/// The part of a terminal that is drawn.
fn drawn(terminal: Size) -> Size {
    Size { width: terminal.width.min(MAX_SIZE.width), height: terminal.height.min(MAX_SIZE.height) }
}

impl Screen {
    /// Enters the alternate screen and raw mode.
    ///
    /// # Errors
    /// When standard output is no terminal.
    pub(super) fn open(mouse: bool, title: &str) -> io::Result<Self> {
        MOUSE.store(mouse.into(), Ordering::SeqCst);
        enter(title)?;
        let pending = Pending::default();
        let backend = CrosstermBackend::new(pending.clone());
        Ok(Self { backend, pending, shown: Buffer::default(), cursor: None, lost: true })
    }

    /// # Errors
    /// When the terminal is gone.
    pub(super) fn size(&self) -> io::Result<Size> {
        self.backend.size().map(drawn)
    }

    /// Draws the cells that have changed.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn draw(&mut self, app: &App) -> io::Result<()> {
        self.paint(&app.options.theme, |area, buffer| view::paint(app, area, buffer))
    }

    /// Draws what `draw` paints; it returns the position of the cursor.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn paint(
        &mut self,
        theme: &Theme,
        draw: impl FnOnce(Rect, &mut Buffer) -> Option<Position>,
    ) -> io::Result<()> {
        let area = Rect::from((Position::ORIGIN, self.size()?));
        let mut buffer = Buffer::empty(area);
        buffer.set_style(area, theme.style(Role::Base));
        let cursor = draw(area, &mut buffer);
        theme.downgrade(&mut buffer);
        if self.lost || self.shown.area != area {
            self.lost = false;
            self.shown = Buffer::empty(area);
            queue!(self.pending, SetAttribute(Attribute::Reset), Clear(ClearType::All))?;
        }
        let changed = self.shown.diff(&buffer);
        let cells = !changed.is_empty();
        if cells {
            self.backend.draw(changed.into_iter())?;
        }
        match cursor {
            Some(at) if cells || self.cursor != cursor => queue!(self.pending, MoveTo(at.x, at.y), Show)?,
            None if self.cursor.is_some() => queue!(self.pending, Hide)?,
            _ => {}
        }
        (self.shown, self.cursor) = (buffer, cursor);
        let bytes = std::mem::take(&mut *self.pending.0.borrow_mut());
        if bytes.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(bytes.len() + 16);
        frame.extend_from_slice(osc::BEGIN_FRAME);
        frame.extend_from_slice(&bytes);
        frame.extend_from_slice(osc::END_FRAME);
        self.raw(&frame)
    }

    /// The size of a cell in pixels, or a guess.
    pub(super) fn cell(&self) -> [u16; 2] {
        let Ok(size) = window_size() else { return [8, 16] };
        let side = |pixels: u16, cells: u16| pixels.checked_div(cells).filter(|side| *side > 0);
        match (side(size.width, size.columns), side(size.height, size.rows)) {
            (Some(width), Some(height)) => [width, height],
            _ => [8, 16],
        }
    }

    /// Writes bytes outside of a frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Shows the title, and the progress in percent in it and, if `osc`, in the taskbar or tab.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn show_progress(&mut self, title: &str, percent: Option<u8>, osc: bool) -> io::Result<()> {
        let title = percent.map_or_else(|| title.to_owned(), |percent| format!("{percent} % {title}"));
        let mut bytes = vec![];
        queue!(bytes, SetTitle(title))?;
        if osc {
            PROGRESS.store(percent.is_some().into(), Ordering::SeqCst);
            bytes.extend(osc::progress(percent));
        }
        self.raw(&bytes)
    }

    /// Gives the terminal to another program, until [`Screen::resume`].
    pub(super) fn lend(&mut self) {
        leave();
    }

    /// Redraws everything with the next frame.
    pub(super) fn redraw(&mut self) {
        self.lost = true;
    }

    /// Restores the terminal, stops this process until it is continued, and enters again.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn suspend(&mut self, title: &str) -> io::Result<()> {
        leave();
        stop()?;
        self.resume(title)
    }

    /// Enters again after this process was stopped: the shell has changed the terminal's mode.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn resume(&mut self, title: &str) -> io::Result<()> {
        let _ = disable_raw_mode();
        enter(title)?;
        self.redraw();
        self.cursor = None;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn enter(title: &str) -> io::Result<()> {
    enable_raw_mode()?;
    OURS.store(true, Ordering::SeqCst);
    let mut out = io::stdout().lock();
    queue!(out, EnterAlternateScreen, EnableBracketedPaste, Hide, SetTitle(title))?;
    if MOUSE.load(Ordering::SeqCst) == 1 {
        queue!(out, EnableMouseCapture)?;
    }
    out.flush()
}

/// Stops this process until it is continued: the whole of it, so that no thread reads keys meant for the shell.
pub(super) fn stop() -> io::Result<()> {
    Ok(rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?)
}

/// No shell waits for this process, so nothing would continue it if it stopped.
pub(super) fn is_session_leader() -> bool {
    rustix::process::getsid(None).is_ok_and(|leader| leader == rustix::process::getpid())
}

/// Restores the terminal. Only the first call has an effect.
pub(super) fn leave() {
    if !OURS.swap(false, Ordering::SeqCst) {
        return;
    }
    // Not through `io::stdout`: a panicking thread may hold its lock.
    let mut bytes = vec![];
    bytes.extend_from_slice(osc::END_FRAME);
    if MOUSE.load(Ordering::SeqCst) == 1 {
        let _ = queue!(bytes, DisableMouseCapture);
    }
    if PROGRESS.swap(0, Ordering::SeqCst) == 1 {
        bytes.extend(osc::progress(None));
    }
    let _ = queue!(bytes, DisableBracketedPaste, Show, LeaveAlternateScreen);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_claims_to_be_huge_is_drawn_in_part() {
        assert_eq!(drawn(Size { width: 65535, height: 65535 }), MAX_SIZE);
        assert_eq!(drawn(Size { width: 80, height: 24 }), Size { width: 80, height: 24 });
    }
}
