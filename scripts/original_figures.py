#!/usr/bin/env python3
"""Writes reference results: what the original (MMAction2's tools/data/hacs) computes for a few videos.

    original_figures.py --checkpoint X.pth --videos DIR LIST.txt --out OUT_DIR
                        [--clips N] [--base-channels 64] [--classes 700] [--save-inputs] [--inputs-only]

This script computes nothing itself. The settings are the original's own, read from the wheel
(mmaction/.mim/tools/data/hacs/slowonly_feature_infer.py); its transforms (DecordInit, SampleFrames, DecordDecode,
Resize, CenterCrop, FormatShape, PackActionInputs) run one after the other, so that the data between them can be
hashed; then its Recognizer3D runs with its ActionDataPreprocessor. Four settings differ:

- the number of clips (--clips; the original: 100), classes (--classes) and channels (--base-channels; the head then
  takes 32 times as many), so that tests can use small models;
- `test_cfg.max_testing_views` 4: four clips per forward pass instead of all; only the last bits differ;
- two threads and torch's deterministic algorithms; OpenCV without threads, as in the original's workers;
- the checkpoint must fit the model in every key. The original ignores mismatches and continues with random weights.

LIST.txt has the original's format: on each line a path below DIR and optionally a label. OUT_DIR receives

- `<Class>__<file>.npy`         f32 (clips, classes), the logits;
- `<Class>__<file>.inputs.npy`  u8 (clips, 3, 8, 256, 256), RGB, cropped, not normalised; only with --save-inputs;
- `figures.json`                the settings, the package versions, the checkpoint's sha256 and for each video:
    sha256            of the file
    total_frames      as counted by decord
    original_hw, resized_hw, crop_ltrb
    frame_indices     a list of 8 per clip
    frame_md5         of each distinct frame used: RGB24 as served by decord, by index; after a seek into an open GOP these
                      are wrong frames
    clip_md5          of each clip of the inputs, (3, 8, 256, 256)
    logits_file, first_logits   the first eight logits of the first clip

--inputs-only skips the model (no --checkpoint, no logits). Run it with a Python that has torch==2.11.0,
torchvision==0.26.0, mmengine==0.10.7, mmcv-lite==2.1.0, decord==0.6.0, opencv-python, einops, scipy and
mmaction2==1.2.0. The same machine gives the same bytes; on another CPU the logits differ in their last bits.
"""

import argparse
import hashlib
import json
import logging
import os
import platform
import sys
import time
import types
import warnings
from importlib import metadata
from pathlib import Path

# An OpenMMLab checkpoint contains more than tensors (mmengine.logging.HistoryBuffer, numpy scalars).
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
warnings.filterwarnings("ignore")

# mmaction2 1.2.0 cannot be imported without a module that its wheel lacks and one that it does not declare.
drn = types.ModuleType("mmaction.models.localizers.drn.drn")
drn.DRN = type("DRN", (), {})
sys.modules[drn.__name__] = drn
sys.modules["importlib_metadata"] = metadata

import cv2
import mmaction
import mmengine
import numpy as np
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmaction.utils import register_all_modules
from mmengine.dataset import pseudo_collate
from mmengine.runner import CheckpointLoader

