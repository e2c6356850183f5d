//! The configuration file: its sections, their defaults, and the checks of their values.

use std::path::{Path, PathBuf};

use reeldeck_common::limits::Limits;
use serde::{Deserialize, Serialize};

use super::{EngineSection, TuiSection, WatchSection};
use crate::dataset::scan::{EXTENSIONS, FolderLayout, ScanRules, is_partial_extension};
use crate::dataset::video_list::LabelStyle;
use crate::format::Format;

/// The content of a configuration file. `config.example.toml` explains each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "config.example.toml is the one place that explains the keys")]
pub struct Config {
    pub root: PathBuf,
    pub out: PathBuf,
    pub recipe: String,
    pub checkpoint: String,
    pub devices: String,
    pub scan: ScanSection,
    pub list: ListSection,
    pub engine: EngineSection,
    pub manifest: ManifestSection,
    pub worker: WorkerSection,
    pub limits: Limits,
    pub batch: BatchSection,
    pub export: ExportSection,
    pub tui: TuiSection,
    pub cuda: CudaSection,
    pub watch: WatchSection,
    pub details: DetailsSection,
}

/// `[export]`: what trainers read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSection {
    pub live: Vec<Format>,
}

/// `[cuda]`: workers on GPUs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CudaSection {
    pub torch: PathBuf,
    pub nvdec: NvdecUse,
    pub nvdec_streams: usize,
    pub graphs: bool,
}

/// Which decoder serves a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NvdecUse {
    /// The CPU.
    #[default]
    Off,
    /// The CPU and NVDEC.
    Share,
}

/// `[details]`: what is shown of a single video.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetailsSection {
    pub class_names: PathBuf,
}

/// `[scan]`: what counts as a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanSection {
    pub extensions: Vec<String>,
    pub layout: FolderLayout,
}

/// `[list]`: the list of videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListSection {
    pub label_style: LabelStyle,
}

/// `[manifest]`: what should be in the dataset folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestSection {
    pub path: PathBuf,
    pub prefix: String,
    pub tolerance_s: f64,
}

/// `[worker]`: how each worker uses the machine; 0 lets it choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerSection {
    pub threads: usize,
    pub decoders: usize,
    pub prefetch_frames: usize,
    pub batch: usize,
    pub stall_timeout_s: u64,
}

/// `[batch]`: runs without a terminal interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    pub plain_interval_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: "data".into(),
            out: "out".into(),
            recipe: "slowonly-r50-8x8-k700".into(),
            checkpoint: String::new(),
            devices: "cpu".into(),
            scan: ScanSection::default(),
            list: ListSection::default(),
            engine: EngineSection::default(),
            manifest: ManifestSection::default(),
            worker: WorkerSection::default(),
            limits: Limits::default(),
            batch: BatchSection::default(),
            export: ExportSection::default(),
            tui: TuiSection::default(),
            cuda: CudaSection::default(),
            watch: WatchSection::default(),
            details: DetailsSection::default(),
        }
    }
}

impl Default for ScanSection {
    fn default() -> Self {
        Self { extensions: EXTENSIONS.iter().map(ToString::to_string).collect(), layout: FolderLayout::Auto }
    }
}

impl ScanSection {
    /// The rules of a scan.
    pub(crate) fn rules(&self) -> ScanRules {
        ScanRules { extensions: self.extensions.clone(), layout: self.layout }
    }
}

impl Default for ManifestSection {
    fn default() -> Self {
        Self { path: PathBuf::new(), prefix: "v_".into(), tolerance_s: 2.0 }
    }
}

impl Default for WorkerSection {
    fn default() -> Self {
        Self { threads: 0, decoders: 0, prefetch_frames: 0, batch: 0, stall_timeout_s: 300 }
    }
}

impl Default for BatchSection {
    fn default() -> Self {
        Self { plain_interval_s: 15 }
    }
}

/// The most threads of a worker.
pub(super) const MAX_THREADS: f64 = 1024.0;

/// The most clips per forward pass.
pub(super) const MAX_BATCH: f64 = 1024.0;

