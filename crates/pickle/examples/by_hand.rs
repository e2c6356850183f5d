//! Reads and writes files for `scripts/check_pickle.py`, which compares the results with PyTorch's.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use reeldeck_pickle::checkpoint::{CheckpointFile, TensorData, TensorEntry, write_checkpoint};
use reeldeck_pickle::map::MappedFile;
use reeldeck_pickle::results::{Results, ResultsWriter, Sample};

const USAGE: &str =
    "usage: by_hand checkpoint|results FILE VALUES | copy-checkpoint FILE COPY | write-checkpoint|write-results FILE";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}{}", error.source().map(|cause| format!(": {cause}")).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["checkpoint", file, values] => read_checkpoint(Path::new(file), Path::new(values)),
        ["results", file, values] => read_results(Path::new(file), Path::new(values)),
        ["copy-checkpoint", file, copy] => copy_checkpoint(Path::new(file), Path::new(copy)),
        ["write-checkpoint", file] => make_checkpoint(Path::new(file)),
        ["write-results", file] => make_results(Path::new(file)),
        _ => Err(USAGE.into()),
    }
}

/// Prints type, shape and name of each tensor, and writes all elements as floats to `values`.
fn read_checkpoint(file: &Path, values: &Path) -> Result<(), Box<dyn Error>> {
    let file = CheckpointFile::open(file)?;
    let checkpoint = file.read()?;
    let state_dict = checkpoint.state_dict()?;
    let mut out = BufWriter::new(File::create(values)?);
    for (name, tensor) in &state_dict.tensors {
        println!("{}\t{:?}\t{name}", tensor.dtype().name(), tensor.shape());
        for value in tensor.to_f32() {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    out.flush()?;
    for (name, why) in &state_dict.skipped {
        eprintln!("skipped {name}: {why}");
    }
    Ok(())
}

/// Prints label and shape of each video, and writes all scores to `values`.
fn read_results(file: &Path, values: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = MappedFile::open(file)?;
    let mut out = BufWriter::new(File::create(values)?);
    for sample in Results::parse(&bytes)?.samples() {
        let sample = sample?;
        println!("{:?}\t{:?}", sample.label, sample.shape);
        for value in sample.scores {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Copies the state dict of a checkpoint, with integers as 64-bit integers and everything else as 32-bit floats.
fn copy_checkpoint(file: &Path, copy: &Path) -> Result<(), Box<dyn Error>> {
    let file = CheckpointFile::open(file)?;
    let tensors = file.state_dict()?;
    let floats: Vec<Vec<f32>> = tensors.iter().map(|(_, tensor)| tensor.to_f32()).collect();
    let ints: Vec<Option<Vec<i64>>> = tensors.iter().map(|(_, tensor)| tensor.to_i64().ok()).collect();
    let entries = tensors.iter().zip(&floats).zip(&ints).map(|(((name, tensor), floats), ints)| TensorEntry {
        name,
        shape: tensor.shape(),
        data: ints.as_ref().map_or(TensorData::F32(floats), |ints| TensorData::I64(ints)),
    });
    write_checkpoint(BufWriter::new(File::create(copy)?), "state_dict", entries, &[])?;
    Ok(())
}

/// Element `index` of tensor `tensor`. The script uses the same formula.
fn element(tensor: usize, index: usize) -> f32 {
    (index % 1000) as f32 * 0.1 - tensor as f32
}

fn make_checkpoint(file: &Path) -> Result<(), Box<dyn Error>> {
    let weight: Vec<f32> = (0..64 * 3 * 7 * 7).map(|index| element(0, index)).collect();
    let bias = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0];
    let entries = [
        TensorEntry { name: "backbone.conv1.conv.weight", shape: &[64, 3, 1, 7, 7], data: TensorData::F32(&weight) },
        TensorEntry { name: "cls_head.fc_cls.bias", shape: &[4], data: TensorData::F32(&bias) },
        TensorEntry { name: "bn.num_batches_tracked", shape: &[], data: TensorData::I64(&[i64::MIN]) },
        TensorEntry { name: "nothing", shape: &[0, 3], data: TensorData::F32(&[]) },
        TensorEntry { name: "größe", shape: &[1, 2], data: TensorData::I64(&[-1, 1]) },
    ];
    let meta = [("experiment_name", "by_hand"), ("note", "zwölf\nlines")];
    write_checkpoint(BufWriter::new(File::create(file)?), "state_dict", entries, &meta)?;
    println!("{} bytes", fs::metadata(file)?.len());
    Ok(())
}

fn make_results(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut writer = ResultsWriter::new(BufWriter::new(File::create(file)?))?;
    for video in 0..3 {
        let scores: Vec<f32> = (0..100 * 700).map(|index| element(video, index * 7919)).collect();
        let label = video as i64 * 1000 - 1;
        writer.push(&Sample { scores: &scores, clips: 100, classes: 700, label, img_shape: (256, 256) })?;
    }
    writer.finish()?;
    println!("{} bytes", fs::metadata(file)?.len());
    Ok(())
}
