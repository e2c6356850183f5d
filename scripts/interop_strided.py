"""Checks that trainers assign the right time to the rows of strided features. Run by scripts/interop.sh.

usage: interop_strided.py REELDECK DIR

Makes videos that are dark, and bright during an event at a known time; extracts them with seeded weights; exports them; and loads the export
with the datasets of ActionFormer and OpenTAD (ACTIONFORMER and OPENTAD name clones) through the exported snippets. The rows between which
the feature changes must be those to which the trainer assigns the start and the end of the event. Then each trains for one iteration.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import numpy as np
import torch

reeldeck, work = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()

# Frame rate, seconds of the video, start and end of the event in seconds.
VIDEOS = {"dark_25": (25, 12.0, 3.2, 7.6), "dark_30": (30, 11.0, 5.0, 8.0), "dark_ntsc": (30000 / 1001, 12.0, 2.0, 6.5)}
SIZE = (320, 240)

EXTENSIONS = ("nms_1d_cpu", "Align1D", "boundary_max_pooling_cuda")

# A row may be off by this many rows: the event is bright in a part of the window's frames only.
TOLERANCE = 1.0


def make_video(path, fps, seconds, start, end):
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, SIZE)
    noise = np.random.default_rng(1)
    texture = noise.integers(0, 60, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    for frame in range(round(seconds * fps)):
        is_event = start <= frame / fps < end
        writer.write(255 - texture if is_event else texture)
    writer.release()


def run(*args):
    done = subprocess.run(list(map(str, [reeldeck, "-q", *args])), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"reeldeck {' '.join(map(str, args))} failed with {done.returncode}: {done.stderr}")


def change(rows):
    """The places, in rows, at which the features change from those of the dark part to those of the bright part and back."""
    middle = np.argmax(np.linalg.norm(rows - rows[0], axis=1))
    axis = rows[middle] - rows[0]
    share = (rows - rows[0]) @ axis / (axis @ axis)
    is_event = share > 0.5
    [first, last] = np.flatnonzero(is_event)[[0, -1]]
    assert is_event[first:last + 1].all() and not is_event[0] and not is_event[-1], share
    between = lambda a, b: a + (0.5 - share[a]) / (share[b] - share[a])
    return between(first - 1, first), between(last, last + 1)


def off(rows, segment):
    return max(abs(float(place) - float(wanted)) for place, wanted in zip(change(rows), segment))


def snippet(folder, name):
    done = subprocess.run([sys.executable, folder / name, work / "annotations.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def without_extensions():
    """Replaces C++ extensions of the trainers that only inference and other models call."""
    for name in EXTENSIONS:
        module = types.ModuleType(name)
        # What is imported from them is never called.
        module.__getattr__ = lambda _: None
        sys.modules.setdefault(name, module)


def actionformer(folder):
    sys.path.insert(0, os.environ["ACTIONFORMER"])
    without_extensions()
    from libs.core.config import load_config
    from libs.datasets import make_dataset
    from libs.modeling import make_meta_arch

    snippet(folder, "actionformer.py")
    config = load_config(str(folder / "actionformer.yaml"))
    config["dataset"]["num_classes"] = config["model"]["num_classes"] = 1
    dataset = make_dataset(config["dataset_name"], False, config["train_split"], **config["dataset"])
    most = 0.0
    for item in (dataset[index] for index in range(len(dataset))):
        most = max(most, off(item["feats"].numpy().T, item["segments"][0]))
    assert len(dataset) == len(VIDEOS) and most <= TOLERANCE, most
    training = make_dataset(config["dataset_name"], True, config["train_split"], **config["dataset"])
    model = make_meta_arch(config["model_name"], **config["model"])
    losses = model([training[index] for index in range(len(training))])
    losses["final_loss"].backward()
    assert torch.isfinite(losses["final_loss"])
    return f"{len(dataset)} videos, at most {most:.2f} rows off, loss {losses['final_loss'].item():.3f}"


def opentad(folder):
    sys.path.insert(0, os.environ["OPENTAD"])
    without_extensions()
    from mmengine.config import Config
    from opentad.datasets.builder import DATASETS
    import opentad.datasets  # noqa: F401

    snippet(folder, "opentad_annotations.py")
    config = Config.fromfile(folder / "opentad.py")
    most = 0.0
    # `val` pads and does not crop.
    part = dict(config.dataset["val"], subset_name="training")
    dataset = DATASETS.build(part)
    for item in (dataset[index] for index in range(len(dataset))):
        rows = item["inputs"].numpy().T[item["masks"].numpy().astype(bool)]
        most = max(most, off(rows, item["gt_segments"][0]))
    assert len(dataset) == len(VIDEOS) and most <= TOLERANCE, most
    note = f"{len(dataset)} videos, at most {most:.2f} rows off"
    try:
        from opentad.models import build_detector
    except ImportError as error:
        return f"{note}; no iteration, because its models cannot be imported: {error}"
    models = Config.fromfile(pathlib.Path(os.environ["OPENTAD"]) / "configs/_base_/models/actionformer.py")
    models.model.projection.in_channels = dataset[0]["inputs"].shape[0]
    models.model.projection.max_seq_len = config.pad_len
    models.model.rpn_head.num_classes = 1
    model = build_detector(models.model)
    items = [DATASETS.build(dict(config.dataset["train"]))[index] for index in range(len(VIDEOS))]
    # As its collate function does.
    batch = {key: torch.stack([item[key] for item in items]) for key in ("inputs", "masks")}
    batch |= {key: [item[key] for item in items] for key in ("gt_segments", "gt_labels", "metas")}
    losses = model(**batch, return_loss=True)
    losses["cost"].backward()
    assert torch.isfinite(losses["cost"])
    return f"{note}, loss {losses['cost'].item():.3f}"


def main():
    shutil.rmtree(work, ignore_errors=True)
    (work / "data/Bright").mkdir(parents=True)
    database = {}
    for name, video in VIDEOS.items():
        make_video(work / f"data/Bright/{name}.mp4", *video)
        _, seconds, start, end = video
        database[name] = {"subset": "training", "duration": seconds, "annotations": [{"label": "Bright", "segment": [start, end]}]}
    # ActionFormer reads a validation subset, too.
    (work / "annotations.json").write_text(json.dumps({"version": "1", "database": database}))
    failed = False
    assets = pathlib.Path(__file__).resolve().parent.parent / "assets/recipes/videomaev2-s-16x4.toml"
    recipe = assets.read_text()
    # Seeded weights have another digest than the published ones.
    recipe = recipe[: recipe.index("# The distilled model")] + recipe[recipe.index("[damage]"):]
    for name, rate in (("native", ""), ("at_15_fps", "fps = 15\n")):
        (work / f"{name}.toml").write_text(recipe.replace("stride = 4", f"{rate}stride = 4").replace("videomaev2-s-16x4", name))
        common = ["--root", work / "data", "--out", work / "out" / name, "--recipe", work / f"{name}.toml", "--checkpoint", "seeded"]
        run("extract", *common)
        run("export", *common, "--format", "npy")
        [exports] = (work / "out" / name / "exports").iterdir()
        for trainer, variable, check in (("ActionFormer", "ACTIONFORMER", actionformer), ("OpenTAD", "OPENTAD", opentad)):
            if not os.environ.get(variable):
                print(f"SKIPPED  {trainer}, strided features, {name}: {variable} does not name a clone", flush=True)
                continue
            try:
                print(f"ok       {trainer}, strided features, {name}: {check(exports / 'npy-pooled')}", flush=True)
            except Exception as error:
                failed = True
                print(f"FAIL     {trainer}, strided features, {name}: {type(error).__name__}: {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
