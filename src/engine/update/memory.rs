//! Workers that are killed with SIGKILL, as the kernel does when memory runs out.

use reeldeck_common::error::{ErrorKind, Failure};

use super::Step;
use crate::engine::state::{Assignment, Shortage, WorkerId};

/// Rounds of kills on different videos, without a finished video in between, after which the run stops.
const MAX_ROUNDS: usize = 5;

/// The same, if the kernel has counted processes that it killed for lack of memory.
const MAX_COUNTED_ROUNDS: usize = 3;

impl Step<'_> {
    /// Notes how a process ended that is about to be reported as gone.
    pub(super) fn killed(&mut self, id: WorkerId, shortage: Shortage) {
        if let Some(worker) = self.state.workers.get_mut(id) {
            worker.killed = Some(shortage);
        }
    }

    /// A worker was killed. No video is charged until it was in flight several times: all processes share the memory. Kills on
    /// different videos stop the run, because workers would be killed on the next videos as well.
    pub(super) fn lacked_memory(&mut self, id: WorkerId, in_flight: &[Assignment], how: &str, shortage: Shortage) {
        let spawned = self.state.workers.get(id).map_or(0, |worker| worker.spawned);
        let kills = &mut self.state.kills;
        kills.add(spawned, self.now, in_flight.iter().map(|assignment| assignment.video));
        kills.is_counted |= shortage.is_counted;
        let most = if kills.is_counted { MAX_COUNTED_ROUNDS } else { MAX_ROUNDS };
        let rounds = kills.on_different_videos().filter(|rounds| *rounds >= most);
        match in_flight {
            [assignment] if shortage.is_of_session && rounds.is_none() && !self.may_requeue(assignment) => {
                self.retry_alone(in_flight, how);
                return self.block(format!("{how}; {}", shortage.advice));
            }
            [assignment] if rounds.is_none() && !self.may_requeue(assignment) => {
                self.charge(assignment, id, Failure::new(ErrorKind::WorkerCrashed, how), None);
            }
            videos => self.retry_alone(videos, how),
        }
        if let Some(rounds) = rounds {
            self.block(format!(
                "workers were killed with {} {rounds} times in a row, on different videos; {}",
                shortage.signal, shortage.advice
            ));
        }
    }
}
