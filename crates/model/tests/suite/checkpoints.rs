//! Tests of valid checkpoints, and of checkpoints for another network.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

use reeldeck_common::recipe::Transform;
use reeldeck_model::network::Network;
use reeldeck_model::seeded;
use reeldeck_model::weights::Weights;
use reeldeck_model::{ModelError, checkpoint};
use reeldeck_pickle::checkpoint::{TensorData, TensorEntry, write_checkpoint};
use tempfile::TempDir;

use crate::support::{model, transform};

/// The tensors of a file: name, shape, numbers.
type Entries = Vec<(String, Vec<usize>, Vec<f32>)>;

fn network() -> Network {
    Network::new(&model(50, [0, 0, 1, 1]))
}

fn entries(network: &Network) -> Entries {
    let weights = seeded::weights(network);
    network
        .entries()
        .into_iter()
        .map(|(name, shape)| (name.clone(), shape, weights.get(&name).unwrap().data.clone()))
        .collect()
}

fn file(entries: &Entries) -> Vec<u8> {
    let entries = entries.iter().map(|(name, shape, data)| TensorEntry { name, shape, data: TensorData::F32(data) });
    write_checkpoint(Cursor::new(vec![]), "state_dict", entries, &[("epoch", "150")]).unwrap().into_inner()
}

fn load(bytes: &[u8]) -> Result<Weights, ModelError> {
    let (_folder, path) = saved(bytes);
    checkpoint::load(&path, &reeldeck_common::digest::sha256(bytes), &network(), &transform(64))
}

