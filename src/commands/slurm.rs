//! `reeldeck slurm`: writes the scripts, submits them, and shows, adds and stops the engines of an output folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use reeldeck_common::atomic::{self, Owner, Sweeper};
use reeldeck_common::bounded;
use reeldeck_common::layout::Layout;
use reeldeck_common::video::printable;

use crate::cli::{SlurmCommand, SlurmInitArgs};
use crate::config::{FILE, Settings};
use crate::dataset::shown;
use crate::discovery;
use crate::error::{Exit, ExitError};
use crate::out::{count, errln, outln};
use crate::slurm::options::line_of_clusters;
use crate::slurm::script::{ENGINE_LOG, EXPORT_LOG, Request};
use crate::slurm::{Job, Jobs, cluster, queue};

/// The largest script that is read, in bytes. Slurm takes 4 MB.
const MAX_SCRIPT: u64 = 16 << 20;

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
    for path in [&program, &config, &std::path::absolute(&args.script)?] {
        text_of(path)?;
    }
    let request = Request { nodes, tasks: args.engines, gpu, program: &program, config: &config, root: &settings.root };
    let scripts = [(args.script.clone(), request.engines()), (export_of(&args.script), request.export())];
    if settings.dry_run {
        scripts.iter().for_each(|(path, text)| outln!("# {}\n{text}", shown(path)));
        return Ok(Exit::Done);
    }
    write_new(&scripts)?;
    errln!("next: read them, then `reeldeck slurm submit {}`", shown(&args.script));
    Ok(Exit::Done)
}

/// Writes all scripts, or none.
fn write_new(scripts: &[(PathBuf, String)]) -> anyhow::Result<()> {
    let exists = |path: &Path| {
        let next = "--script names another file, --dry-run prints the scripts";
        ExitError::new(Exit::Usage, format!("{} exists and is kept; {next}", shown(path)))
    };
    if let Some((path, _)) = scripts.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(exists(path).into());
    }
    for (index, (path, text)) in scripts.iter().enumerate() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Removes what an earlier command has left that was killed.
        let written = atomic::sweep_folder(folder, &Sweeper::of_command())
            .and_then(|()| atomic::write_new(path, &Owner::this_process(), |writer| writer.write_all(text.as_bytes())));
        let Err(error) = written else { continue };
        for (path, _) in &scripts[..index] {
            let _ = fs::remove_file(path);
        }
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => exists(path).into(),
            _ => {
                let message = format!("failed to write {}; check space and permissions", shown(path));
                anyhow::Error::from(error).context(ExitError::new(Exit::Usage, message))
            }
        });
    }
    scripts.iter().for_each(|(path, _)| errln!("wrote {}", shown(path)));
    Ok(())
}

