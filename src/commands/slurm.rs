//! `reeldeck slurm`: writes the scripts, submits them, and shows, adds and stops the engines of an output folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use reeldeck_common::atomic::{self, Owner};
use reeldeck_common::bounded;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::printable;
use serde::{Deserialize, Serialize};

use crate::cli::{SlurmCommand, SlurmInitArgs};
use crate::config::{FILE, Settings};
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::out::{count, errln, outln};
use crate::slurm::script::Request;
use crate::slurm::{Job, cluster, queue};

/// The largest record that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The jobs that were submitted for an output folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Jobs {
    /// The script of the engines, an absolute path.
    script: PathBuf,
    /// Arrays of engines, the first one first.
    engines: Vec<String>,
    export: Option<String>,
}

/// Carries out a command.
///
/// # Errors
/// When Slurm refuses, or a file cannot be read or written.
pub(crate) fn run_slurm(settings: &Settings, command: &SlurmCommand) -> anyhow::Result<Exit> {
    match command {
        SlurmCommand::Init(args) => init(settings, args),
        SlurmCommand::Submit(args) => submit(settings, &args.script),
        SlurmCommand::Status(_) => status(settings),
        SlurmCommand::Add(args) => add(settings, args.engines),
        SlurmCommand::Stop(args) => stop(settings, args.now),
        SlurmCommand::Requeue { code } => requeue(*code),
    }
}

/// Writes the scripts of the engines and of the export.
fn init(settings: &Settings, args: &SlurmInitArgs) -> anyhow::Result<Exit> {
    let config = settings.config_file.clone().ok_or_else(|| {
        let message = format!("the engines need a configuration; `reeldeck init` writes {FILE}");
        ExitError::new(Exit::Usage, message)
    })?;
    let config = fs::canonicalize(&config).with_context(|| format!("failed to resolve {}", shown(&config)))?;
    let all = cluster::partitions().context("failed to ask Slurm for its partitions")?;
    let gpu = args.gpu || !settings.devices.is_cpu_only();
    let nodes = cluster::choose(&all, args.partition.as_deref(), gpu).ok_or_else(|| {
        let mut names: Vec<&str> = all.iter().map(|nodes| nodes.partition.as_str()).collect();
        names.dedup();
        let wanted = match (&args.partition, gpu) {
            (Some(name), _) => format!("there is no partition {}", printable(name)),
            (None, true) => "no partition with GPUs is up".to_owned(),
            (None, false) => "no partition is up".to_owned(),
        };
        ExitError::new(Exit::Usage, format!("{wanted}; choose with --partition: {}", names.join(", ")))
    })?;
    if gpu && nodes.gpus == 0 {
        errln!("note: sinfo shows no GPU in the partition {}; Slurm may refuse the script", nodes.partition);
    }
    let program = discovery::reeldeck()?;
    let request = Request { nodes, tasks: args.engines, gpu, program: &program, config: &config, root: &settings.root };
    for (path, text) in [(args.script.clone(), request.engines()), (export_of(&args.script), request.export())] {
        if settings.dry_run {
            outln!("# {}\n{text}", shown(&path));
        } else {
            write_new(&path, &text)?;
            errln!("wrote {}", shown(&path));
        }
    }
    if !settings.dry_run {
        errln!("next: read them, then `reeldeck slurm submit {}`", shown(&args.script));
    }
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                format!("{} exists and is kept; --script names another file, --dry-run prints the scripts", shown(path))
            }
            _ => format!("failed to write {}", shown(path)),
        };
        anyhow::Error::from(error).context(ExitError::new(Exit::Usage, message))
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("failed to write {}", shown(path)))
}

/// `reeldeck-export.sbatch` beside `reeldeck.sbatch`.
fn export_of(script: &Path) -> PathBuf {
    let mut name = script.file_stem().unwrap_or_default().to_owned();
    name.push("-export");
    if let Some(extension) = script.extension() {
        name.push(".");
        name.push(extension);
    }
    script.with_file_name(name)
}