fn saved(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The reason in the error for a file of these tensors. Checks the rest of the message.
fn misfit(entries: &Entries) -> String {
    let error = load(&file(entries)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("model.pth does not fit the recipe's model: "), "{text}");
    match error {
        ModelError::Misfit { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn written_checkpoints_are_loaded() {
    for network in [network(), Network::new(&model(101, [0, 1, 1, 1]))] {
        let weights = seeded::weights(&network);
        let mut out = Cursor::new(vec![]);
        checkpoint::write(&mut out, &network, &weights).unwrap();
        let bytes = out.into_inner();
        let (_folder, path) = saved(&bytes);
        let loaded =
            checkpoint::load(&path, &reeldeck_common::digest::sha256(&bytes), &network, &transform(64)).unwrap();
        assert!(loaded == weights);
        let mut again = Cursor::new(vec![]);
        checkpoint::write(&mut again, &network, &loaded).unwrap();
        assert!(again.into_inner() == bytes);
    }
}

/// The published file has 320 entries, including a counter of training steps for each of the 53 normalisations.
#[test]
fn a_written_file_has_every_entry_of_the_original() {
    let mut out = Cursor::new(vec![]);
    checkpoint::write(&mut out, &network(), &seeded::weights(&network())).unwrap();
    let file = reeldeck_pickle::checkpoint::CheckpointFile::from_bytes(out.into_inner()).unwrap();
    let tensors = file.state_dict().unwrap();
    assert_eq!(tensors.len(), 320);
    assert_eq!(tensors.iter().filter(|(name, _)| name.ends_with(".bn.num_batches_tracked")).count(), 53);
}

#[test]
fn the_prefix_of_distributed_training_is_removed() {
    let mut all = entries(&network());
    for (name, _, _) in &mut all {
        *name = format!("module.{name}");
    }
    assert!(load(&file(&all)).unwrap() == seeded::weights(&network()));
}

#[test]
fn the_order_of_entries_does_not_matter() {
    let mut all = entries(&network());
    all.reverse();
    assert!(load(&file(&all)).unwrap() == seeded::weights(&network()));
}

fn with_normalisation(part: &str, values: &[f32]) -> Entries {
    let mut all = entries(&network());
    all.push((format!("data_preprocessor.{part}"), vec![values.len(), 1, 1], values.to_vec()));
    all
}

#[test]
fn the_normalisation_in_a_file_must_match_the_recipe() {
    let Transform { mean, std, .. } = transform(64);
    for good in [with_normalisation("mean", &mean), with_normalisation("std", &std)] {
        assert!(load(&file(&good)).unwrap() == seeded::weights(&network()));
    }
    let reason = misfit(&with_normalisation("mean", &[0.485, 0.456, 0.406]));
    assert!(reason.contains("mean [0.485, 0.456, 0.406]") && reason.contains("[123.675, 116.28, 103.53]"), "{reason}");
    // The numbers for BGR images.
    let reason = misfit(&with_normalisation("mean", &[mean[2], mean[1], mean[0]]));
    assert!(reason.contains("trained with mean"), "{reason}");
    assert!(misfit(&with_normalisation("std", &[58.395])).contains("trained with std"));
    assert!(misfit(&with_normalisation("std", &[f32::NAN; 3])).contains("trained with std"));
}

#[test]
fn missing_and_unexpected_weights_and_wrong_shapes_are_reported() {
    let mut all = entries(&network());
    all.retain(|(name, _, _)| name != "backbone.layer3.1.conv2.bn.running_var");
    assert_eq!(misfit(&all), "1 missing: backbone.layer3.1.conv2.bn.running_var");

    let mut all = entries(&network());
    all.push(("backbone.lateral.conv.weight".into(), vec![1], vec![0.0]));
    assert_eq!(misfit(&all), "1 unexpected: backbone.lateral.conv.weight");

    // The same number of values in another shape.
    let mut all = entries(&network());
    let head = all.iter_mut().find(|(name, _, _)| name == "cls_head.fc_cls.weight").unwrap();
    head.1.reverse();
    assert_eq!(misfit(&all), "1 of the wrong shape: cls_head.fc_cls.weight [128, 7] instead of [7, 128]");

    let mut all = entries(&network());
    all.retain(|(name, _, _)| !name.starts_with("cls_head"));
    for (name, _, _) in &mut all {
        *name = name.replace("backbone.", "");
    }
    let reason = misfit(&all);
    assert!(reason.starts_with("267 missing: backbone.conv1.conv.weight, backbone.conv1.bn.weight,"), "{reason}");
    assert!(reason.contains(", …; 265 unexpected: conv1.bn.bias,") && reason.len() < 300, "{reason}");
}

#[test]
fn the_file_of_another_network_is_refused() {
    let deeper = misfit(&entries(&Network::new(&model(101, [0, 0, 1, 1]))));
    assert!(deeper.starts_with("255 unexpected: backbone.layer3.10.conv1.bn.bias, "), "{deeper}");
    let other_reach = misfit(&entries(&Network::new(&model(50, [0, 0, 0, 1]))));
    assert!(
        other_reach.starts_with("6 of the wrong shape: backbone.layer3.0.conv1.conv.weight [16, 32, 1, 1, 1]"),
        "{other_reach}"
    );
    let mut wider = model(50, [0, 0, 1, 1]);
    wider.classes = 400;
    let wider = misfit(&entries(&Network::new(&wider)));
    assert!(wider.contains("cls_head.fc_cls.weight [400, 128] instead of [7, 128]"), "{wider}");
}

/// Adds training state to the pickle of a file.
fn with_training_state(bytes: Vec<u8>) -> Vec<u8> {
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let extra = [
        // 'optimizer': {'param_groups': [0.05, True, None], 'state': {0: {'step': 7}}}
        text("optimizer"),
        [b"}(".to_vec(), text("param_groups"), b"](G".to_vec(), 0.05_f64.to_be_bytes().to_vec(), b"\x88Ne".to_vec()]
            .concat(),
        [text("state"), b"}K\0}".to_vec(), text("step"), b"K\x07ssu".to_vec()].concat(),
        // 'message_hub': an object of a class that must not be looked up
        text("message_hub"),
        b"cmmengine.logging\nHistoryBuffer\n)\x81".to_vec(),
    ]
    .concat();
    let mut from = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut to = zip::ZipWriter::new(Cursor::new(vec![]));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for number in 0..from.len() {
        let mut entry = from.by_index(number).unwrap();
        let (name, mut data) = (entry.name().unwrap().into_owned(), vec![]);
        entry.read_to_end(&mut data).unwrap();
        if name.ends_with("data.pkl") {
            assert!(data.ends_with(b"u."));
            let end = data.len() - 2;
            data.splice(end..end, extra.iter().copied());
        }
        to.start_file(name, stored).unwrap();
        to.write_all(&data).unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn training_state_is_ignored() {
    let bytes = with_training_state(file(&entries(&network())));
    let read = reeldeck_pickle::checkpoint::CheckpointFile::from_bytes(bytes.clone()).unwrap();
    assert_eq!(read.read().unwrap().top_level_keys(), ["meta", "state_dict", "optimizer", "message_hub"]);
    assert!(load(&bytes).unwrap() == seeded::weights(&network()));
}
