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
    names, jobs = [], []
    for size, frames, bf in wanted(full):
        name = f"Closed/v_{size}_{frames}_{'b' if bf else 'p'}.mp4"
        names.append(name)
        if (root / name).exists():
            continue
        width, height = SIZES[size]
        # Closed groups of pictures: in open ones decord, and so MMAction2, serves shifted frames after a seek.
        options = {"preset": "veryfast", "crf": "26", "g": "150", "bf": str(bf), "flags": "+cgop"}
        video = {"width": width, "height": height, "frames": frames, "options": options, "seed": len(names)}
        jobs.append({"file": str(root / f"{name}.part.mp4"), "video": video})
    for job in jobs:
        print(f"generating {Path(job['file']).name} …", flush=True)
        subprocess.run([probe, "synth"], input=json.dumps([job]).encode(), check=True)
        Path(job["file"]).rename(job["file"].removesuffix(".part.mp4"))
    return names
