#!/usr/bin/env python3
"""Writes tests/golden/figures.json: what the original computes for a few generated videos with a small seeded network.

    cargo build -p reeldeck-probe -p reeldeck-worker
    PYTHON tests/golden/make.py [--bin FOLDER] [--keep FOLDER]

PYTHON is one that has the original installed; scripts/original_figures.py says which packages. FOLDER holds the two
programs (default: target/debug). Both come from this repository, but only make the inputs: reeldeck-probe draws and
encodes the videos (losslessly, so what is decoded does not depend on the encoder), reeldeck-worker writes the seeded
weights in the original's layout. Everything in figures.json was computed by the original and the libraries it uses:

- pictures_md5  of all pictures one after the other, RGB24, as decord serves them;
- indices_md5   of the frame indices, clip by clip, in decimal with commas between them;
- clip_md5      of each clip that enters the network, u8 (3, 8, 256, 256);
- logits        f32 (clips, classes) with nine significant digits, which is all that an f32 has.

With --keep the videos, the weights and the original's own output stay in a folder.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import decord
import numpy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIPS, BASE_CHANNELS, CLASSES = 10, 8, 12  # as in small.toml
PACKAGES = ["decord", "einops", "mmaction2", "mmcv-lite", "mmengine", "numpy", "opencv-python", "torch", "torchvision"]

# Relevant sizes and lengths. The name of a file says which; the description is that of `reeldeck-probe synth`.
VIDEOS = {
    "identity.mkv": dict(width=340, height=256, frames=120, seed=1),  # nothing to resize
    "odd.mkv": dict(width=321, height=258, frames=70, seed=2),  # odd width, a slight reduction
    "reduced.mkv": dict(width=480, height=270, frames=61, seed=3),  # reduced; barely longer than a clip's span of 57
    "portrait.mkv": dict(width=144, height=256, frames=30, seed=4),  # upright, enlarged; shorter than a span: wraps around
    "half.mkv": dict(width=512, height=910, frames=18, seed=5),  # exactly 2:1, which OpenCV handles separately; wraps around
    "single.avi": dict(width=352, height=288, frames=1, seed=6),  # decord refuses a single frame in Matroska
}
LOSSLESS = dict(encoder="ffv1", pixels="yuv420p", options=dict(level="3"))


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def pictures_md5(path: Path) -> str:
    digest = hashlib.md5()
    for picture in decord.VideoReader(str(path), num_threads=1):
        digest.update(picture.asnumpy().tobytes())
    return digest.hexdigest()


def figures_of(video: dict, path: Path, original: dict, logits: numpy.ndarray) -> dict:
    assert logits.dtype == numpy.float32 and logits.shape == (CLIPS, CLASSES)
    indices = [str(index) for clip in original["frame_indices"] for index in clip]
    return dict(
        video=video,
        frames=original["total_frames"],
        pictures_md5=pictures_md5(path),
        indices_md5=md5(",".join(indices).encode()),
        clip_md5=original["clip_md5"],
        logits=[[float(f"{value:.9g}") for value in clip] for clip in logits],
    )


def to_json(figures: dict) -> str:
    """Indented JSON, with the numbers of a clip and the description of a video on one line."""
    marks = {}

    def hide(value, key=None):
        if key == "video" or (isinstance(value, list) and all(isinstance(member, float) for member in value)):
            marks[mark := f"mark {len(marks)}"] = json.dumps(value)
            return mark
        if isinstance(value, dict):
            return {key: hide(member, key) for key, member in value.items()}
        return [hide(member) for member in value] if isinstance(value, list) else value

    text = json.dumps(hide(figures), indent=1)
    for mark, line in marks.items():
        text = text.replace(f'"{mark}"', line, 1)
    return text + "\n"


def make(programs: Path, folder: Path) -> dict:
    videos = {name: LOSSLESS | video for name, video in VIDEOS.items()}
    commands = []

    def run(arguments: list, **options):
        # Without the folder names of this machine.
        shown = " ".join(str(argument) for argument in arguments).replace(f"{sys.executable} ", "PYTHON ", 1)
        for long in (f"{programs}/", f"{ROOT}/", f"{folder}/"):
            shown = shown.replace(long, "")
        commands.append(shown)
        subprocess.run([str(argument) for argument in arguments], check=True, **options)

    jobs = [dict(file=str(folder / "media" / "Golden" / name), video=video) for name, video in videos.items()]
    run([programs / "reeldeck-probe", "synth"], input=json.dumps(jobs).encode())
    weights, names, out = folder / "small.pth", folder / "list.txt", folder / "out"
    run([programs / "reeldeck-worker", "write-seeded-checkpoint", HERE / "small.toml", weights])
    names.write_text("".join(f"Golden/{name} 0\n" for name in videos))
    settings = ["--clips", CLIPS, "--base-channels", BASE_CHANNELS, "--classes", CLASSES]
    script = ROOT / "scripts" / "original_figures.py"
    run([sys.executable, script, "--checkpoint", weights, "--videos", folder / "media", names, "--out", out, *settings])

    original = json.loads((out / "figures.json").read_text())
    made_with = original["made_with"]
    figures = {}
    for name, video in videos.items():
        found = original["videos"][f"Golden/{name}"]
        logits = numpy.load(out / found["logits_file"])
        figures[name] = figures_of(video, folder / "media" / "Golden" / name, found, logits)
    return dict(
        about="Computed by the original; see make.py. Never edit by hand.",
        commands=["cargo build -p reeldeck-probe -p reeldeck-worker", "PYTHON tests/golden/make.py", *commands],
        made_with=dict(
            python=made_with["python"],
            machine=made_with["machine"],
            cpu_capability=made_with["cpu_capability"],
            packages={name: made_with["packages"][name] for name in PACKAGES},
        ),
        recipe="small.toml",
        checkpoint_sha256=original["settings"]["checkpoint_sha256"],
        clips_per_forward=original["settings"]["clips_per_forward"],
        videos=figures,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "debug", metavar="FOLDER")
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        (HERE / "figures.json").write_text(to_json(make(arguments.bin.resolve(), folder)))


if __name__ == "__main__":
    main()
