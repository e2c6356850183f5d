//! Checks reeldeck's programs, and through them FFmpeg and libtorch. Each runs in a process of its own, so that `doctor` still
//! works when a library is broken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reeldeck_common::about::{Probe, Worker};
use reeldeck_process::Program;
use serde::de::DeserializeOwned;

use super::Area;
use crate::discovery::{self, AskError, ProgramError, ask};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// libtorch starts in a quarter of a second; a machine with a slow disk takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Checks the programs. Returns the libraries of FFmpeg and libtorch that they load.
pub(super) fn look(area: &mut Area<'_>) -> Vec<String> {
    let own = std::env::current_exe().map_or_else(|error| error.to_string(), |path| path.display().to_string());
    area.ok("reeldeck", format!("{VERSION}, {own}"));
    let mut libraries = vec![];
    if let Some(probe) = about::<Probe>(area, "reeldeck-probe", discovery::probe(), &[], ffmpeg_help) {
        same_release(area, "reeldeck-probe", &probe.version);
        ffmpeg(area, &probe);
        libraries.extend(probe.libraries);
    }
    if let Some(worker) = about::<Worker>(area, "reeldeck-worker", discovery::worker(), &["speeds"], libtorch_help) {
        same_release(area, "reeldeck-worker", &worker.version);
        libtorch(area, &worker);
        libraries.extend(worker.libraries);
    }
    libraries
}

fn same_release(area: &mut Area<'_>, name: &'static str, version: &str) {
    if version == VERSION {
        area.ok(name, version);
    } else {
        let found = format!("{version}, and reeldeck is {VERSION}");
        area.missing(name, found, "install all of reeldeck's programs from one release");
    }
}

fn about<T: DeserializeOwned>(
    area: &mut Area<'_>,
    name: &'static str,
    program: Result<PathBuf, ProgramError>,
    more: &[&str],
    help: fn(&Path, &str) -> String,
) -> Option<T> {
    let program = match program {
        Ok(program) => program,
        Err(error) => {
            area.missing(name, error.to_string(), "build them with `make build`, or unpack the whole archive");
            return None;
        }
    };
    let about =
        Program { arguments: [&["about"], more].concat().iter().map(Into::into).collect(), ..Program::new(&program) };
    match ask(&about, TIMEOUT) {
        Ok(answer) => return Some(answer),
        Err(error @ AskError::Unexpected { .. }) => {
            area.missing(name, in_words(error), "install all of reeldeck's programs from one release");
        }
        Err(error) => {
            let is_from_outside = matches!(&error, AskError::Ended { exit, .. } if exit.is_from_outside());
            let why = in_words(error);
            let next = match is_from_outside {
                true => "check that enough memory is free, then try again".into(),
                false => help(&program, &why),
            };
            area.missing(name, why, next);
        }
    }
    None
}

fn in_words(error: AskError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// The dynamic loader names the missing library; this says where to get it.
fn ffmpeg_help(_: &Path, why: &str) -> String {
    if why.contains("libav") || why.contains("libsw") {
        return "FFmpeg's libraries are not those that this was built with: use the archive, which contains FFmpeg, or \
                build again on this system (`make build`)"
            .into();
    }
    common_help(why)
}

fn libtorch_help(program: &Path, why: &str) -> String {
    let lib = program.with_file_name("lib");
    if ["libtorch", "libc10", "libgomp", "libcudart", "libcupti", "torch"].iter().any(|name| why.contains(name)) {
        return format!(
            "libtorch is missing or broken: unpack the whole archive again, which has it in {}, or in the source folder run \
             `rm -r vendor/libtorch; make setup`",
            lib.display()
        );
    }
    ffmpeg_help(program, why)
}

fn common_help(why: &str) -> String {
    if why.contains("GLIBC") {
        return "this system's C library is older than the one that this was built for: build from source here".into();
    }
    "unpack the whole archive again, or build again with `make build`".into()
}

fn ffmpeg(area: &mut Area<'_>, probe: &Probe) {
    area.ok("FFmpeg", format!("{} ({})", probe.ffmpeg, probe.license));
    let (right, wrong): (Vec<_>, Vec<_>) = probe.decoders.iter().partition(|decoder| decoder.wrong.is_none());
    let names = |of: &[&reeldeck_common::about::Decoder]| {
        of.iter().map(|decoder| decoder.codec.as_str()).collect::<Vec<_>>().join(", ")
    };
    if !right.is_empty() {
        area.ok("decoders", format!("{}: a sample of each gives the right pixels", names(&right)));
    }
    for decoder in wrong {
        let found = format!("{}: {}", decoder.codec, decoder.wrong.as_deref().unwrap_or_default());
        area.warning(
            "decoders",
            found,
            format!("videos in {} will fail; use an FFmpeg that decodes it", decoder.codec),
        );
    }
    match probe.nvdec.as_slice() {
        [] => {
            area.note("hardware decoding", "this FFmpeg was built without NVDEC; videos are decoded on the processor")
        }
        codecs => area.note("hardware decoding", format!("built in for NVDEC: {}", codecs.join(", "))),
    }
}

fn libtorch(area: &mut Area<'_>, worker: &Worker) {
    let place = worker.library.as_deref().unwrap_or("(of unknown place)");
    match &worker.found {
        Some(found) if !found.starts_with(&worker.built_for) => area.missing(
            "libtorch",
            format!("{found} in {place}, and this was built for {}", worker.built_for),
            format!("put libtorch {} there, or unset LD_LIBRARY_PATH", worker.built_for),
        ),
        _ => area.ok("libtorch", format!("{}, {place}", worker.built_for)),
    }
    match &worker.wrong {
        None => area.ok("arithmetic", format!("a convolution gives the right numbers; {} threads", worker.threads)),
        Some(why) => {
            area.missing("arithmetic", why.clone(), "this libtorch gives wrong results here: use another build")
        }
    }
    for (precision, speed) in &worker.speeds {
        let found = format!("{speed:.2} times the speed of fp32 with a small ResNet on this processor");
        let name = precision.name();
        match *speed >= 1.0 {
            true => area.ok(name, format!("{found}; see docs/RECIPES.md about its errors")),
            false => area.note(name, format!("{found}: fp32 is faster and more exact")),
        }
    }
    if !worker.onednn {
        area.warning(
            "oneDNN",
            "this libtorch was built without it",
            "use a build with oneDNN, for which reeldeck is made; `reeldeck tune` measures the speed of this one",
        );
    }
}
