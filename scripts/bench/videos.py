"""Generates the videos of the benchmark."""

import json
import subprocess
from pathlib import Path

SIZES = {"256p": (340, 256), "360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
# Without --full: every length, size and kind occurs. Only the first is used unless --limit asks for more.
SHORT = [("360p", 280, 3), ("720p", 280, 3), ("256p", 280, 0), ("360p", 60, 3), ("360p", 900, 0)]


def wanted(full: bool) -> list[tuple[str, int, int]]:
    """Size, frames, consecutive B-frames."""
    if not full:
        return SHORT
    return [(size, frames, bf) for frames in (60, 280, 900, 4500) for size in SIZES for bf in (3, 0)]


def make(probe: Path, root: Path, full: bool) -> list[str]:
    """Generates missing videos; returns names as in hacs_data.txt."""
    paths = [one(probe, root, *kind, seed=number) for number, kind in enumerate(wanted(full), 1)]
    return [str(path.relative_to(root)) for path in paths]


def one(probe: Path, root: Path, size: str, frames: int, bf: int, seed: int = 1) -> Path:
    """Generates a video, if it is missing; returns its path."""
    path = root / f"Closed/v_{size}_{frames}_{'b' if bf else 'p'}.mp4"
    if path.exists():
        return path
    width, height = SIZES[size]
    # Closed groups of pictures: in open ones decord, and so MMAction2, serves shifted frames after a seek.
    options = {"preset": "veryfast", "crf": "26", "g": "150", "bf": str(bf), "flags": "+cgop"}
    video = {"width": width, "height": height, "frames": frames, "options": options, "seed": seed}
    part = path.with_suffix(".part.mp4")
    print(f"generating {path.name} …", flush=True)
    subprocess.run([probe, "synth"], input=json.dumps([{"file": str(part), "video": video}]).encode(), check=True)
    part.rename(path)
    return path
