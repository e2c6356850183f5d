//! Configuration snippets for features of windows at a stride: they tell the trainer the time of each row.
//!
//! Row `i` stands for the frame `i × stride + span / 2`, at the recipe's rate if it resamples, otherwise at the video's own.

use std::path::Path;

use reeldeck_common::recipe::{Placement, Sampling};

use super::{ExportJob, ExportSpec, HDF5_FILE, inventory, quoted, with_slash};
use crate::format::{Axes, Format};

/// What the snippets say of a feature set.
struct Facts<'a> {
    set: &'a str,
    folder: &'a Path,
    dims: usize,
    stride: usize,
    span: u64,
    fps: Option<f64>,
    /// What names of files begin with, and names in annotations do not.
    prefix: &'static str,
}

/// The snippets of the trainers that read this export; `None` if the recipe spreads its clips.
pub(super) fn snippets(job: &ExportJob<'_>, spec: &ExportSpec, folder: &Path) -> Option<Vec<(&'static str, String)>> {
    let Sampling { placement: Placement::Windows { stride, fps, .. }, .. } = job.recipe.sampling else { return None };
    let has_prefix = job.videos.iter().all(|video| inventory::id(&video.name).starts_with("v_"));
    let facts = Facts {
        set: job.layout.set(),
        folder,
        dims: job.recipe.columns(spec.output),
        stride,
        span: job.recipe.sampling.span(),
        fps,
        prefix: if has_prefix { "v_" } else { "" },
    };
    let opentad = |ending: &str| {
        [
            ("opentad.py", facts.fill(&OPENTAD.replace("{FORMAT}", ending))),
            ("opentad_annotations.py", facts.fill(OPENTAD_ANNOTATIONS)),
        ]
    };
    let actionformer = |features: &Path, ending: &str| {
        [
            ("actionformer.yaml", facts.actionformer(features, ending)),
            ("actionformer.py", facts.fill(ACTIONFORMER_ANNOTATIONS)),
        ]
    };
    Some(match (spec.format, spec.axes) {
        (Format::Npy, Axes::Tc) => [opentad("npy"), actionformer(folder, ".npy")].concat(),
        (Format::Npz, Axes::Tc) => opentad("npz").into(),
        (Format::H5, Axes::Tc) => actionformer(&folder.join(HDF5_FILE), "").into(),
        // MMAction2's localizers need as many rows of every video, and the other trainers read clips × channels only.
        (Format::Csv | Format::Pkl, _) | (_, Axes::Ct) => vec![],
    })
}

impl Facts<'_> {
    fn fill(&self, template: &str) -> String {
        // Without a rate of its own, OpenTAD takes that of the annotations.
        let fps = self.fps.map_or_else(|| "-1".to_owned(), |fps| fps.to_string());
        template
            .replace("{SET}", self.set)
            .replace("{FOLDER}", &quoted(&with_slash(self.folder)))
            .replace("{D}", &self.dims.to_string())
            .replace("{STRIDE}", &self.stride.to_string())
            .replace("{SPAN}", &self.span.to_string())
            .replace("{OFFSET}", &(self.span / 2).to_string())
            .replace("{FPS}", &fps)
            .replace("{PREFIX}", self.prefix)
    }

    fn actionformer(&self, features: &Path, ending: &str) -> String {
        let annotations = self.folder.join("actionformer.json");
        let default_fps = self.fps.map_or_else(|| "~".to_owned(), |fps| fps.to_string());
        let template = ACTIONFORMER
            .replace("{FEATURES}", &quoted(&features.display().to_string()))
            .replace("{ANNOTATIONS}", &quoted(&annotations.display().to_string()))
            .replace("{ENDING}", &quoted(ending))
            .replace("{DEFAULT_FPS}", &default_fps)
            .replace("{PREFIX}", if self.prefix.is_empty() { "~" } else { self.prefix });
        self.fill(&template)
    }
}

const OPENTAD: &str = r#"# OpenTAD, datasets on the features {SET}. First run opentad_annotations.py. Put this beside the other files in
# configs/_base_/datasets/ and name it in the _base_ of a configuration, with projection=dict(in_channels={D}) and
# max_seq_len equal to pad_len below. Write the names of your subsets into the table.
_base_ = []

data_path = {FOLDER}
# opentad_annotations.py makes these two.
annotation_path = data_path + "opentad.json"
class_map = data_path + "category_idx.txt"

pad_len = 2304

# Row i is a window of {SPAN} frames that begins at frame {STRIDE} × i; offset_frames is its middle.
window = dict(feature_stride={STRIDE}, sample_stride=1, offset_frames={OFFSET}, fps={FPS})

load = dict(type="LoadFeats", feat_format="{FORMAT}", prefix="{PREFIX}")
order = dict(type="Rearrange", keys=["feats"], ops="t c -> c t")

