//! A worker for tests. It speaks the protocol of the real one; the text of a "video" is a list of commands for it:
//!
//! | command | effect |
//! |---|---|
//! | `ok` | writes a valid feature file with generated numbers |
//! | `crash`, `hang`, `leave` | aborts, never ends, exits |
//! | `kill` | is killed with SIGKILL, as by the kernel when memory runs out |
//! | `xcpu` | is killed with SIGXCPU, as at the limit of CPU time |
//! | `nomemory` | aborts as a program that reaches its memory limit |
//! | `garbage`, `partial` | writes an invalid line, half a line |
//! | `mute` | writes the file and crashes before it reports it |
//! | `rot` | writes a feature file with a changed bit, as a faulty disk |
//! | `nowrite` | reports success without a file |
//! | `fail KIND` | reports a failure |
//! | `once` | before one of these: misbehaves the first time only |
//! | `slow MS` | takes this long |
//! | `until FILE` | waits for a file in the working folder |
//!
//! With `FAKE_WORKER=wrong-version|fatal|crash-at-start|silent` it misbehaves before the first video.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use reeldeck_common::error::{ErrorKind, Failure};
use reeldeck_common::feature::{Feature, FrameCounts, Matrix, Provenance};
use reeldeck_common::protocol::{self, FromWorker, Init, JobId, Report, ToWorker, VERSION};
use reeldeck_common::recipe::Output;
use reeldeck_common::source::SourceStamp;
use reeldeck_common::video::VideoName;

fn say(message: &FromWorker) {
    let mut out = std::io::stdout().lock();
    out.write_all(protocol::line(message).unwrap().as_bytes()).unwrap();
    out.flush().unwrap();
}

fn main() {
    let mut lines = std::io::stdin().lines();
    let first: ToWorker = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let ToWorker::Init(init) = first else { panic!("the first message must be init") };
    let mut version = VERSION;
    match std::env::var("FAKE_WORKER").as_deref() {
        Ok("wrong-version") => version += 1,
        Ok("fatal") => {
            let failure = Failure::new(ErrorKind::Device, "this device is not what it was");
            return say(&FromWorker::Fatal { failure });
        }
        Ok("crash-at-start") => std::process::abort(),
        Ok("silent") => return,
        _ => {}
    }
    eprintln!("fake worker on {}", init.device);
    say(&FromWorker::Ready { version, device: "fake".into(), load_ms: 0 });
    for line in lines {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            ToWorker::Extract { job, video, path, feature, .. } => extract(&init, job, video, &path, &feature),
            ToWorker::Finish => return,
            ToWorker::Init(_) => panic!("a second init"),
        }
    }
}

fn extract(init: &Init, job: JobId, video: VideoName, path: &Path, feature: &Path) {
    let Ok(script) = fs::read_to_string(path) else {
        let failure = Failure::new(ErrorKind::Missing, "failed to read the file");
        return say(&FromWorker::Failed { job, failure, source: None });
    };
    let source = SourceStamp::of(&fs::metadata(path).unwrap());
    eprintln!("job {job}: {video}");
    let mut words = script.split_whitespace().peekable();
    // A marker file beside the output records that `once` has happened.
    let mark = feature.with_extension("once");
    let mut once = false;
    let (mut nowrite, mut mute, mut rot) = (false, false, false);
    while let Some(word) = words.next() {
        let skip = once && mark.exists();
        let first_time = || {
            if once {
                fs::create_dir_all(mark.parent().unwrap()).unwrap();
                fs::write(&mark, "").unwrap();
            }
        };
        match word {
            "once" => once = true,
            "nowrite" => nowrite = true,
            "mute" => mute = true,
            "slow" => sleep(Duration::from_millis(words.next().unwrap().parse().unwrap())),
            "until" => {
                let file = Path::new(words.next().unwrap());
                while !file.exists() {
                    sleep(Duration::from_millis(10));
                }
            }
            "fail" => {
                let kind = serde_json::from_value(words.next().unwrap().into()).unwrap();
                if !skip {
                    first_time();
                    let failure = Failure { kind, chain: vec!["it failed".into(), "as it was told".into()] };
                    return say(&FromWorker::Failed { job, failure, source: Some(source) });
                }
            }
            _ if skip => {}
            "rot" => {
                first_time();
                rot = true;
            }
            "crash" => {
                first_time();
                eprintln!("about to crash");
                std::process::abort();
            }
            "kill" => {
                first_time();
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
            "xcpu" => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::XCPU);
            }
            "nomemory" => {
                first_time();
                eprintln!("memory allocation of 8388608 bytes failed");
                std::process::abort();
            }
            "hang" => loop {
                sleep(Duration::from_secs(1));
            },
            "garbage" => {
                first_time();
                println!("Segmentation fault (core dumped) {{");
                sleep(Duration::from_secs(60));
            }
            "partial" => {
                first_time();
                print!("{{\"type\":\"done\",\"job\":{job}");
                std::io::stdout().flush().unwrap();
                std::process::exit(0);
            }
            "leave" => {
                first_time();
                std::process::exit(0);
            }
            _ => {}
        }
    }
    let clips = init.recipe.sampling.usual_rows();
    say(&FromWorker::Progress { job, clips: clips / 2, of: Some(clips), frames: 0 });
    if !nowrite && let Err(error) = write(init, video, source, feature) {
        let failure = Failure::from_error(ErrorKind::of_write(&error), &error);
        return say(&FromWorker::Failed { job, failure, source: Some(source) });
    }
    if rot {
        let mut bytes = fs::read(feature).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(feature, bytes).unwrap();
    }
    if mute {
        std::process::abort();
    }
    let frames = FrameCounts { expected: 10, output: 10, concealed: 0 };
    let clips = init.recipe.sampling.usual_rows();
    let report = Report { frames, clips, clips_computed: clips, decode_ms: 1, model_ms: 1, ..Report::default() };
    say(&FromWorker::Done { job, report });
}

fn write(init: &Init, video: VideoName, source: SourceStamp, path: &Path) -> std::io::Result<()> {
    let (rows, columns) = (init.recipe.sampling.usual_rows(), init.recipe.columns(Output::Logits));
    let seed = video.as_str().bytes().map(u32::from).sum::<u32>() as f32;
    let data = (0..rows * columns).map(|i| seed + i as f32).collect();
    let provenance = Provenance {
        format: Provenance::FORMAT,
        tool: "fake".into(),
        set: init.set.clone(),
        recipe: init.recipe.clone(),
        checkpoint: init.checkpoint_id.clone(),
        video,
        source,
        frames: FrameCounts { expected: 10, output: 10, concealed: 0 },
        resampled: None,
        fps: [30, 1],
        size: [4, 4],
        precision: init.recipe.precision,
        device: "cpu".into(),
        libtorch: "none".into(),
        convolutions: None,
        nvdec: false,
        expected_from: None,
    };
    let tensors = [("logits".to_owned(), Matrix { shape: [rows, columns], data })].into();
    Feature { provenance, tensors }.write(path, &init.owner)
}
