//! Checks a field of the form against the disk. Checks are bounded in time and size, and run on another thread.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::machine::disk_space;
use reeldeck_common::recipe::Recipe;
use reeldeck_common::video::VideoName;
use walkdir::{DirEntry, WalkDir};

use super::{Field, Values, Verdict, expanded, place};
use crate::config::{self, Config, ConfigError, Device, DeviceList, detect};
use crate::dataset::manifest::Manifest;
use crate::dataset::scan::FolderLayout;
use crate::discovery::gpus::{self, Detected};
use crate::tui::text;
use crate::tui::window_words::in_form;

/// The limits for counting videos: a network file system can take long for each entry.
const MAX_ENTRIES: usize = 50_000;
/// How deep videos are counted.
const MAX_DEPTH: usize = 4;
/// Tests must not depend on the speed of the machine.
const MAX_DURATION: Duration = if cfg!(test) { Duration::from_secs(3600) } else { Duration::from_millis(700) };

/// The file systems of the kernel in /proc and /sys.
const VIRTUAL: [i64; 2] = [0x9fa0, 0x6265_6572];

/// A larger manifest is read when the run begins, not while its name is typed.
const MAX_MANIFEST_BYTES: u64 = 200 << 20;

mod checkpoint;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRequest {
    pub field: Field,
    /// The base of relative paths.
    pub folder: PathBuf,
    /// The home folder, which `~` stands for.
    pub home: Option<PathBuf>,
    /// All fields: a verdict can depend on another field.
    pub values: Values,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckResult {
    pub field: Field,
    pub verdict: Verdict,
    /// The manifest next to the dataset folder, which the form may offer.
    pub manifest: Option<String>,
}

pub(crate) fn check(request: &CheckRequest) -> CheckResult {
    let values = &request.values;
    let at = |text: &str| place(text, &request.folder, request.home.as_deref());
    let verdict = match request.field {
        Field::Root if values.root.is_empty() => Verdict::Wrong("name the folder of the videos".into()),
        Field::Root => root(&at(&values.root)),
        Field::Out if values.out.is_empty() => Verdict::Wrong("name a folder for the features".into()),
        Field::Out => out((!values.root.is_empty()).then(|| at(&values.root)).as_deref(), &at(&values.out)),
        Field::Checkpoint => checkpoint::check(values, &at(&values.checkpoint)),
        Field::Manifest if values.manifest.is_empty() => {
            Verdict::Fine("none: the files on disk are taken as complete".into())
        }
        Field::Manifest => manifest(&at(&values.manifest)),
        Field::Devices => devices(&values.devices, &gpus()),
        Field::Layout => layout(&values.layout),
    };
    let root = expanded(&values.root, request.home.as_deref());
    let found = (request.field == Field::Root).then(|| detect::manifest_beside(&request.folder, Path::new(&*root)));
    let manifest = found.flatten().and_then(|path| path.into_os_string().into_string().ok());
    CheckResult { field: request.field, verdict, manifest }
}

/// The number of GPUs that workers can use, or why they cannot. Asks a worker once, which may take seconds.
fn gpus() -> Result<u32, String> {
    static DETECTED: OnceLock<Result<u32, String>> = OnceLock::new();
    // On the first start there is no configuration that could name a PyTorch.
    let detect = || match gpus::detect(&Config::default().cuda.torch) {
        Ok(Detected::Gpus(count)) => Ok(count),
        Ok(Detected::None(_)) => Ok(0),
        Err(error) => Err(format!("the GPUs of this machine cannot be used: {}", error.0)),
    };
    DETECTED.get_or_init(detect).clone()
}

/// The contents of a dataset folder.
#[derive(Debug, Default, PartialEq, Eq)]
struct FolderSummary {
    /// Folders directly in it.
    folders: usize,
    videos: Vec<VideoName>,
    /// A limit was reached before the end.
    truncated: bool,
}

fn summarize(root: &Path, most: usize) -> io::Result<FolderSummary> {
    let extensions = Config::default().scan.extensions;
    let is_video = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        extension.is_some_and(|extension| extensions.contains(&extension))
    };
    let (mut summary, begun) = (FolderSummary::default(), Instant::now());
    fs::read_dir(root)?;
    let is_visible = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    let entries = WalkDir::new(root).follow_links(true).max_depth(MAX_DEPTH).into_iter().filter_entry(is_visible);
    for (number, entry) in entries.flatten().enumerate() {
        if number > most || begun.elapsed() > MAX_DURATION {
            summary.truncated = true;
            break;
        }
        let Ok(relative) = entry.path().strip_prefix(root) else { continue };
        if entry.file_type().is_dir() {
            summary.folders += usize::from(entry.depth() == 1);
        } else if is_video(relative) {
            summary.videos.extend(VideoName::from_relative_path(relative));
        }
    }
    Ok(summary)
}

