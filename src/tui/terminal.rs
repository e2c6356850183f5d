//! The terminal: taken over and given back, drawn on in whole frames, and given back also when the program breaks.

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

/// The terminal is ours at the moment.
static OURS: AtomicBool = AtomicBool::new(false);

/// Its mouse is, too: 1.
static MOUSE: AtomicU8 = AtomicU8::new(0);

/// Bytes of a frame as they come; they leave together.
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

/// The screen. ratatui's own terminal asks where the cursor is whenever it clears: over a network that takes a round trip, and
/// the answer is taken for keys by the thread that reads those. Here nothing is ever asked.
pub struct Screen {
    backend: CrosstermBackend<Pending>,
    pending: Pending,
    /// What is on the terminal.
    shown: Buffer,
    cursor: Option<Position>,
    /// Nothing is known of what is on the terminal.
    lost: bool,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(mouse: bool, title: &str) -> io::Result<Self> {
        MOUSE.store(mouse.into(), Ordering::SeqCst);
        enter(title)?;
        let pending = Pending::default();
        let backend = CrosstermBackend::new(pending.clone());
        Ok(Self { backend, pending, shown: Buffer::default(), cursor: None, lost: true })
    }

    /// The terminal's size.
    ///
    /// # Errors
    /// When it is gone.
    pub fn size(&self) -> io::Result<Size> {
        self.backend.size()
    }

    /// Draws what has changed since the last time.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, app: &App) -> io::Result<()> {
        self.paint(&app.options.theme, |area, buffer| view::paint(app, area, buffer))
    }

    /// The same, of what `draw` paints; it gives the place of the cursor where there is one.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn paint(&mut self, theme: &Theme, draw: impl FnOnce(Rect, &mut Buffer) -> Option<Position>) -> io::Result<()> {
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

    /// Width and height of a cell in pixels, or a guess.
    pub fn cell(&self) -> [u16; 2] {
        let Ok(size) = window_size() else { return [8, 16] };
        let side = |pixels: u16, cells: u16| pixels.checked_div(cells).filter(|side| *side > 0);
        match (side(size.width, size.columns), side(size.height, size.rows)) {
            (Some(width), Some(height)) => [width, height],
            _ => [8, 16],
        }
    }

    /// Writes bytes that are no frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Forgets what is on the screen, so that all of it is drawn anew.
    pub fn redraw(&mut self) {
        self.lost = true;
    }

    /// Gives the terminal back, stops this process until it is woken, and takes the terminal again.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn suspend(&mut self, title: &str) -> io::Result<()> {
        leave();
        // The whole process: not even a thread of it reads keys that are the shell's now.
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::STOP)?;
        self.resume(title)
    }

    /// Takes the terminal again after this process was stopped: whoever had it meanwhile has left it otherwise.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resume(&mut self, title: &str) -> io::Result<()> {
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

/// Gives the terminal back, once, whoever asks for it: the end, a panic, or a signal.
pub fn leave() {
    if !OURS.swap(false, Ordering::SeqCst) {
        return;
    }
    // Not by the lock of standard output: who panics may hold it.
    let mut bytes = vec![];
    bytes.extend_from_slice(osc::END_FRAME);
    if MOUSE.load(Ordering::SeqCst) == 1 {
        let _ = queue!(bytes, DisableMouseCapture);
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
