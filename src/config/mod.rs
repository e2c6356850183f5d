//! The configuration file, and the settings that result from it and the command line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::bounded;
use reeldeck_common::layout::Layout;
use reeldeck_common::limits::Limits;
use reeldeck_common::protocol::CheckpointSource;
use reeldeck_common::recipe::{BUILT_IN, Recipe, RecipeError};
use reeldeck_common::strict::{self, TomlError};
use xxhash_rust::xxh3::xxh3_64;

use crate::dataset::scan::ScanRules;
use crate::dataset::shown;
use crate::dataset::state::Accepted;
use crate::dataset::video_list::LabelStyle;
use crate::error::{Exit, ExitError};
use crate::fetch;
use crate::format::Format;
use crate::progress::Meter;

pub(crate) mod detect;
mod device;
pub(crate) mod edit;
mod engine;
mod file;
mod folders;
pub(crate) mod measurements;
mod overrides;
mod tui;

pub(crate) use device::GPU_BATCH;
pub use device::{Device, DeviceList};
pub(crate) use engine::{EngineSection, QueueOrder, WatchMode, WatchSection};
pub(crate) use file::WorkerSection;
pub use file::{Config, NvdecUse};
pub(crate) use folders::{check_folders, check_out};
pub use overrides::Overrides;
pub(crate) use tui::{ImageProtocol, KeyChoice, Notification, Progress, THEMES, TuiSection};

/// The default configuration file, in the current folder.
pub(crate) const FILE: &str = "config.toml";

/// The maximum size of a configuration file, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read the configuration {path}; name an existing file with --config, or leave the option out")]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Toml(#[from] TomlError),
    #[error("{place}: {message}")]
    Value { place: String, message: String },
    #[error("failed to load the recipe that {place} names")]
    Recipe { place: String, source: RecipeError },
    #[error(
        "failed to open the dataset folder {path}; mount its disk, or name the folder that holds the videos with --root"
    )]
    Root { path: PathBuf, source: io::Error },
    #[error("the dataset folder {path} is not a folder; name the folder that holds the videos with --root")]
    RootNotFolder { path: PathBuf },
    #[error("failed to resolve the output folder {path}; name another one with --out")]
    Out { path: PathBuf, source: io::Error },
    #[error("the output folder {path} is not a folder; name another one with --out")]
    OutNotFolder { path: PathBuf },
    #[error(
        "the output folder {out} lies in the dataset folder {root}, which is never written to; name another one with --out"
    )]
    OutInRoot { out: PathBuf, root: PathBuf },
    #[error("the dataset folder {root} lies in {own}, where reeldeck writes; name another output folder with --out")]
    RootInOut { root: PathBuf, own: PathBuf },
    #[error(
        "{link} is a link to {target}, outside of the output folder, and nothing is written there; replace it by a folder, or \
         name another output folder with --out"
    )]
    LinkInOut { link: PathBuf, target: PathBuf },
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// How much to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Problems only.
    Quiet,
    /// The default.
    Normal,
    /// More.
    Verbose,
}

/// The settings of a command. The command line overrides the configuration file, which overrides the defaults. Everything but
/// the folders is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The configuration file that was read, if any.
    pub config_file: Option<PathBuf>,
    /// The dataset folder, absolute.
    pub root: PathBuf,
    /// The output folder, absolute.
    pub out: PathBuf,
    /// What to extract.
    pub recipe: Recipe,
    /// The recipe's built-in name or the absolute path of its file.
    pub recipe_source: String,
    /// The weights: an absolute path or an address. `None` if the user chose none. Not checked.
    pub checkpoint: Option<CheckpointSource>,
    /// The devices that compute.
    pub devices: DeviceList,
    /// The maximum number of videos.
    pub limit: Option<usize>,
    /// Try failed videos again.
    pub retry_failed: bool,
    /// Extract changed videos again.
    pub redo_stale: bool,
    /// Videos that failed change the exit code of a Slurm job.
    pub strict: bool,
    /// Report what would be done, and change nothing.
    pub dry_run: bool,
    /// Print JSON instead of text.
    pub json: bool,
    /// How much to print.
    pub verbosity: Verbosity,
    /// What counts as a video.
    pub scan: ScanRules,
    /// The number after each video in the list.
    pub label_style: LabelStyle,
    /// The order of the videos, and how long an idle engine stays.
    pub engine: EngineSection,
    /// The manifest, an absolute path. Not checked.
    pub manifest: Option<PathBuf>,
    /// The prefix of the id in a file name.
    pub prefix: String,
    /// The allowed difference between a file's duration and the manifest's, in seconds.
    pub tolerance_s: f64,
    /// Threads, decoders and batch size of each worker.
    pub worker: WorkerSection,
    /// Limits for each video.
    pub limits: Limits,
    /// The interval of progress lines without a terminal.
    pub plain_interval: Duration,
    /// Formats that are exported during the run, one file per video.
    pub live: Vec<Format>,
    /// The terminal interface.
    pub tui: TuiSection,
    /// The PyTorch whose CUDA libraries are used. Empty: the one that python3 imports.
    pub torch: PathBuf,
    /// Which decoder serves a GPU.
    pub nvdec: NvdecUse,
    /// The number of videos that NVDEC decodes at a time. 0: automatic.
    pub nvdec_streams: usize,
    /// Whether GPUs capture their usual passes as CUDA graphs.
    pub graphs: bool,
    /// How changes of the dataset folder are detected.
    pub watch: WatchSection,
    /// A file with the names of the network's classes.
    pub class_names: Option<PathBuf>,
}

