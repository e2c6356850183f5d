"""Compares resampling with FFmpeg's filter, frame for frame: check_resampling.py PROBE FFMPEG VIDEO… (PROBE: reeldeck-probe).

Prints a line for each video and rate, and ends with 1 where the frames differ. Frames are told apart by their checksums.
Standard library only."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

RATES = (1, 8, 10, 15, 23.976, 25, 29.97, 30, 50, 60)

RECIPE = """
name = "resampling"
outputs = ["logits"]
precision = "fp32"
[sampling]
length = 1
interval = 1
stride = 1
fps = {fps}
[transform]
short_side = 32
crop = 32
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[model]
family = "slowonly"
depth = 50
base_channels = 4
inflate = [0, 0, 1, 1]
classes = 3
[damage]
max_lost = 1.0
"""


def frames(ffmpeg: str, video: Path, *options: str) -> list[str]:
    """The checksums of the frames that FFmpeg gives."""
    command = [ffmpeg, "-v", "error", "-i", video, "-map", "0:v:0", *options, "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.rsplit(",", 1)[1].strip() for line in text.splitlines() if not line.startswith("#")]


def main(probe: str, ffmpeg: str, videos: list[Path]) -> int:
    failed = 0
    for video in videos:
        own = frames(ffmpeg, video)
        for fps in RATES:
            expected = frames(ffmpeg, video, "-vf", f"fps={fps}:round=near")
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as recipe:
                recipe.write(RECIPE.format(fps=float(fps)))
                recipe.flush()
                for extra in ([], ["--plain"]):
                    run = subprocess.run([probe, "frames", video, "--recipe", recipe.name, *extra], capture_output=True, text=True)
                    if run.returncode:
                        picked, why = [], run.stderr.strip()
                    else:
                        picked, why = json.loads(run.stdout)["indices"], ""
                    same = [own[index] if index < len(own) else "" for index in picked] == expected
                    failed += not same
                    words = "equal" if same else f"DIFFERENT {why}"
                    print(f"{video.name:<28} {fps:>7} fps {extra or ['best']}: {len(own)} frames, {len(picked)} picked, {len(expected)} by FFmpeg, {words}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], [Path(name) for name in sys.argv[3:]]))
