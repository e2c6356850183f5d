//! Runs an observer on a thread of its own, so that a terminal or a pipe that is not read does not stop the engine.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::engine::publish::RunObserver;
use crate::out::errln;
use crate::protocol::event::Line;
use crate::protocol::snapshot::Snapshot;

/// At the end, how long the output may make no progress before the rest is dropped.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What the observer has not seen yet.
enum Message {
    Event(Box<Line>, Arc<str>),
    /// There is a newer snapshot.
    Snapshot,
}

/// An observer on a thread of its own.
pub(super) struct Background {
    sender: Option<Sender<Message>>,
    /// The newest snapshot. A slow observer misses older ones.
    snapshot: Arc<Mutex<Option<Snapshot>>>,
    /// Messages that were handled.
    handled: Arc<AtomicU64>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    stall_timeout: Duration,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(observer: impl RunObserver + 'static) -> io::Result<Self> {
        let (sender, messages) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let (snapshot, handled) = <(Arc<Mutex<Option<Snapshot>>>, Arc<AtomicU64>)>::default();
        let (newest, count) = (Arc::clone(&snapshot), Arc::clone(&handled));
        reeldeck_common::thread::spawn("observer", move || {
            let mut observer = observer;
            for message in messages {
                match message {
                    Message::Event(line, text) => observer.event(&line, &text),
                    Message::Snapshot => {
                        let snapshot = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
                        snapshot.iter().for_each(|snapshot| observer.snapshot(snapshot));
                    }
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            drop(observer);
            drop::<Sender<()>>(alive);
        })?;
        Ok(Self { sender: Some(sender), snapshot, handled, ended, stall_timeout: STALL_TIMEOUT })
    }

    fn send(&self, message: Message) {
        // The thread ends only with this value.
        let _ = self.sender.as_ref().map(|sender| sender.send(message));
    }
}

impl RunObserver for Background {
    fn event(&mut self, line: &Line, text: &Arc<str>) {
        self.send(Message::Event(Box::new(line.clone()), Arc::clone(text)));
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        let before = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).replace(snapshot.clone());
        if before.is_none() {
            self.send(Message::Snapshot);
        }
    }
}

impl Drop for Background {
    /// Waits until everything is written, as long as that makes progress.
    fn drop(&mut self) {
        self.sender = None;
        loop {
            let before = self.handled.load(Ordering::Relaxed);
            match self.ended.recv_timeout(self.stall_timeout) {
                Err(RecvTimeoutError::Timeout) if self.handled.load(Ordering::Relaxed) != before => {}
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.stall_timeout.as_secs();
                    errln!("the output was not read for {seconds} s; the rest of it is lost");
                    return;
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Event;

    /// Handles an event when the test allows it.
    struct Slow {
        allowed: Receiver<()>,
        seen: Sender<String>,
    }

    impl RunObserver for Slow {
        fn event(&mut self, _line: &Line, text: &Arc<str>) {
            if self.allowed.recv().is_ok() {
                self.seen.send(text.to_string()).unwrap();
            }
        }

        fn snapshot(&mut self, _snapshot: &Snapshot) {
            self.seen.send("snapshot".into()).unwrap();
        }
    }

    #[test]
    fn an_observer_that_blocks_does_not_block_the_engine_and_misses_only_snapshots() {
        let ((allow, allowed), (seen, all_seen)) = (mpsc::channel(), mpsc::channel());
        let mut background = Background::start(Slow { allowed, seen }).unwrap();
        let line = Line::now(Event::Paused);
        for text in ["1", "2"] {
            background.event(&line, &text.into());
        }
        (0..3).for_each(|_| background.snapshot(&Snapshot::default()));
        background.event(&line, &"3".into());
        (0..3).for_each(|_| allow.send(()).unwrap());
        drop(background);
        assert_eq!(all_seen.try_iter().collect::<Vec<_>>(), ["1", "2", "snapshot", "3"]);
    }

    #[test]
    fn the_end_does_not_wait_for_an_observer_that_stays_blocked() {
        let ((allow, allowed), (seen, all_seen)) = (mpsc::channel(), mpsc::channel());
        let mut background = Background::start(Slow { allowed, seen }).unwrap();
        background.stall_timeout = Duration::from_millis(10);
        background.event(&Line::now(Event::Paused), &"1".into());
        drop(background);
        assert!(all_seen.try_recv().is_err());
        drop(allow);
    }
}