impl Settings {
    /// A meter on standard error for long work.
    pub(crate) fn meter(&self) -> Meter {
        Meter::new(self.verbosity == Verbosity::Quiet, self.plain_interval)
    }

    /// What is accepted of a file.
    pub(crate) fn accepted(&self) -> Accepted {
        Accepted { tolerance_s: self.tolerance_s, damage: self.recipe.damage }
    }

    /// A digest of what decides on a run, by which a window knows whether an engine has its settings. The interface, the output
    /// of commands, and options for a single run are left out.
    pub(crate) fn digest(&self) -> u64 {
        let settings = Self {
            config_file: None,
            limit: None,
            retry_failed: false,
            redo_stale: false,
            strict: false,
            dry_run: false,
            json: false,
            verbosity: Verbosity::Normal,
            plain_interval: Duration::ZERO,
            tui: TuiSection::default(),
            ..self.clone()
        };
        xxh3_64(format!("{settings:?}").as_bytes())
    }

    /// Reads the configuration file and applies the command line. `current` is the current folder, absolute.
    ///
    /// # Errors
    /// When the file is missing or invalid, or a value is. [`Settings::check_folders`] checks the folders for the commands that
    /// use them.
    pub fn resolve(typed: &Overrides, current: &Path) -> Result<Self, ExitError> {
        Ok(Self::merge(typed, current)?)
    }

    fn merge(typed: &Overrides, current: &Path) -> Result<Self, ConfigError> {
        let config_file = match &typed.config {
            Some(path) => Some(current.join(path)),
            // A dangling link is an error: the user wanted a configuration.
            None => Some(current.join(FILE)).filter(|path| path.symlink_metadata().is_ok()),
        };
        let (config, place) = match &config_file {
            Some(path) => (parse(path)?.0, path.display().to_string()),
            None => (Config::default(), "defaults".into()),
        };
        typed.refuse_tilde()?;
        let folder = config_file.as_deref().and_then(Path::parent).unwrap_or(current).to_owned();
        let folder = folder.as_path();
        let bad = |place: &str, message: String| ConfigError::Value { place: place.to_owned(), message };
        // A dataset may contain a configuration and a library. Changing to its folder must not run the library.
        if typed.config.is_none() && config.cuda.torch.to_str() != Some("") && !config.cuda.torch.is_absolute() {
            let message = "[cuda] torch must be an absolute path, because its code is run and this configuration was only found in the \
                           current folder; use an absolute path, or name the configuration with --config";
            return Err(bad(&place, message.into()));
        }
        let extensions = config.check().map_err(|message| bad(&place, message))?;
        // A path in the file is relative to the file, a path on the command line to the current folder.
        let path = |typed: &Option<PathBuf>, written: &Path| match typed {
            Some(typed) => plain(&current.join(typed)),
            None => plain(&folder.join(written)),
        };
        let manifest = match &typed.manifest {
            Some(typed) => named(typed, current),
            None => named(&config.manifest.path, folder),
        };
        let (asked, recipe_folder, named_by) = match &typed.recipe {
            Some(typed) => (typed, current, "--recipe"),
            None => (&config.recipe, folder, place.as_str()),
        };
        let recipe_source = recipe(asked, recipe_folder).map_err(|message| bad(named_by, message))?;
        let recipe = Recipe::find(&recipe_source)
            .map_err(|source| ConfigError::Recipe { place: named_by.to_owned(), source })?;
        let checkpoint = match &typed.checkpoint {
            Some(typed) => checkpoint(typed, current, &recipe),
            None => checkpoint(Path::new(&config.checkpoint), folder, &recipe),
        };
        let devices = match &typed.devices {
            Some(typed) => typed.parse().map_err(|message| bad("--devices", message))?,
            None => config.devices.parse().map_err(|message| bad(&place, format!("devices: {message}")))?,
        };
        Ok(Self {
            json: typed.json,
            engine: config.engine,
            root: path(&typed.root, &config.root),
            out: path(&typed.out, &config.out),
            recipe,
            recipe_source,
            checkpoint,
            devices,
            limit: typed.limit,
            retry_failed: typed.retry_failed,
            redo_stale: typed.redo_stale,
            strict: typed.strict,
            dry_run: typed.dry_run,
            verbosity: match (typed.quiet, typed.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, false) => Verbosity::Normal,
                (false, true) => Verbosity::Verbose,
            },
            scan: ScanRules { extensions, layout: config.scan.layout },
            label_style: config.list.label_style,
            manifest,
            prefix: config.manifest.prefix,
            tolerance_s: config.manifest.tolerance_s,
            worker: config.worker,
            limits: config.limits,
            plain_interval: Duration::from_secs(config.batch.plain_interval_s),
            live: config.export.live,
            tui: config.tui,
            watch: config.watch,
            class_names: named(&config.details.class_names, folder),
            nvdec: config.cuda.nvdec,
            nvdec_streams: config.cuda.nvdec_streams,
            graphs: config.cuda.graphs,
            torch: if config.cuda.torch.as_os_str().is_empty() {
                PathBuf::new()
            } else {
                plain(&folder.join(&config.cuda.torch))
            },
            config_file,
        })
    }

    /// Checks that the dataset folder exists, and that the output folder does not overlap it.
    ///
    /// # Errors
    /// When one is no folder, or the output would be written into the dataset folder.
    pub fn check_folders(&self) -> Result<(), ExitError> {
        Ok(check_folders(&self.root, &self.out)?)
    }

    /// The same for the terminal interface and its engine, which wait for a dataset folder that is not there. Its path is taken
    /// for right if the output folder was used before.
    ///
    /// # Errors
    /// As [`Settings::check_folders`].
    pub fn check_folders_or_wait(&self) -> Result<(), ExitError> {
        match check_folders(&self.root, &self.out) {
            Err(ConfigError::Root { .. }) if Layout::new(&self.out, "").private().is_dir() => {
                Ok(check_out(&self.out).map(drop)?)
            }
            checked => Ok(checked?),
        }
    }

    /// Why the dataset folder cannot be opened, and what to do; `None` if it can.
    pub fn missing_root(&self) -> Option<String> {
        let error = fs::metadata(&self.root).err()?;
        let root = shown(&self.root);
        Some(format!(
            "the dataset folder {root} is gone ({error}); bring it back, or mount its disk again; if its path is wrong, quit \
             and correct `root`"
        ))
    }
}

