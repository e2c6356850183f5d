//! Files that are not checkpoints, or that have changed, are refused with a helpful message.

use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use reeldeck_common::error::ErrorKind;
use reeldeck_model::network::Network;
use reeldeck_model::{ModelError, checkpoint, seeded};

use crate::memory;
use crate::support::{model, transform};

fn network() -> Network {
    Network::new(&model(50, [0, 0, 1, 1]))
}

fn whole() -> Vec<u8> {
    let mut out = Cursor::new(vec![]);
    checkpoint::write(&mut out, &network(), &seeded::weights(&network())).unwrap();
    out.into_inner()
}

fn refused(path: &Path, digest: &str) -> ModelError {
    checkpoint::load(path, digest, &network(), &transform(64)).unwrap_err()
}

/// The chain of error messages for a file of these bytes with the expected digest.
fn complaint(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    fs::write(&path, bytes).unwrap();
    let error = refused(&path, &reeldeck_common::digest::sha256(bytes));
    assert_eq!(error.kind(), ErrorKind::Internal);
    let mut text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[test]
fn a_changed_file_is_refused_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    let mut bytes = whole();
    let digest = reeldeck_common::digest::sha256(&bytes);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = refused(&path, &digest);
    assert!(matches!(error, ModelError::Changed { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(&digest) && text.contains(&reeldeck_common::digest::sha256(&bytes)) && text.contains("changed"),
        "{text}"
    );
}

#[test]
fn digests_are_sha256() {
    assert_eq!(
        reeldeck_common::digest::sha256(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn other_kinds_of_files_are_identified() {
    let page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n".repeat(50);
    for (bytes, says) in [
        (b"".as_slice(), "the file is empty"),
        (page.as_bytes(), "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (&[0; 4096], "begins with zeros"),
        (b"PK", "download did not finish"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0", "not one that `torch.save` writes"),
    ] {
        let text = complaint(bytes);
        assert!(text.contains("failed to read the checkpoint") && text.contains(says), "{says}: {text}");
    }
}

/// The directory of a zip file is at its end.
#[test]
fn a_truncated_file_is_refused() {
    let whole = whole();
    for length in [100, whole.len() / 3, whole.len() / 2, whole.len() - 1000, whole.len() - 1] {
        let text = complaint(&whole[..length]);
        assert!(text.contains("download it again") || text.contains("did not finish"), "{length}: {text}");
    }
}

/// The digest does not detect damage from before it was computed.
#[test]
fn damage_does_not_cause_a_panic() {
    let whole = whole();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    for step in 0..60 {
        let mut bytes = whole.clone();
        let at = bytes.len() * step / 60;
        let end = bytes.len().min(at + 40);
        bytes[at..end].iter_mut().for_each(|b| *b = b.wrapping_mul(31).wrapping_add(step as u8));
        fs::write(&path, &bytes).unwrap();
        let _ = checkpoint::load(&path, &reeldeck_common::digest::sha256(&bytes), &network(), &transform(64));
    }
}

/// A legacy file with a dict of `count` expanded tensors, all of whose numbers are the single stored one.
fn expanded(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.}(".to_vec();
    for number in 0..count {
        let name = name(number);
        out.extend([b"U", [name.len() as u8].as_slice(), name.as_bytes()].concat());
        out.extend(b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\0");
        out.extend(b"J\x40\x42\x0f\0K\x04\x86K\0K\0\x86tR");
    }
    [&out, b"u.](U\x010e.".as_slice(), &1_u64.to_le_bytes(), &[0; 4]].concat()
}

/// Each tensor has 16 MB of numbers, which are not needed to see that it does not fit.
#[test]
fn expanded_tensors_that_do_not_fit_are_not_decoded() {
    let entries = network().entries();
    let unexpected = expanded(1000, |number| format!("surplus.{number}"));
    let wrong_shape = expanded(entries.len(), |number| entries[number].0.clone());
    let doubled = expanded(300, |number| format!("{}{}", "module.".repeat(number % 2), entries[number / 2].0));
    let mean = expanded(1, |_| "data_preprocessor.mean".into());
    for (bytes, says) in [
        (unexpected, "1000 unexpected"),
        (wrong_shape, "of the wrong shape: backbone.conv1.conv.weight [1000000, 4] instead of "),
        (doubled, "150 of the wrong shape"),
        (mean, "it was trained with mean of 4000000 channels instead of 3"),
    ] {
        let (peak, text) = memory::peak(|| complaint(&bytes));
        assert!(text.contains(says), "{says}: {text}");
        assert!(peak < 256 * bytes.len() + 1_000_000, "{says}: {} bytes took {peak}", bytes.len());
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&folder.path().join("gone.pth"), "0");
    assert!(error.to_string().contains("gone.pth"), "{error}");
    let error = refused(folder.path(), "0");
    assert!(error.to_string().contains("failed to read the checkpoint"), "{error}");
}
