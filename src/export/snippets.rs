//! Configuration snippets beside an export, for the trainers that read it, and scripts that reduce the annotations to the
//! videos with a feature. All of these trainers stop at the first annotated video that has no feature.

use std::io::{self, Write};
use std::path::Path;

use reeldeck_common::atomic;

use super::{ExportJob, ExportSpec, HDF5_FILE, quoted, strided, with_slash};
use crate::format::{Axes, Format};

/// Writes the snippets of the trainers that read this spec.
pub(super) fn write(job: &ExportJob<'_>, spec: &ExportSpec, folder: &Path) -> io::Result<()> {
    let folder_name = std::path::absolute(folder)?;
    if let Some(snippets) = strided::snippets(job, spec, &folder_name) {
        return put(job, folder, snippets);
    }
    let facts = Facts {
        set: job.layout.set(),
        folder: &folder_name,
        dims: job.recipe.columns(spec.output),
        clips: job.recipe.sampling.usual_rows(),
    };
    let snippets = match (spec.format, spec.axes) {
        (Format::Csv, _) => vec![
            ("mmaction2_tcanet.py", facts.mmaction2("TCANet", TCANET, "feat_dim={D}, temporal_dim={T}")),
            ("mmaction2_bmn.py", facts.mmaction2("BMN", BMN, "feat_dim={D}, temporal_dim={T}")),
            ("annotations.py", facts.fill(MMACTION2_ANNOTATIONS)),
        ],
        (Format::Npy, Axes::Tc) => {
            vec![
                ("opentad.py", facts.opentad("npy")),
                ("actionformer.yaml", facts.actionformer(&folder_name, ".npy")),
                ("actionformer.py", facts.fill(ACTIONFORMER_ANNOTATIONS)),
            ]
        }
        (Format::Npz, Axes::Tc) => vec![("opentad.py", facts.opentad("npz"))],
        (Format::H5, Axes::Tc) => {
            vec![
                ("actionformer.yaml", facts.actionformer(&folder_name.join(HDF5_FILE), "")),
                ("actionformer.py", facts.fill(ACTIONFORMER_ANNOTATIONS)),
            ]
        }
        // These trainers read clips × channels only.
        (Format::Pkl, _) | (_, Axes::Ct) => vec![],
    };
    put(job, folder, snippets)
}

fn put(job: &ExportJob<'_>, folder: &Path, snippets: Vec<(&str, String)>) -> io::Result<()> {
    let write = |(name, text): (&str, String)| {
        atomic::write(&folder.join(name), job.owner, |writer| writer.write_all(text.as_bytes()))
    };
    snippets.into_iter().try_for_each(write)
}

const TCANET: &str = "mmaction::localization/tcanet/tcanet_2xb8-700x100-9e_hacs-feature.py";
const BMN: &str = "mmaction::localization/bmn/bmn_2xb8-2048x100-9e_activitynet-slowonly-k700-feature.py";

struct Facts<'a> {
    set: &'a str,
    folder: &'a Path,
    dims: usize,
    clips: usize,
}

impl Facts<'_> {
    fn fill(&self, template: &str) -> String {
        template
            .replace("{SET}", self.set)
            .replace("{FOLDER}", &quoted(&with_slash(self.folder)))
            .replace("{D}", &self.dims.to_string())
            .replace("{T}", &self.clips.to_string())
    }

    fn mmaction2(&self, name: &str, base: &str, model: &str) -> String {
        let template = MMACTION2.replace("{NAME}", name).replace("{BASE}", base).replace("{MODEL}", model);
        self.fill(&template)
    }

    fn opentad(&self, format: &str) -> String {
        self.fill(&OPENTAD.replace("{FORMAT}", format))
    }

    fn actionformer(&self, features: &Path, ending: &str) -> String {
        let annotations = self.folder.join("actionformer.json");
        let template = ACTIONFORMER
            .replace("{FEATURES}", &quoted(&features.display().to_string()))
            .replace("{ANNOTATIONS}", &quoted(&annotations.display().to_string()))
            .replace("{ENDING}", &quoted(ending));
        self.fill(&template)
    }
}

const MMACTION2: &str = r#"# MMAction2 1.x: {NAME} on the features {SET}. Train with
#   mim train mmaction2 THIS_FILE     or     python tools/train.py THIS_FILE
_base_ = ['{BASE}']

# annotations.py in this folder writes hacs_anno_train.json and hacs_anno_val.json beside the features.
features = {FOLDER}

model = dict({MODEL})
train_dataloader = dict(
    dataset=dict(ann_file=features + 'hacs_anno_train.json', data_prefix=dict(video=features)))
val_dataloader = dict(
    dataset=dict(ann_file=features + 'hacs_anno_val.json', data_prefix=dict(video=features)))
test_dataloader = val_dataloader
"#;

const MMACTION2_ANNOTATIONS: &str = r#"# Reduces annotation files to the videos that have a feature here, and writes them beside this file:
#   python3 THIS_FILE OUT/annotations/hacs_anno_*.json
import json
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "dataset.json")) as file:
    have = {video["id"] for video in json.load(file)["videos"]}
