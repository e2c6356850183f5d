#!/usr/bin/env python3
"""Measures the speed of a scan: a first quick scan, a second one that uses the stored results, and ffprobe in a loop.

Creates a dataset of hard links to a few small videos, 250 per class folder, and prints a Markdown table. The videos stay in the
page cache, so the disk does not matter.

    scripts/scan_speed.py [--bin target/release] [--videos 50000] [--sample 400] [--keep DIR]
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PER_CLASS = 250
VIDEOS = [
    ("v_a.mp4", {"frames": 300, "options": {"preset": "veryfast", "bf": "2"}, "container": {"movflags": "+faststart"}}),
    ("v_b.mp4", {"frames": 900, "seed": 1, "options": {"preset": "veryfast", "g": "150"}}),
    ("v_c.mp4", {"frames": 150, "seed": 2, "width": 640, "height": 360, "options": {"preset": "veryfast"}}),
    ("v_d.webm", {"frames": 150, "seed": 3, "encoder": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    ("v_e.mkv", {"frames": 300, "seed": 4, "options": {"preset": "veryfast"}}),
]


def make(root: Path, probe: Path, count: int) -> int:
    """Creates the dataset; returns the size of all videos in bytes."""
    originals = root.parent / "originals"
    jobs = [{"file": str(originals / name), "video": video} for name, video in VIDEOS]
    subprocess.run([probe, "synth"], input=json.dumps(jobs).encode(), check=True)
    an_hour_ago = time.time() - 3600
    for name, _ in VIDEOS:
        os.utime(originals / name, (an_hour_ago, an_hour_ago))
    size = 0
    for number in range(count):
        folder = root / f"Class_{number // PER_CLASS:04}"
        folder.mkdir(parents=True, exist_ok=True)
        source = originals / VIDEOS[number % len(VIDEOS)][0]
        os.link(source, folder / f"v_{number:06}{source.suffix}")
        size += source.stat().st_size
    return size


def run(command: list) -> tuple:
    """Runs a command; returns wall seconds, CPU seconds of it and its children, peak resident memory in MB, and output."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        # In a child process, because the usage of children can only be read as a sum.
        os.close(reader)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = {"cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024, "out": done.stdout, "code": done.returncode}
        with os.fdopen(writer, "w") as pipe:
            json.dump(report, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        report = json.load(pipe)
    os.waitpid(child, 0)
    if report["code"] != 0:
        words = " ".join(map(str, command))
        sys.exit(f"{words[:200]} … failed with {report['code']}:\n{report['out']}")
    return time.monotonic() - started, report["cpu"], report["mb"], report["out"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"), help="the folder of the programs")
    parser.add_argument("--videos", type=int, default=50_000)
    parser.add_argument("--sample", type=int, default=400, help="number of files for ffprobe")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    arguments = parser.parse_args()
    if not shutil.which("ffprobe"):
        sys.exit("ffprobe is not installed; install FFmpeg's programs")
    work = arguments.keep or Path(tempfile.mkdtemp(prefix="scan_speed"))
    work.mkdir(parents=True, exist_ok=True)
    root, out, count = work / "data", work / "out", arguments.videos
    size = make(root, arguments.bin / "reeldeck-probe", count)
    classes = len(list(root.iterdir()))
    cores = len(os.sched_getaffinity(0))
    print(f"{count} videos in {classes} classes, {size / 1e9:.1f} GB by their sizes, {cores} cores\n")
    print("| command | wall | files a second | CPU ms a file | peak memory of a process |")
    print("|---|---|---|---|---|")

    def row(what: str, files: int, measured: tuple) -> None:
        wall, cpu, mb, _ = measured
        print(f"| {what} | {wall:.1f} s | {files / wall:.0f} | {cpu / files * 1000:.2f} | {mb:.0f} MB |", flush=True)

    scan = [arguments.bin / "reeldeck", "scan", "--root", root, "--out", out]
    row("list only", count, run([*scan]))
    shutil.rmtree(out, ignore_errors=True)
    first = run([*scan, "--quick"])
    row("`scan --quick`, first time", count, first)
    warm = run([*scan, "--quick"])
    row("`scan --quick`, second time", count, warm)
    assert f"{count} known from before" in warm[3], warm[3]
    every = max(1, count // arguments.sample)
    sample = sorted(root.glob("*/*"))[::every][: arguments.sample]
    fields = "stream=codec_name,width,height,nb_frames,avg_frame_rate,duration"
    loop = 'for f in "$@"; do ffprobe -v error -select_streams v:0 -show_entries ' + fields + ' -of csv "$f" || exit; done'
    row(f"ffprobe in a loop, {len(sample)} files", len(sample), run(["bash", "-c", loop, "loop", *map(str, sample)]))
    row(f"`reeldeck-probe check`, the same {len(sample)} files, one process", len(sample), run([arguments.bin / "reeldeck-probe", "check", *sample]))
    print(f"\nstored results: {(out / '.reeldeck/probe-cache').stat().st_size / 1e6:.1f} MB")
    if not arguments.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
