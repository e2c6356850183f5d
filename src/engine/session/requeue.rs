//! Puts the Slurm job of an engine back into the queue.

use crate::engine::run::Requeue;
use crate::error::Exit;
use crate::out::errln;
use crate::slurm::queue;

/// Puts the Slurm job of a run that was stopped back into the queue, if it has work left. Slurm ends this process meanwhile.
/// `finished`: the exit code if all videos are finished; `None` if the run has an export left.
pub(super) fn queue_again(requeue: Requeue, finished: Option<Exit>) -> Exit {
    match requeue {
        Requeue::Finished => finished.unwrap_or(Exit::Interrupted),
        Requeue::No => Exit::Interrupted,
        Requeue::NoProgress => {
            errln!(
                "note: no video was finished in the time of this Slurm job, so it is not queued again; raise --time"
            );
            Exit::Interrupted
        }
        Requeue::Yes(job) => match queue::requeue(&job.name) {
            Ok(()) => {
                errln!("note: Slurm job {} is queued again", job.name);
                Exit::Done
            }
            Err(error) => {
                errln!("note: the Slurm job is not queued again: {error}; submit it again to resume");
                Exit::Interrupted
            }
        },
    }
}