for path in sys.argv[1:]:
    with open(path) as file:
        annotated = json.load(file)
    kept = {name: video for name, video in annotated.items() if name in have}
    with open(os.path.join(folder, os.path.basename(path)), "w") as file:
        json.dump(kept, file)
    print(f"{os.path.basename(path)}: {len(kept)} of {len(annotated)} videos")
"#;

const ACTIONFORMER_ANNOTATIONS: &str = r#"# Writes actionformer.json beside this file: the annotations of the videos that have a feature here.
#   python3 THIS_FILE HACS_segments_v1.1.1.json
# Each annotation gets a label_id, the index of its class in alphabetical order.
import json
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "dataset.json")) as file:
    have = {video["id"] for video in json.load(file)["videos"]}
with open(sys.argv[1]) as file:
    document = json.load(file)
annotated = document["database"]
kept = {name: video for name, video in annotated.items() if "v_" + name in have}
classes = sorted({one["label"] for video in kept.values() for one in video["annotations"]})
for video in kept.values():
    for one in video["annotations"]:
        one["label_id"] = classes.index(one["label"])
document["database"] = kept
with open(os.path.join(folder, "actionformer.json"), "w") as file:
    json.dump(document, file)
print(f"actionformer.json: {len(kept)} of {len(annotated)} videos; set num_classes: {len(classes)}")
"#;

const OPENTAD: &str = r#"# OpenTAD: datasets with the features {SET}. Copy this file to configs/_base_/datasets/hacs-1.1.1/ and add it to _base_ of
# your configuration. Set projection=dict(in_channels={D}) there, and resize_length below to the length that the model needs.
_base_ = []
import json
import os
import pathlib

annotation_path = "data/hacs-1.1.1/annotations/HACS_segments_v1.1.1.json"
class_map = "data/hacs-1.1.1/annotations/category_idx.txt"
data_path = {FOLDER}

# The {T} rows of a video are spread evenly over it and are resized to this number.
resize_length = 224

# File names have the prefix v_, ids in the annotations do not. OpenTAD stops at the first missing file, so videos without
# a feature are excluded.
block_list = [
    name
    for name in json.loads(pathlib.Path(annotation_path).read_text())["database"]
    if not os.path.exists(f"{data_path}v_{name}.{FORMAT}")
]

dataset = {
    part: dict(
        type="AnetResizeDataset",
        ann_file=annotation_path,
        subset_name=subset,
        block_list=block_list,
        class_map=class_map,
        data_path=data_path,
        filter_gt=part == "train",
        test_mode=part == "test",
        resize_length=resize_length,
        pipeline=[
            dict(type="LoadFeats", feat_format="{FORMAT}", prefix="v_"),
            dict(type="ConvertToTensor", keys=["feats"] + truth),
            dict(type="ResizeFeat", tool="torchvision_align"),
            dict(type="Rearrange", keys=["feats"], ops="t c -> c t"),
            dict(type="Collect", inputs="feats", keys=["masks"] + truth),
        ],
    )
    for part, subset, truth in [
        ("train", "training", ["gt_segments", "gt_labels"]),
        ("val", "validation", ["gt_segments", "gt_labels"]),
        ("test", "validation", []),
    ]
}

evaluation = dict(
    type="mAP",
    subset="validation",
    tiou_thresholds=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
    ground_truth_filename=annotation_path,
)
del json, os, pathlib
"#;

const ACTIONFORMER: &str = r#"# ActionFormer on the features {SET}: python train.py THIS_FILE --output reeldeck
dataset_name: anet
train_split: ['training']
val_split: ['validation']
dataset: {
  # actionformer.py writes it from HACS_segments_v1.1.1.json.
  json_file: {ANNOTATIONS},
  feat_folder: {FEATURES},
  # File names have this prefix, ids in the annotations do not.
  file_prefix: v_,
  file_ext: {ENDING},
  num_classes: 200,
  input_dim: {D},
  # The {T} rows are spread evenly over the video, so its duration determines the stride. The frame rate cancels out, so its
  # value does not matter.
  feat_stride: -1,
  num_frames: -1,
  default_fps: 30,
  trunc_thresh: 0.5,
  crop_ratio: [0.9, 1.0],
  max_seq_len: 192,
  force_upsampling: True,
}
model: {
  fpn_type: identity,
  max_buffer_len_factor: 1.0,
  n_mha_win_size: [7, 7, 7, 7, 7, -1],
  embd_dim: 256,
  fpn_dim: 256,
  head_dim: 256,
  use_abs_pe: True,
}
opt: { learning_rate: 0.001, epochs: 10, weight_decay: 0.05 }
loader: { batch_size: 16 }
train_cfg: { init_loss_norm: 200, clip_grad_l2norm: 1.0, cls_prior_prob: 0.01, center_sample_radius: 1.5,
  label_smoothing: 0.1, droppath: 0.1, loss_weight: 2.0 }
test_cfg: { voting_thresh: 0.9, pre_nms_topk: 2000, max_seg_num: 100, min_score: 0.001, nms_sigma: 0.75,
  duration_thresh: 0.001 }
output_folder: ./ckpt/
"#;
