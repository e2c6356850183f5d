#!/usr/bin/env python3
"""Generates videos, damages some, and prints a Markdown table of the states that `scan` reports at both levels.

    scripts/states.py [--bin target/release]
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

SECONDS = 10.0
FRONT = {"movflags": "+faststart"}
# Undamaged files: number of frames at 30 per second, encoder and options.
WHOLE = {
    "v_bframes.mp4": {"frames": 300, "options": {"preset": "veryfast", "bf": "2"}},
    "v_front.mp4": {"frames": 300, "options": {"preset": "veryfast"}, "container": FRONT},
    "v_fragments.mp4": {"frames": 300, "options": {"g": "30"}, "container": {"movflags": "+frag_keyframe+empty_moov"}},
    "v_short.mp4": {"frames": 20},
    "v_one.mp4": {"frames": 1},
    "v_matroska.mkv": {"frames": 300, "options": {"preset": "veryfast"}},
    "v_vp9.webm": {"frames": 300, "encoder": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "v_old.avi": {"frames": 300, "encoder": "mpeg4"},
    "v_mpeg.ts": {"frames": 300, "options": {"preset": "veryfast"}},
}


def damaged(whole: bytes) -> dict:
    """Damaged copies of an MP4 file with its index in front, each with a description of the damage."""
    lot = random.Random(1)
    middle = len(whole) // 2
    tenth = len(whole) // 10
    at = whole.index(b"moov") - 4
    no_index = whole[:at] + whole[at + int.from_bytes(whole[at : at + 4], "big") :]
    flipped = bytearray(whole)
    for _ in range(20):
        flipped[lot.randrange(middle, len(whole))] ^= 1 + lot.randrange(255)
    return {
        "v_empty.mp4": (b"", "nothing in it"),
        "v_text.mp4": (b"<html>video unavailable</html>\n" * 40, "a web page by that name"),
        "v_no_index.mp4": (no_index[: len(no_index) * 6 // 10], "cut at 60 %, the index was at the end"),
        "v_cut.mp4": (whole[: len(whole) * 6 // 10], "cut at 60 %, the index in front"),
        "v_cut_little.mp4": (whole[: len(whole) * 98 // 100], "cut at 98 %, the index in front"),
        "v_noise.mp4": (whole[:middle] + lot.randbytes(tenth) + whole[middle + tenth :], "a tenth of it noise"),
        "v_zeros.mp4": (whole[: len(whole) * 8 // 10].ljust(len(whole), b"\0"), "the last fifth zeros"),
        "v_flips.mp4": (bytes(flipped), "20 bytes of the second half changed"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"), help="the folder of the programs")
    programs = parser.parse_args().bin.resolve()
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "data"
        folder = root / "Tai_chi"
        jobs = [{"file": str(folder / name), "video": video} for name, video in WHOLE.items()]
        folder.mkdir(parents=True)
        subprocess.run([programs / "reeldeck-probe", "synth"], input=json.dumps(jobs).encode(), check=True)
        made = {name: "whole" for name in WHOLE}
        for name, (content, what) in damaged((folder / "v_front.mp4").read_bytes()).items():
            (folder / name).write_bytes(content)
            made[name] = what
        (root / "Archery").mkdir()
        os.link(folder / "v_front.mp4", root / "Archery/v_twice.mp4")
        os.link(folder / "v_front.mp4", folder / "v_twice.mp4")
        os.link(folder / "v_front.mp4", folder / "v_longer.mp4")
        os.link(folder / "v_front.mp4", folder / "v_stranger.mp4")
        made |= {"v_twice.mp4": "whole, in two classes", "v_longer.mp4": "whole, 60 s by the manifest"}
        listed = {}
        for name in [*made, "v_nowhere.mp4"]:
            frames = WHOLE.get(name, {}).get("frames", 300)
            duration = 60.0 if name == "v_longer.mp4" else frames / 30
            annotations = [{"label": "Tai chi", "segment": [0.0, duration]}]
            listed[name[2:].rsplit(".", 1)[0]] = {"duration": duration, "subset": "training", "annotations": annotations}
        made |= {"v_stranger.mp4": "whole, not in the manifest", "v_nowhere.mp4": "in the manifest, not on disk"}
        manifest = Path(work) / "manifest.json"
        manifest.write_text(json.dumps({"database": listed}))
        an_hour_ago = time.time() - 3600
        for path in root.glob("*/*"):
            os.utime(path, (an_hour_ago, an_hour_ago))
        states = []
        for level in ("--quick", "--deep"):
            command = [programs / "reeldeck", "scan", level, "--json", "--root", root, "--out", f"{work}/out"]
            done = subprocess.run([*command, "--manifest", manifest], capture_output=True, text=True)
            assert done.returncode == 3, done
            found = {}
            for video in json.loads(done.stdout)["videos"]:
                stem = "v_" + video["id"] if video["id"] else Path(video["files"][0]["name"]).stem
                is_plain = video["state"]["is"] in ("ready", "missing", "unlisted", "duplicate")
                found[stem] = video["state"]["is"] + ("" if is_plain else f": {video['reason']}")
            states.append(found)
        print("| file | made | `--quick` | `--deep` |\n|---|---|---|---|")
        for name, what in made.items():
            quick, deep = (found[Path(name).stem] for found in states)
            print(f"| `{name}` | {what} | {quick} | {'the same' if deep == quick else deep} |")


if __name__ == "__main__":
    main()