fn root(path: &Path) -> Verdict {
    match fs::metadata(path) {
        Err(error) => return Verdict::Wrong(unreadable(&error)),
        Ok(metadata) if !metadata.is_dir() => {
            return Verdict::Wrong("this is a file; name the folder of the videos".into());
        }
        Ok(_) => {}
    }
    let FolderSummary { folders, videos, truncated } = match summarize(path, MAX_ENTRIES) {
        Ok(summary) => summary,
        Err(error) => return Verdict::Wrong(unreadable(&error)),
    };
    let least = if truncated { "at least " } else { "" };
    let count = |n: usize| text::plural(n as u64, "video", "videos");
    let folders = text::plural(folders as u64, "class folder", "class folders");
    let Some(layout) = FolderLayout::Auto.resolve(videos.iter()) else {
        return match videos.len() {
            0 if truncated => Verdict::Fine(format!("{least}{folders}")),
            0 => Verdict::Warn(format!("{folders}, no videos yet; videos are picked up as they arrive")),
            n => Verdict::Unclear(format!(
                "{}, but it is unclear which folders are classes: choose the layout",
                count(n)
            )),
        };
    };
    let refused = videos.iter().filter(|video| layout.refuses(video).is_some()).count();
    let taken = count(videos.len() - refused);
    let words = match layout {
        FolderLayout::Flat => format!("{least}{taken} directly in the folder"),
        FolderLayout::Split => format!("{least}{taken} in folders of splits"),
        _ => format!("{least}{folders}, {least}{taken}"),
    };
    match refused {
        0 => Verdict::Fine(words),
        n => Verdict::Warn(format!("{words}; {} elsewhere not used (see `[scan] layout`)", count(n))),
    }
}

fn layout(typed: &str) -> Verdict {
    match FolderLayout::from_str(typed, false) {
        Ok(FolderLayout::Any) => Verdict::Fine("videos at any depth; the folder of a video is its class".into()),
        Ok(FolderLayout::Auto) => Verdict::Warn("no video is used until the layout is clear".into()),
        Ok(layout) => Verdict::Warn(format!("only videos in the layout {} are used", layout.name())),
        Err(_) => Verdict::Wrong("write any, classes, flat, split or auto".into()),
    }
}

/// `root`: the dataset folder, if one is named.
fn out(root: Option<&Path>, path: &Path) -> Verdict {
    match root.map_or(Ok(()), |root| config::check_folders(root, path)) {
        Err(ConfigError::OutInRoot { .. }) => {
            return Verdict::Wrong("inside the dataset folder, which is never written to; name another folder".into());
        }
        Err(ConfigError::RootInOut { own, .. }) => {
            return Verdict::Wrong(format!("the dataset folder is inside {}, where reeldeck writes", own.display()));
        }
        Err(ConfigError::OutNotFolder { .. }) => return Verdict::Wrong("this is a file; name a folder".into()),
        Err(ConfigError::Out { source, .. }) => return Verdict::Wrong(unreadable(&source)),
        // Problems of the dataset folder are reported there.
        _ if path.exists() && !path.is_dir() => return Verdict::Wrong("this is a file; name a folder".into()),
        _ => {}
    }
    let Some(there) = path.ancestors().find(|folder| folder.is_dir()) else {
        return Verdict::Wrong("no part of the path exists".into());
    };
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK) {
        return Verdict::Wrong(format!("{} cannot be written to: {}", there.display(), io::Error::from(error)));
    }
    // Their permissions allow it to root, and the kernel refuses it.
    if rustix::fs::statfs(there).is_ok_and(|system| VIRTUAL.contains(&system.f_type)) {
        return Verdict::Wrong(format!("it cannot be created in {}, where only the kernel has files", there.display()));
    }
    let state = match (path.join(".reeldeck").is_dir(), there == path) {
        (true, _) => "an output folder already; finished features are kept",
        (_, true) => "exists",
        (_, false) => "will be created",
    };
    match disk_space(there).ok().map(|space| space.free) {
        Some(free) if free < room(1_000) => Verdict::Warn(format!(
            "{state}; only {} free (about {} per 1,000 videos)",
            text::bytes(free),
            text::bytes(room(1_000))
        )),
        Some(free) => Verdict::Fine(format!(
            "{state}; {} free (about {} per 1,000 videos)",
            text::bytes(free),
            text::bytes(room(1_000))
        )),
        None => Verdict::Fine(state.into()),
    }
}