dataset = {
    part: dict(
        type="AnetPaddingDataset",
        ann_file=annotation_path,
        subset_name=subset,
        class_map=class_map,
        data_path=data_path,
        filter_gt=part == "train",
        test_mode=part == "test",
        pipeline=[load, dict(type="ConvertToTensor", keys=["feats"] + truth), fit, order,
                  dict(type="Collect", inputs="feats", keys=["masks"] + truth)],
        **window,
    )
    for part, subset, truth, fit in [
        ("train", "training", ["gt_segments", "gt_labels"],
         dict(type="RandomTrunc", trunc_len=pad_len, trunc_thresh=0.5, crop_ratio=[0.9, 1.0])),
        ("val", "validation", ["gt_segments", "gt_labels"], dict(type="Padding", length=pad_len)),
        ("test", "validation", [], dict(type="Padding", length=pad_len)),
    ]
}

evaluation = dict(
    type="mAP",
    subset="validation",
    tiou_thresholds=[0.3, 0.4, 0.5, 0.6, 0.7],
    ground_truth_filename=annotation_path,
)
"#;

const OPENTAD_ANNOTATIONS: &str = r#"# The annotations as OpenTAD reads them, of the videos that have a feature here:
#   python3 THIS_FILE ANNOTATIONS.json
# makes opentad.json and category_idx.txt beside this one. OpenTAD turns seconds into frames by `frame` and `duration`,
# which become those of the video files.
import json
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "dataset.json")) as file:
    have = {video["id"]: video for video in json.load(file)["videos"]}
with open(sys.argv[1]) as file:
    document = json.load(file)
annotated = document["database"]
kept = {}
for name, video in annotated.items():
    own = have.get("{PREFIX}" + name)
    if own and own["duration_s"]:
        kept[name] = {**video, "frame": own["frames"], "duration": own["duration_s"]}
classes = sorted({one["label"] for video in kept.values() for one in video["annotations"]})
document["database"] = kept
with open(os.path.join(folder, "opentad.json"), "w") as file:
    json.dump(document, file)
with open(os.path.join(folder, "category_idx.txt"), "w", encoding="utf8") as file:
    file.writelines(name + "\n" for name in classes)
subsets = sorted({video["subset"] for video in kept.values()})
print(f"opentad.json: {len(kept)} of {len(annotated)} videos, {len(classes)} classes, subsets {', '.join(subsets)}")
"#;

const ACTIONFORMER_ANNOTATIONS: &str = r#"# The annotations as ActionFormer reads them, of the videos that have a feature here:
#   python3 THIS_FILE ANNOTATIONS.json
# makes actionformer.json beside this one. Each annotation gets a label_id, the class's place in the alphabet, and each
# video the frame rate of its file.
import json
import os
import sys

folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "dataset.json")) as file:
    have = {video["id"]: video for video in json.load(file)["videos"]}
with open(sys.argv[1]) as file:
    document = json.load(file)
annotated = document["database"]
kept = {}
for name, video in annotated.items():
    own = have.get("{PREFIX}" + name)
    if own and own["fps"]:
        kept[name] = {**video, "fps": own["fps"]}
classes = sorted({one["label"] for video in kept.values() for one in video["annotations"]})
for video in kept.values():
    for one in video["annotations"]:
        one["label_id"] = classes.index(one["label"])
document["database"] = kept
with open(os.path.join(folder, "actionformer.json"), "w") as file:
    json.dump(document, file)
subsets = sorted({video["subset"].lower() for video in kept.values()})
print(f"actionformer.json: {len(kept)} of {len(annotated)} videos; write num_classes: {len(classes)}, and "
      f"train_split and val_split of {', '.join(subsets)}")
"#;

const ACTIONFORMER: &str = r#"# ActionFormer on the features {SET}: python train.py THIS_FILE --output reeldeck
dataset_name: anet
# actionformer.py says how many classes there are and which subsets.
train_split: ['training']
val_split: ['validation']
dataset: {
  # actionformer.py makes it.
  json_file: {ANNOTATIONS},
  feat_folder: {FEATURES},
  # What names of files begin with, and names in the annotations do not.
  file_prefix: {PREFIX},
  file_ext: {ENDING},
  num_classes: 200,
  input_dim: {D},
  # Row i is a window of num_frames frames that begins at frame feat_stride × i, at default_fps; without it (~), at the
  # rate that actionformer.py writes for each video.
  feat_stride: {STRIDE},
  num_frames: {SPAN},
  default_fps: {DEFAULT_FPS},
  trunc_thresh: 0.5,
  crop_ratio: [0.9, 1.0],
  max_seq_len: 2304,
  force_upsampling: False,
}
model: {
  fpn_type: identity,
  max_buffer_len_factor: 6.0,
  n_mha_win_size: 19,
}
opt: { learning_rate: 0.0001, epochs: 30, weight_decay: 0.05 }
loader: { batch_size: 2 }
train_cfg: { init_loss_norm: 100, clip_grad_l2norm: 1.0, cls_prior_prob: 0.01, center_sample: radius,
  center_sample_radius: 1.5 }
test_cfg: { voting_thresh: 0.7, pre_nms_topk: 2000, max_seg_num: 200, min_score: 0.001, multiclass_nms: True,
  nms_sigma: 0.5, duration_thresh: 0.05 }
output_folder: ./ckpt/
"#;
