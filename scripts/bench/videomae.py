#!/usr/bin/env python3
"""Compares VideoMAE V2's extract_tad_feature.py and reeldeck on one video, with the same seeded weights, in turns.

    scripts/bench/videomae.py --peer PYTHON --repository DIR [--size s|b] [--stride 4|16] [--frames N] [--threads N] [--turns N]

DIR is a clone of https://github.com/OpenGVLab/VideoMAEv2. PYTHON (`scripts/peer.sh`) needs torch, torchvision, timm, decord and
opencv. Prints Markdown. Times begin when the model is loaded.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import results
import videos
from watch import run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = ROOT / "target/release"
MODELS = {"s": "vit_small_patch16_224", "b": "vit_base_patch16_224"}
DATASETS = {4: "THUMOS14", 16: "FINEACTION"}


def main(options: argparse.Namespace) -> None:
    work = ROOT / "target/bench/videomae"
    work.mkdir(parents=True, exist_ok=True)
    log = work / "log"
    recipe = f"videomaev2-{options.size}-16x{options.stride}"
    video = videos.one(BIN / "reeldeck-probe", work / "videos", "360p", options.frames, 3)
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)
    (data / "A").mkdir(parents=True)
    (data / "A" / "v_bench.mp4").hardlink_to(video)
    checkpoint = work / f"{recipe}.pth"
    checkpoint.unlink(missing_ok=True)
    subprocess.run([BIN / "reeldeck", "seeded-checkpoint", "--recipe", recipe, checkpoint], check=True)
    threads = {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    config = work / "config.toml"
    config.write_text(f"[worker]\nthreads = {options.threads}\n")

    def original(out: Path):
        command = [options.peer, HERE / "videomae_peer.py", options.repository, MODELS[options.size], "--data_set",
                   DATASETS[options.stride], "--data_path", data / "A", "--save_path", out, "--ckpt_path", checkpoint]
        return run(command, lambda event: event.get("event") == "begin", log, threads)

    def ours(out: Path):
        command = [BIN / "reeldeck", "extract", "--json", "--config", config, "--root", data, "--out", out, "--recipe", recipe,
                   "--checkpoint", checkpoint]
        return run(command, lambda event: event.get("event") == "worker-ready", log)

    turns = {"original": [], "reeldeck": []}
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        for turn in range(options.turns):
            for name, job in (("original", original), ("reeldeck", ours))[:: 1 if turn % 2 == 0 else -1]:
                out = Path(scratch) / f"{name}-{turn}"
                turns[name].append(job(out))
                print(f"turn {turn + 1}, {name}: {turns[name][-1].wall_s:.1f} s", flush=True)
        theirs = results.npy(Path(scratch) / "original-0/v_bench.npy")
        [feature] = (Path(scratch) / "reeldeck-0/features").glob("*/A/*.safetensors")
        rows = results.feature(feature, "pooled")
    assert len(rows) == len(theirs), "other numbers of rows"
    most = max(abs(a - b) for a, b in zip(rows, theirs))
    print(f"\n{recipe}, one video of 640×360 with {options.frames} frames, {options.threads} threads, {options.turns} turns, medians; "
          f"largest difference of the features {most:.1e}.\n")
    print("| | job, s | CPU s | peak memory, MiB | start, s | others' CPUs |\n|---|---|---|---|---|---|")
    for name, label in (("original", "extract_tad_feature.py"), ("reeldeck", "reeldeck fp32")):
        middle = lambda key: statistics.median(getattr(turn, key) for turn in turns[name])
        print(f"| {label} | {middle('wall_s'):.1f} | {middle('cpu_s'):.1f} | {middle('peak_mib'):.0f} | {middle('start_s'):.1f} "
              f"| {middle('others'):.2f} |")
    each = [a.wall_s / b.wall_s for a, b in zip(turns["original"], turns["reeldeck"])]
    by_cpu = statistics.median(a.cpu_s / b.cpu_s for a, b in zip(turns["original"], turns["reeldeck"]))
    print(f"\nreeldeck is **{statistics.median(each):.2f}** times faster (each turn: {' '.join(f'{r:.2f}' for r in each)}), "
          f"by CPU seconds {by_cpu:.2f}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peer", required=True)
    parser.add_argument("--repository", required=True, type=Path)
    parser.add_argument("--size", choices=MODELS, default="s")
    parser.add_argument("--stride", type=int, choices=DATASETS, default=4)
    parser.add_argument("--frames", type=int, default=280)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    main(parser.parse_args())