/// The size of the features of this number of videos with the default recipe, in bytes.
fn room(videos: u64) -> u64 {
    let Ok(recipe) = Recipe::find(&Config::default().recipe) else { return 0 };
    let columns = recipe.outputs.iter().map(|output| recipe.columns(*output));
    videos * (recipe.sampling.usual_rows() * columns.sum::<usize>() * 4) as u64
}

fn manifest(path: &Path) -> Verdict {
    match fs::metadata(path) {
        Err(error) => return Verdict::Wrong(unreadable(&error)),
        Ok(metadata) if !metadata.is_file() => {
            return Verdict::Wrong("not a file; name the annotation file or the list".into());
        }
        Ok(metadata) if metadata.len() > MAX_MANIFEST_BYTES => {
            return Verdict::Warn(format!("{}: read when the run starts", text::bytes(metadata.len())));
        }
        Ok(_) => {}
    }
    match Manifest::read(path, &Config::default().manifest.prefix) {
        Ok(manifest) => {
            let videos = text::plural(manifest.len() as u64, "video", "videos");
            Verdict::Fine(match manifest.classes() {
                0 => format!("lists {videos}"),
                classes => format!("lists {videos} of {}", text::plural(classes as u64, "class", "classes")),
            })
        }
        Err(error) => Verdict::Wrong(in_form(&Failure::from_error(ErrorKind::Io, &error).line()).into_owned()),
    }
}

fn devices(typed: &str, gpus: &Result<u32, String>) -> Verdict {
    let cores = crate::allocation::cores();
    let cores = text::plural(cores as u64, "core", "cores");
    let count = *gpus.as_ref().unwrap_or(&0);
    let cards = text::plural(u64::from(count), "NVIDIA GPU", "NVIDIA GPUs");
    let workers = |count: usize| text::plural(count as u64, "worker", "workers");
    match typed.parse::<DeviceList>() {
        Err(error) => Verdict::Wrong(error),
        Ok(list)
            if !list.is_cpu_only()
                && let Err(reason) = gpus =>
        {
            Verdict::Warn(reason.clone())
        }
        Ok(DeviceList::All) if count == 0 => Verdict::Fine(format!("no NVIDIA GPU; using the CPU with {cores}")),
        Ok(DeviceList::All) => Verdict::Fine(format!("{cards}, one worker each")),
        Ok(DeviceList::These(list)) => {
            let beyond = list.iter().find(|device| matches!(device, Device::Cuda(index) if *index >= count));
            let workers = workers(list.len());
            match beyond {
                // A login node of a cluster may have none.
                Some(_) if count == 0 => Verdict::Warn("no NVIDIA GPU here: use cpu to run on this machine".into()),
                Some(device) => Verdict::Warn(format!("{device} not found: this machine has {cards}")),
                None if list.contains(&Device::Cpu) && count > 0 => {
                    Verdict::Warn(format!("{workers}, the CPU among them; this machine has {cards}"))
                }
                None if list.contains(&Device::Cpu) => Verdict::Fine(format!("{workers} on the CPU, {cores}")),
                None => Verdict::Fine(format!("{workers}; this machine has {cards}")),
            }
        }
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::UnexpectedEof => "the file is empty".into(),
        _ => format!("it cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests;