/// A path that a script names, or that Slurm gets.
fn text_of(path: &Path) -> anyhow::Result<&str> {
    path.to_str().ok_or_else(|| {
        let message = format!("{}: not UTF-8 text, which a batch script needs; rename or move it", shown(path));
        ExitError::new(Exit::Usage, message).into()
    })
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

/// Refuses a script whose jobs would be on other clusters. Ids are those of one cluster, so no command would find the jobs.
fn check_clusters(script: &Path) -> anyhow::Result<()> {
    let bytes = bounded::read(script, MAX_SCRIPT).with_context(|| format!("failed to read {}", shown(script)))?;
    match line_of_clusters(&String::from_utf8_lossy(&bytes)) {
        None => Ok(()),
        Some(line) => {
            let message = format!(
                "{}, line {line}: --clusters may send the jobs to a cluster where `reeldeck slurm` does not find them; remove the option, \
                 and submit on a login node of that cluster",
                shown(script)
            );
            Err(ExitError::new(Exit::Usage, message).into())
        }
    }
}

/// Submits the engines, and the export that follows them.
fn submit(settings: &Settings, script: &Path) -> anyhow::Result<Exit> {
    let script = fs::canonicalize(script)
        .with_context(|| format!("failed to open {}; `reeldeck slurm init` writes it", shown(script)))
        .context(ExitError::new(Exit::Usage, "nothing was submitted"))?;
    text_of(&script)?;
    for script in [&script, &export_of(&script)].into_iter().filter(|script| script.is_file()) {
        check_clusters(script)?;
    }
    let private = Layout::new(&settings.out, "").private();
    fs::create_dir_all(&private).with_context(|| format!("failed to create {}", shown(&private)))?;
    let _held = Jobs::lock(&settings.out)?;
    let mut jobs = Jobs::read(&settings.out)?;
    if !queue::queued(&jobs.all())?.is_empty() {
        let message = "jobs of this output folder are in the queue; `reeldeck slurm add N` adds engines, \
                       `reeldeck slurm stop` ends them";
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    let engines = queue::submit(text_of(&script)?, &beside(&script, ENGINE_LOG)?)?;
    outln!("submitted the engines as job {engines}");
    jobs = Jobs { script, engines: vec![engines], export: None };
    // The engines are recorded even if the export is refused.
    jobs.write(&settings.out)?;
    submit_export(settings, &mut jobs)?;
    Ok(Exit::Done)
}

/// Submits the export after all engines, and records it.
fn submit_export(settings: &Settings, jobs: &mut Jobs) -> anyhow::Result<()> {
    let script = export_of(&jobs.script);
    if !script.is_file() {
        errln!("note: there is no {}; run `reeldeck export` when the engines have ended", shown(&script));
        return Ok(());
    }
    let mut options = beside(&script, EXPORT_LOG)?;
    options.push(format!("--dependency={}", queue::after(&jobs.engines)));
    let export = queue::submit(text_of(&script)?, &options)
        .context("failed to submit the export; run `reeldeck export` when the engines have ended")?;
    outln!("submitted the export as job {export}; it starts when all engines have ended");
    jobs.export = Some(export);
    jobs.write(&settings.out)
}

/// Options that put the log beside the script, whatever the current folder is.
fn beside(script: &Path, log: &str) -> anyhow::Result<Vec<String>> {
    let folder = text_of(script.parent().unwrap_or(Path::new("/")))?;
    let mut options = vec![format!("--chdir={folder}")];
    // Slurm also replaces patterns such as %A in the folder of a log, but not in --chdir.
    if folder.contains('%') {
        options.push(format!("--output={}/{log}", folder.replace('%', "%%")));
    }
    Ok(options)
}

/// Submits more engines. The export waits for them, too.
fn add(settings: &Settings, engines: u32) -> anyhow::Result<Exit> {
    let _held = Jobs::lock(&settings.out)?;
    let mut jobs = read_some(settings)?;
    let (script, export) = (jobs.script.clone(), export_of(&jobs.script));
    for script in [Some(&script), Some(&export).filter(|export| export.exists())].into_iter().flatten() {
        Jobs::check_script(&settings.out, script)?;
        check_clusters(script)?;
    }
    let mut options = beside(&script, ENGINE_LOG)?;
    options.push(format!("--array=0-{}", engines - 1));
    let job = queue::submit(text_of(&script)?, &options)?;
    outln!("submitted {} as job {job}", count(engines as usize, "engine", "engines"));
    jobs.engines.push(job);
    jobs.write(&settings.out)?;
    match jobs.export.as_ref().map(|export| (export, queue::wait_for(export, &jobs.engines))) {
        Some((_, Ok(()))) => {}
        Some((export, Err(error))) if !error.is_of_ended_jobs() => {
            let next = "when they have ended, run `reeldeck export`";
            let message = format!("the export, job {export}, does not wait for the new engines; {next}");
            return Err(anyhow::Error::from(error).context(message));
        }
        // There is no export, or it has ended without the new engines.
        _ => submit_export(settings, &mut jobs)?,
    }
    Ok(Exit::Done)
}

/// Ends the engines after their videos in progress, or as `scancel` does.
fn stop(settings: &Settings, now: bool) -> anyhow::Result<Exit> {
    let _held = Jobs::lock(&settings.out)?;
    let jobs = read_some(settings)?;
    let there = queue::queued(&jobs.all())?;
    if there.is_empty() {
        outln!("none of the jobs is in the queue");
        return Ok(Exit::Done);
    }
    // First the export: it would start when the engines have ended.
    queue::cancel(&jobs.export.iter().cloned().collect::<Vec<_>>(), false)?;
    if now {
        queue::cancel(&jobs.engines, false)?;
        outln!("cancelled the jobs; Slurm ends them within its KillWait");
    } else {
        queue::cancel(&jobs.engines, true)?;
        queue::interrupt(&jobs.engines)?;
        outln!("the engines finish the videos in progress and end; `reeldeck slurm status` shows them");
    }
    Ok(Exit::Done)
}

/// Prints each job in the queue, and what the engines say.
fn status(settings: &Settings) -> anyhow::Result<Exit> {
    let jobs = read_some(settings)?;
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

/// The jobs of an output folder, of which there is one at least.
fn read_some(settings: &Settings) -> anyhow::Result<Jobs> {
    let jobs = Jobs::read(&settings.out)?;
    if jobs.engines.is_empty() {
        let message = format!(
            "no job was submitted for {}; `reeldeck slurm submit` submits the script of `reeldeck slurm init`",
            shown(&settings.out)
        );
        return Err(ExitError::new(Exit::Usage, message).into());
    }
    Ok(jobs)
}
