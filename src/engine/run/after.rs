//! After a run: its export, and the wait for a client that wants more. Clients, signals and the clock are heard all the while.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use super::{ClientRequest, Engine, Event, Format, Order, Phase, StopSignals, ticks};
use crate::export::Outcome;

impl Engine {
    /// Writes what trainers read at the end of a run; `None` where somebody wants an end of this as well. A client may
    /// begin another run meanwhile.
    ///
    /// # Errors
    /// When the disk has not enough room or writing fails.
    pub async fn export_at_end(
        &mut self,
        formats: &[Format],
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
    ) -> anyhow::Result<Option<Vec<Outcome>>> {
        let (tell, mut told) = oneshot::channel();
        let (mut tell, mut ticks) = (Some(tell), ticks());
        self.concludes = true;
        let done = loop {
            // One that a client has asked for comes first: two at a time would write the same files.
            if self.exporting.is_none()
                && let Some(tell) = tell.take()
            {
                self.begin_export(formats.to_vec(), Some(tell));
            }
            tokio::select! {
                biased;
                () = signals.received() => self.handle(Event::Interrupt),
                Some(asked) = clients.recv() => self.answer(asked),
                done = &mut told => break done.context("the export was cut short").flatten().map(Some),
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => self.tick(),
            }
            if self.state.phase == Phase::Aborting {
                break Ok(None);
            }
        };
        if let (Ok(None), Some(exporting)) = (&done, &self.exporting) {
            // It ends as soon as its disk lets it, and is not waited for.
            exporting.now();
        }
        self.concludes = false;
        done
    }

    /// Waits for a client that wants more, in which case it returns true, for as long as there are followers and `linger`
    /// after the last one. What was asked for is finished before it returns, but for an end at once.
    pub async fn wait_for_more(
        &mut self,
        signals: &mut StopSignals,
        clients: &mut mpsc::UnboundedReceiver<ClientRequest>,
        linger: Duration,
        followers: impl Fn() -> usize,
    ) -> bool {
        let (mut lonely, mut ticks) = (Instant::now(), ticks());
        loop {
            if self.leaves && !self.is_busy() {
                return false;
            }
            tokio::select! {
                biased;
                () = signals.received() => return false,
                Some(asked) = clients.recv() => {
                    let now = matches!(asked.order, Order::Stop { now: true });
                    self.answer(asked);
                    if now {
                        return false;
                    }
                }
                Some(incoming) = self.incoming.recv() => self.take(incoming),
                _ = ticks.tick() => {
                    self.tick();
                    if followers() > 0 || self.is_busy() {
                        lonely = Instant::now();
                    } else if lonely.elapsed() >= linger {
                        return false;
                    }
                }
            }
            if !self.state.is_over() {
                return true;
            }
        }
    }

    /// Something is done elsewhere that is worth waiting for.
    fn is_busy(&self) -> bool {
        self.background_tasks > 0 && self.state.phase != Phase::Aborting
    }
}