/// Reads a configuration file: all settings, and the table of those that it contains.
///
/// # Errors
/// When it cannot be read or is invalid.
pub(crate) fn parse(path: &Path) -> Result<(Config, toml::Table), ConfigError> {
    let text = read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let config = strict::from_toml(&path.display().to_string(), &text)?;
    Ok((config, text.parse().unwrap_or_default()))
}

/// Reads the text of a configuration file.
fn read(path: &Path) -> io::Result<String> {
    let bytes = bounded::read(path, MAX_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => {
            io::Error::new(error.kind(), "it is a link to something that does not exist; fix or remove the link")
        }
        _ => error,
    })?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Whether a path begins with `~`, which only shells expand. Without this check it would name a folder called `~`.
fn has_tilde(path: &Path) -> bool {
    path.starts_with("~")
}

/// Removes `.` from an absolute path. `..` stays, because it may follow a link.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// The absolute path; `None` for an empty one.
fn named(asked: &Path, folder: &Path) -> Option<PathBuf> {
    (!asked.as_os_str().is_empty()).then(|| plain(&folder.join(asked)))
}

/// `published` stands for the address in the recipe. Without a name it is the module that the recipe names, if any.
fn checkpoint(asked: &Path, folder: &Path, recipe: &Recipe) -> Option<CheckpointSource> {
    if let Some(url) = asked.to_str().filter(|text| fetch::is_address(text)) {
        return Some(CheckpointSource::Url(url.to_owned()));
    }
    match asked.as_os_str().as_encoded_bytes() {
        b"" => recipe.model.module().map(|(module, _)| CheckpointSource::File(plain(&folder.join(module)))),
        b"seeded" => Some(CheckpointSource::Seeded),
        b"published" => recipe.checkpoint.url.clone().map(CheckpointSource::Url),
        _ => Some(CheckpointSource::File(plain(&folder.join(asked)))),
    }
}

/// The built-in name, or the absolute path of the file. Anything else is returned unchanged, so that the error quotes it.
fn recipe(asked: &str, folder: &Path) -> Result<String, String> {
    let file = plain(&folder.join(asked));
    let is_name = BUILT_IN.iter().any(|(name, _)| *name == asked);
    if is_name || !(asked.contains('/') || asked.ends_with(".toml") || file.is_file()) {
        return Ok(asked.to_owned());
    }
    let not_text = || format!("recipe = {asked:?}: the path of the file is not UTF-8 text; move the file");
    file.to_str().map(str::to_owned).ok_or_else(not_text)
}