/// Submits the engines, and the export that follows them.
fn submit(settings: &Settings, script: &Path) -> anyhow::Result<Exit> {
    let script = fs::canonicalize(script)
        .with_context(|| format!("failed to open {}; `reeldeck slurm init` writes it", shown(script)))
        .context(ExitError::new(Exit::Usage, "nothing was submitted"))?;
    let mut jobs = Jobs::read(settings)?;
    if !queue::queued(&jobs.all())?.is_empty() {
        let message = "jobs of this output folder are in the queue; `reeldeck slurm add N` adds engines, \
                       `reeldeck slurm stop` ends them";
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let engines = queue::submit(&script, &[beside(&script)])?;
    outln!("submitted the engines as job {engines}");
    jobs = Jobs { script, engines: vec![engines], export: None };
    // The engines are recorded even if the export is refused.
    jobs.write(settings)?;
    submit_export(&mut jobs)?;
    jobs.write(settings)?;
    Ok(Exit::Done)
}

/// Submits the export after all engines.
fn submit_export(jobs: &mut Jobs) -> anyhow::Result<()> {
    let script = export_of(&jobs.script);
    if !script.is_file() {
        errln!("note: there is no {}; run `reeldeck export` when the engines have ended", shown(&script));
        return Ok(());
    }
    let export = queue::submit(&script, &[beside(&script), format!("--dependency={}", queue::after(&jobs.engines))])
        .context("failed to submit the export; run `reeldeck export` when the engines have ended")?;
    outln!("submitted the export as job {export}; it starts when all engines have ended");
    jobs.export = Some(export);
    Ok(())
}

/// Logs are written beside the script, whatever the current folder is.
fn beside(script: &Path) -> String {
    format!("--chdir={}", script.parent().unwrap_or(Path::new("/")).display())
}

/// Submits more engines. The export waits for them, too.
fn add(settings: &Settings, engines: u32) -> anyhow::Result<Exit> {
    let mut jobs = Jobs::read_some(settings)?;
    let job = queue::submit(&jobs.script, &[beside(&jobs.script), format!("--array=0-{}", engines - 1)])?;
    outln!("submitted {} as job {job}", count(engines as usize, "engine", "engines"));
    jobs.engines.push(job);
    jobs.write(settings)?;
    let waits = jobs.export.as_ref().is_some_and(|export| queue::wait_for(export, &jobs.engines).is_ok());
    if !waits {
        // The first export has begun without the new engines.
        submit_export(&mut jobs)?;
        jobs.write(settings)?;
    }
    Ok(Exit::Done)
}

/// Ends the engines after their videos in progress, or as `scancel` does.
fn stop(settings: &Settings, now: bool) -> anyhow::Result<Exit> {
    let jobs = Jobs::read_some(settings)?;
    let there = queue::queued(&jobs.all())?;
    if there.is_empty() {
        outln!("none of the jobs is in the queue");
        return Ok(Exit::Done);
    }
    // First the export: it would start when the engines have ended.
    queue::cancel(&jobs.export.iter().cloned().collect::<Vec<_>>(), false).or_else(ignore_ended)?;
    if now {
        queue::cancel(&jobs.engines, false)?;
        outln!("cancelled the jobs; Slurm ends them within its KillWait");
    } else {
        queue::cancel(&jobs.engines, true).or_else(ignore_ended)?;
        queue::interrupt(&jobs.engines).or_else(ignore_ended)?;
        outln!("the engines finish the videos in progress and end; `reeldeck slurm status` shows them");
    }
    Ok(Exit::Done)
}

/// `scancel` fails for jobs that have ended.
fn ignore_ended(error: crate::slurm::SlurmError) -> Result<(), crate::slurm::SlurmError> {
    match error {
        crate::slurm::SlurmError::Failed { .. } => Ok(()),
        other => Err(other),
    }
}

/// Prints each job in the queue, and what the engines say.
fn status(settings: &Settings) -> anyhow::Result<Exit> {
    let jobs = Jobs::read_some(settings)?;
    let there = queue::queued(&jobs.all())?;
    if there.is_empty() {
        outln!("none of the jobs is in the queue; `reeldeck status` shows how the last run ended");
        return Ok(Exit::Done);
    }
    outln!("{:<14} {:<11} {:<12} {:>11}  what", "job", "state", "node", "left");
    for queue::Queued { id, state, node, left, reason } in there {
        let is_export = jobs.export.as_ref() == Some(&id);
        let what = if is_export { "export" } else { "engine" };
        let what = if state == "PENDING" { format!("{what}, waits: {reason}") } else { what.to_owned() };
        outln!("{id:<14} {state:<11} {node:<12} {left:>11}  {}", printable(&what));
    }
    super::status::run_status(settings)
}

/// Puts the job of this process back into the queue after a run that was stopped; for scripts whose engines share a job.
fn requeue(code: u8) -> anyhow::Result<Exit> {
    let exit = Exit::of_code(i32::from(code)).ok_or_else(|| {
        ExitError::new(Exit::Usage, format!("{code} is no exit code of reeldeck; `reeldeck --help` lists them"))
    })?;
    if exit != Exit::Interrupted {
        return Ok(exit);
    }
    let job = Job::of_this_process()
        .ok_or_else(|| ExitError::new(Exit::Usage, "this process is in no Slurm job; use it in a batch script"))?;
    queue::requeue(&job.name).context("failed to queue the job again; submit it again to resume")?;
    errln!("note: job {} is queued again", job.name);
    Ok(Exit::Done)
}

impl Jobs {
    fn path(settings: &Settings) -> PathBuf {
        Layout::new(&settings.out, "").private().join("slurm.json")
    }

    /// Those of an output folder; none where nothing was submitted.
    fn read(settings: &Settings) -> anyhow::Result<Self> {
        let path = Self::path(settings);
        let failed = || format!("failed to read {}; remove it if its jobs have ended", shown(&path));
        match bounded::read(&path, MAX_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(failed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(failed),
        }
    }

    fn read_some(settings: &Settings) -> anyhow::Result<Self> {
        let jobs = Self::read(settings)?;
        if jobs.engines.is_empty() {
            let message = format!(
                "no job was submitted for {}; `reeldeck slurm submit` submits the script of `reeldeck slurm init`",
                shown(&settings.out)
            );
            return Err(ExitError::new(Exit::Usage, message).into());
        }
        Ok(jobs)
    }

    fn write(&self, settings: &Settings) -> anyhow::Result<()> {
        let (path, text) = (Self::path(settings), serde_json::to_string(self)?);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .and_then(|()| atomic::write(&path, &Owner::this_process(), |writer| writeln!(writer, "{text}")))
            .with_context(|| format!("failed to write {}", shown(&path)))
    }

    fn all(&self) -> Vec<String> {
        self.engines.iter().chain(&self.export).cloned().collect()
    }
}