/// Checks the range of a number.
pub(super) fn within(key: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    let fits = (least..=most).contains(&value);
    if fits { Ok(()) } else { Err(format!("{key} = {value}: must be {least} to {most}")) }
}

impl Config {
    /// Checks the values. Returns the extensions in lower case.
    pub(super) fn check(&self) -> Result<Vec<String>, String> {
        for (key, path) in [("root", &self.root), ("out", &self.out)] {
            if path.as_os_str().is_empty() {
                return Err(format!("{key} = \"\": must name a folder"));
            }
        }
        let paths = [
            ("root", self.root.as_path()),
            ("out", &self.out),
            ("recipe", Path::new(&self.recipe)),
            ("checkpoint", Path::new(&self.checkpoint)),
            ("manifest.path", &self.manifest.path),
            ("details.class_names", &self.details.class_names),
            ("cuda.torch", &self.cuda.torch),
        ];
        if let Some((key, path)) = paths.into_iter().find(|(_, path)| super::has_tilde(path)) {
            let path = path.display();
            return Err(format!("{key} = \"{path}\": `~` is not expanded in this file; write the whole path"));
        }
        if self.manifest.prefix.contains(|c: char| c == '/' || c.is_control()) {
            return Err(format!("manifest.prefix = {:?}: must be the beginning of a file name", self.manifest.prefix));
        }
        let Self { worker: w, limits: l, batch: b, .. } = self;
        within("manifest.tolerance_s", self.manifest.tolerance_s, 0.0, 1e9)?;
        within("worker.threads", w.threads as f64, 0.0, MAX_THREADS)?;
        within("worker.decoders", w.decoders as f64, 0.0, 256.0)?;
        within("worker.prefetch_frames", w.prefetch_frames as f64, 0.0, 10_000.0)?;
        within("worker.batch", w.batch as f64, 0.0, MAX_BATCH)?;
        within("cuda.nvdec_streams", self.cuda.nvdec_streams as f64, 0.0, 64.0)?;
        within("worker.stall_timeout_s", w.stall_timeout_s as f64, 1.0, 86_400.0)?;
        within("engine.linger_s", self.engine.linger_s as f64, 0.0, 86_400.0)?;
        within("engine.kill_wait_s", self.engine.kill_wait_s as f64, 0.0, 86_400.0)?;
        within("watch.settle_s", self.watch.settle_s as f64, 0.0, 86_400.0)?;
        within("watch.poll_s", self.watch.poll_s as f64, 1.0, 86_400.0)?;
        within("limits.megapixels", l.megapixels, 0.01, 1000.0)?;
        within("limits.frames", l.frames as f64, 1.0, 1e9)?;
        within("limits.duration_s", l.duration_s, 1.0, 1e9)?;
        within("limits.wall_s", l.wall_s as f64, 1.0, 1e9)?;
        within("limits.memory_mib", l.memory_mib as f64, 0.0, 1e9)?;
        within("batch.plain_interval_s", b.plain_interval_s as f64, 1.0, 86_400.0)?;
        if let Some(format) = self.export.live.iter().find(|format| !format.is_a_file_a_video()) {
            let name = format.name();
            return Err(format!(
                "export.live: {name:?} is one file for all videos; \"csv\", \"npy\" and \"npz\" can be"
            ));
        }
        if self.scan.extensions.is_empty() {
            return Err("scan.extensions = []: no file would be a video".into());
        }
        let check_one = |extension: &String| {
            if let Some(bare) = extension.strip_prefix('.') {
                return Err(format!("scan.extensions: {extension:?}: write {bare:?}, without the dot"));
            }
            if extension.is_empty() || !extension.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(format!("scan.extensions: {extension:?}: letters and digits only"));
            }
            let lower = extension.to_ascii_lowercase();
            if is_partial_extension(&lower) {
                return Err(format!("scan.extensions: {extension:?}: such files are incomplete downloads"));
            }
            Ok(lower)
        };
        self.scan.extensions.iter().map(check_one).collect()
    }
}