CONFIG = Path(mmaction.__file__).parent / ".mim/tools/data/hacs/slowonly_feature_infer.py"
THREADS = 2
CLIPS_PER_FORWARD = 4
FIRST_LOGITS = 8


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--videos", nargs=2, type=Path, required=True, metavar=("DIR", "LIST.txt"))
    parser.add_argument("--out", type=Path, required=True, metavar="OUT_DIR")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--base-channels", type=int, default=64)
    parser.add_argument("--classes", type=int, default=700)
    parser.add_argument("--save-inputs", action="store_true")
    parser.add_argument("--inputs-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.inputs_only and arguments.checkpoint is None:
        parser.error("--checkpoint is needed, unless with --inputs-only")
    return arguments


def set_up_libraries() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    cv2.setNumThreads(0)
    logging.disable(logging.WARNING)
    register_all_modules(init_default_scope=True)


def adapted_config(clips: int, base_channels: int, classes: int) -> mmengine.Config:
    config = mmengine.Config.fromfile(CONFIG)
    sampling = next(step for step in config.test_pipeline if step.type == "SampleFrames")
    sampling.num_clips = clips
    config.model.backbone.base_channels = base_channels
    config.model.cls_head.in_channels = base_channels * 32
    config.model.cls_head.num_classes = classes
    config.model.test_cfg = dict(max_testing_views=CLIPS_PER_FORWARD)
    return config


def load_model(config: mmengine.Config, checkpoint: Path) -> torch.nn.Module:
    model = MODELS.build(config.model)
    loaded = CheckpointLoader.load_checkpoint(str(checkpoint), map_location="cpu")
    state = {key.removeprefix("module."): value for key, value in loaded.get("state_dict", loaded).items()}
    missing = model.state_dict().keys() - state.keys()
    unexpected = state.keys() - model.state_dict().keys()
    assert not missing, f"{checkpoint} lacks {sorted(missing)}"
    assert not unexpected, f"{checkpoint} has also {sorted(unexpected)}"
    model.load_state_dict(state, strict=True)
    return model.eval()


def read_list(path: Path) -> list[str]:
    videos = []
    for line in path.read_text().splitlines():
        name, _, label = line.strip().rpartition(" ")
        videos.append(name if name and label.lstrip("-").isdigit() else line.strip())
    return [video for video in videos if video]


def md5(array: np.ndarray) -> str:
    return hashlib.md5(np.ascontiguousarray(array).tobytes()).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5_by_frame(indices: np.ndarray, frames: list[np.ndarray]) -> dict[str, str]:
    served = {}
    for index, frame in sorted(zip(indices.tolist(), frames), key=lambda pair: pair[0]):
        digest = md5(frame)
        assert served.setdefault(str(index), digest) == digest, f"frame {index} was served in two versions"
    return served


def make_inputs(pipeline: list, path: Path) -> tuple[dict, dict]:
    """Runs the original's transforms on one video; returns its packed inputs and the hashes of all steps."""
    results = dict(filename=str(path), label=-1, start_index=0, modality="RGB")  # as in VideoDataset
    figures = dict(sha256=sha256(path))
    for transform in pipeline:
        results = transform(results)
        match type(transform).__name__:
            case "DecordInit":
                figures["total_frames"] = results["total_frames"]
            case "SampleFrames":
                figures["frame_indices"] = results["frame_inds"].reshape(-1, results["clip_len"]).tolist()
            case "DecordDecode":
                figures["original_hw"] = list(results["original_shape"])
                figures["frame_md5"] = md5_by_frame(results["frame_inds"], results["imgs"])
            case "Resize":
                figures["resized_hw"] = [int(side) for side in results["img_shape"]]
            case "CenterCrop":
                figures["crop_ltrb"] = results["crop_bbox"].tolist()
            case "FormatShape":
                figures["clip_md5"] = [md5(clip) for clip in results["imgs"]]
    return results, figures


@torch.no_grad()
def logits_of(model: torch.nn.Module, packed: dict) -> np.ndarray:
    [sample] = model.test_step(pseudo_collate([packed]))
    return sample.pred_score.numpy()


def made_with() -> dict:
    packages = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    return dict(
        python=platform.python_version(),
        machine=platform.machine(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        packages=dict(sorted(packages.items())),
    )


def to_json(figures: dict) -> str:
    """Indented JSON with every list of numbers on one line."""
    lists = {}

    def hide(value):
        if isinstance(value, dict):
            return {key: hide(member) for key, member in value.items()}
        if isinstance(value, list) and not any(isinstance(member, (dict, list, str)) for member in value):
            lists[mark := f"list {len(lists)}"] = json.dumps(value)
            return mark
        return [hide(member) for member in value] if isinstance(value, list) else value

    text = json.dumps(hide(figures), indent=1)
    for mark, list_text in lists.items():
        text = text.replace(f'"{mark}"', list_text, 1)
    return text + "\n"


def main() -> None:
    arguments = parse_arguments()
    directory, list_file = arguments.videos
    arguments.out.mkdir(parents=True, exist_ok=True)
    set_up_libraries()
    config = adapted_config(arguments.clips, arguments.base_channels, arguments.classes)
    pipeline = [TRANSFORMS.build(step) for step in config.test_pipeline]
    model = None if arguments.inputs_only else load_model(config, arguments.checkpoint)

    settings = dict(clips=arguments.clips, threads=THREADS)
    if model is not None:
        settings |= dict(
            base_channels=arguments.base_channels,
            classes=arguments.classes,
            clips_per_forward=CLIPS_PER_FORWARD,
            checkpoint=arguments.checkpoint.name,
            checkpoint_sha256=sha256(arguments.checkpoint),
        )
    videos = {}
    for video in read_list(list_file):
        started = time.monotonic()
        path = directory / video
        stem = f"{path.parent.name}__{path.name}"
        packed, figures = make_inputs(pipeline, path)
        if arguments.save_inputs:
            np.save(arguments.out / f"{stem}.inputs.npy", packed["inputs"].numpy())
        prepared = time.monotonic()
        if model is not None:
            logits = logits_of(model, packed)
            assert logits.dtype == np.float32 and logits.shape == (arguments.clips, arguments.classes)
            np.save(arguments.out / f"{stem}.npy", logits)
            figures["logits_file"] = f"{stem}.npy"
            figures["first_logits"] = logits[0, :FIRST_LOGITS].tolist()
        videos[video] = figures
        seconds = f"inputs {prepared - started:.1f} s, model {time.monotonic() - prepared:.1f} s"
        print(f"{video}: {figures['total_frames']} frames, {seconds}", file=sys.stderr)
    figures = dict(made_with=made_with(), settings=settings, videos=videos)
    (arguments.out / "figures.json").write_text(to_json(figures))


if __name__ == "__main__":
    main()
