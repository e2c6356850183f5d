"""Compares SlowFast's features with those of MMAction2's own modules and pipeline, with seeded weights.

usage: check_slowfast.py REELDECK DIR [DEPTH…]

For each depth (default 50 and 101), builds the network of MMAction2's published config, gives it seeded weights, saves them as MMAction2
does, extracts a generated video with the built-in recipe, and computes the same windows with MMAction2. Prints a row of a table for each and
exits with 1 if a difference is above the limit. Needs the Python of `scripts/peer.sh`.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import cv2
import decord
import mmaction
import numpy as np
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmaction.utils import register_all_modules
from mmengine.config import Config

# The limit of docs/PARITY.md.
MOST = 2e-4
CONFIGS = pathlib.Path(mmaction.__file__).parent / ".mim/configs/recognition/slowfast"
RECIPES = pathlib.Path(__file__).resolve().parent.parent / "assets/recipes"
# The rate of the recipes, so that resampling changes nothing.
FPS = 15
FRAMES = 64


def make_video(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (426, 320))
    noise = np.random.default_rng(2).integers(0, 255, (320, 426, 3), dtype=np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 4)
    for frame in range(FRAMES):
        writer.write(np.roll(noise, (3 * frame, 5 * frame), (0, 1)))
    writer.release()


def frames(path):
    """RGB frames as MMAction2's DecordDecode reads them."""
    reader = decord.VideoReader(str(path), num_threads=1)
    return np.stack([reader[index].asnumpy() for index in range(len(reader))])


def seeded(depth):
    """MMAction2's network of the config with running statistics that are not the trivial ones."""
    [config] = CONFIGS.glob(f"slowfast_r{depth}_*8x8x1-256e_kinetics400-rgb.py")
    config = Config.fromfile(config)
    torch.manual_seed(depth)
    config.model.backbone.pretrained = None
    model = MODELS.build(config.model)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter) if parameter.ndim > 2 else torch.nn.init.normal_(parameter, 0, 0.05)
        # Sums of many blocks stay as small as those of trained networks.
        elif name.endswith("conv3.bn.weight"):
            torch.nn.init.uniform_(parameter, 0.1, 0.3)
    # MMEngine's `eval` of a wrapped module returns nothing.
    model.eval()
    return model, config


@torch.no_grad()
def theirs(model, config, pictures, starts, length):
    # The config's test takes three crops; the recipe takes the centre.
    steps = [dict(type="Resize", scale=(-1, 256)), dict(type="CenterCrop", crop_size=256), config.test_pipeline[-2]]
    steps = [TRANSFORMS.build(step) for step in steps]
    pooled, logits = [], []
    for start in starts:
        item = dict(imgs=list(pictures[start:start + length]), num_clips=1, clip_len=length, modality="RGB",
                    original_shape=pictures.shape[1:3], img_shape=pictures.shape[1:3])
        for step in steps:
            item = step(item)
        batch = model.data_preprocessor(dict(inputs=[torch.from_numpy(item["imgs"])], data_samples=None))["inputs"]
        slow, fast = model.backbone(batch[0] if batch.ndim == 6 else batch)
        head = model.cls_head
        rows = torch.cat([head.avg_pool(fast), head.avg_pool(slow)], 1).flatten(1)
        pooled.append(rows[0].numpy())
        logits.append(head((slow, fast))[0].numpy())
    return np.stack(pooled), np.stack(logits)


def feature(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    tensor = lambda name: np.frombuffer(data[8 + length:][slice(*header[name]["data_offsets"])], "<f4").reshape(header[name]["shape"])
    return tensor("pooled"), tensor("logits")


def main():
    reeldeck, work = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    depths = [int(depth) for depth in sys.argv[3:]] or [50, 101]
    register_all_modules(init_default_scope=True)
    shutil.rmtree(work, ignore_errors=True)
    (work / "data/A").mkdir(parents=True)
    video = work / "data/A/v_seeded.mp4"
    make_video(video)
    failed = False
    print("| network | clips | max abs pooled | max abs logits | largest values |\n|---|---|---|---|---|", flush=True)
    for depth in depths:
        model, config = seeded(depth)
        checkpoint = work / f"r{depth}.pth"
        torch.save({"state_dict": model.state_dict(), "meta": {}}, checkpoint)
        text = (RECIPES / f"slowfast-r{depth}-32x8.toml").read_text()
        # Seeded weights have another digest than the published ones.
        text = text[:text.index("[checkpoint]")] + text[text.index("[damage]"):]
        recipe = work / f"r{depth}.toml"
        recipe.write_text(text.replace('outputs = ["pooled"]', 'outputs = ["pooled", "logits"]'))
        out = work / f"out{depth}"
        subprocess.run([reeldeck, "-q", "extract", "--root", work / "data", "--out", out, "--recipe", recipe, "--checkpoint", checkpoint],
                       check=True)
        [path] = out.glob("features/*/A/*.safetensors")
        ours = feature(path)
        sampling = types.SimpleNamespace(length=32, stride=8)
        starts = range(0, FRAMES - sampling.length + 1, sampling.stride)
        reference = theirs(model, config, frames(video), starts, sampling.length)
        assert [part.shape for part in ours] == [part.shape for part in reference], [part.shape for part in ours + reference]
        most = [np.abs(a - b).max() for a, b in zip(ours, reference)]
        failed |= max(most) > MOST
        print(f"| SlowFast-R{depth} | {len(starts)} | {most[0]:.1e} | {most[1]:.1e} | "
              f"{np.abs(reference[0]).max():.2f}, {np.abs(reference[1]).max():.2f} |", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
