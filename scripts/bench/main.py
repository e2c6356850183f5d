#!/usr/bin/env python3
"""Compares MMAction2, OpenVINO and reeldeck on the same videos and weights. They run alternately, in several turns.

    scripts/bench/main.py --peer PYTHON [--full] [--clips N] [--turns N] [--threads N] [--skip NAME …]

Prints Markdown, and writes it to target/bench/results.md and all figures to results.json. Standard library only. Each turn
runs all configurations on all videos. The order rotates by one from turn to turn, so that none is always first. Start-up
time is reported separately.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import results
import videos
from watch import Run, run

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LABELS = {
    "published": "MMAction2 as published",
    "best": "MMAction2, 4 clips a forward pass",
    "openvino": "MMAction2 with its backbone in OpenVINO, fp32, 4 clips",
    "fp32": "reeldeck fp32",
    "bf16": "reeldeck bf16",
}

# The options of each configuration that runs in the peer's Python.
PEERS = {"published": (), "best": ("--views", 4), "openvino": ("--views", 4, "--openvino")}


class Bench:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.work = ROOT / "target/bench"
        self.bin = ROOT / "target/release"
        self.made = self.work / "videos"
        self.data = self.work / "data"
        self.log = self.work / "log"
        self.checkpoint = self.work / "seeded.pth"
        self.list = self.work / "list.txt"
        # By default OpenMP threads busy-wait, which takes CPU time from other processes.
        self.waiting = {"OMP_WAIT_POLICY": "passive"} if arguments.busy else {}
        self.names: list[str] = []
        self.inputs = 0.0

    def prepare(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        self.names = videos.make(self.bin / "reeldeck-probe", self.made, self.arguments.full)
        self.names = sorted(self.names[: self.arguments.limit])
        # The dataset of this run: links to the selected videos.
        shutil.rmtree(self.data, ignore_errors=True)
        for name in self.names:
            (self.data / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(self.made / name, self.data / name)
        self.list.write_text("".join(f"{name} -1\n" for name in self.names))
        if not self.checkpoint.exists():
            part = self.checkpoint.with_suffix(".part")
            part.unlink(missing_ok=True)
            subprocess.run([self.bin / "reeldeck", "seeded-checkpoint", part], check=True)
            part.rename(self.checkpoint)
        recipe = (ROOT / "assets/recipes/slowonly-r50-8x8-k700.toml").read_text()
        # The seeded weights have another digest than the published ones.
        digest = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()
        recipe = recipe[: recipe.index("# The file named in")] + recipe[recipe.index("[damage]"):]
        recipe += f'\n[checkpoint]\nurl = ""\nsha256_prefix = "{digest[:8]}"\n'
        recipe = recipe.replace("clips = 100", f"clips = {self.arguments.clips}")
        for precision in ("fp32", "bf16"):
            made = recipe.replace('precision = "fp32"', f'precision = "{precision}"')
            made = made.replace('name = "slowonly-r50-8x8-k700"', f'name = "bench-{precision}"')
            (self.work / f"{precision}.toml").write_text(made)

    def peer(self, *more) -> Run:
        command = [self.arguments.peer, HERE / "peer.py", "--root", self.data, "--list", self.list, "--checkpoint", self.checkpoint]
        command += ["--clips", self.arguments.clips, "--threads", self.arguments.threads, *more]
        threads = {"OMP_NUM_THREADS": str(self.arguments.threads)}
        return run(command, lambda event: event["event"] in ("begin", "inputs"), self.log, {**threads, **self.waiting})

    def turn(self, name: str) -> dict:
        out = self.work / name
        shutil.rmtree(out, ignore_errors=True)
        if name in PEERS:
            took = self.peer("--out", out, *PEERS[name])
            [end] = [event for event in took.events if event["event"] == "end"]
            assert end["videos"] == len(self.names)
            split = {"model_s": end["model_s"], "decode_cpu_s": self.inputs, "versions": end["versions"]}
        else:
            config = self.work / "config.toml"
            config.write_text(f"[worker]\nthreads = {self.arguments.threads}\n")
            command = [self.bin / "reeldeck", "--batch", "--json", "--config", config, "--root", self.data, "--out", out]
            command += ["--recipe", self.work / f"{name}.toml", "--checkpoint", self.checkpoint]
            took = run(command, lambda event: event["event"] == "worker-ready", self.log, self.waiting)
            reports = [event["report"] for event in took.events if event["event"] == "video-done"]
            assert len(reports) == len(self.names)
            total = lambda key: sum(report[key] for report in reports) / 1000
            split = {"model_s": total("model_ms"), "decode_cpu_s": total("decode_ms"), "wait_s": total("wait_ms")}
        turn = {key: getattr(took, key) for key in ("start_s", "wall_s", "cpu_s", "peak_mib", "others")}
        return {**turn, **split, "other_s": took.wall_s - split["model_s"]}

    def logits(self, name: str, number: int):
        if name in PEERS:
            return results.npy(self.work / name / f"{number}.npy")
        [folder] = (self.work / name / "features").iterdir()
        return results.feature(folder / f"{self.names[number]}.safetensors")

    def run(self) -> None:
        self.prepare()
        inputs = self.peer("--out", self.work / "inputs", "--inputs-only")
        [event] = inputs.events
        self.inputs = event["decode_cpu_s"] + event["transform_cpu_s"]
        order = [name for name in LABELS if name not in self.arguments.skip]
        turns = {name: [] for name in order}
        for number in range(self.arguments.turns):
            for name in order[number % len(order):] + order[: number % len(order)]:
                before = time.monotonic()
                turns[name].append(self.turn(name))
                seconds = turns[name][-1]["wall_s"]
                print(f"turn {number + 1}, {LABELS[name]}: {seconds:.1f} s ({time.monotonic() - before:.1f} with start-up)", flush=True)
            # Written after every turn, so that an interruption loses only the current one.
            self.keep(turns)

    def keep(self, turns: dict) -> None:
        pairs = [(name, "best") for name in turns if name != "best" and turns.get("best")]
        compared = lambda a, b: results.differences([(self.logits(a, i), self.logits(b, i)) for i in range(len(self.names))])
        found = {
            "machine": machine(self.arguments.threads),
            "reeldeck": subprocess.run([self.bin / "reeldeck-worker", "--version"], capture_output=True, text=True).stdout.strip(),
            "peer": {key: version for each in turns.values() for turn in each for key, version in turn.get("versions", {}).items()},
            "videos": self.names,
            "clips": self.arguments.clips,
            "labels": {name: LABELS[name] for name in turns},
            "turns": turns,
            "differences": [(pair, compared(*pair)) for pair in pairs],
        }
        head = "{processor}, {cores} cores, {threads} threads used, Linux {kernel}".format(**found["machine"])
        text = f"{head}; {found['reeldeck']}; MMAction2 {found['peer']['mmaction2']} with torch {found['peer']['torch']} and OpenVINO {found['peer'].get('openvino', '–')}.\n"
        text += f"{len(self.names)} videos ({', '.join(Path(name).stem for name in self.names)}), {self.arguments.clips} clips each,"
        asleep = ", threads wait passively" if self.waiting else ""
        text += f" turns: {min(map(len, turns.values()))}; medians{asleep}.\n\n" + results.table(found)
        (self.work / "results.md").write_text(text)
        (self.work / "results.json").write_text(json.dumps(found, indent=1) + "\n")


def machine(threads: int) -> dict:
    model = next(line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "threads": threads, "kernel": platform.release()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="a Python with mmaction2; scripts/peer.sh prints one")
    parser.add_argument("--full", action="store_true", help="32 videos of up to 4,500 frames; takes a day")
    parser.add_argument("--clips", type=int, default=100, help="clips per video [default: 100, as in the recipe]")
    parser.add_argument("--limit", type=int, help="number of videos [default: 1 of 5; with --full all 32]")
    parser.add_argument("--turns", type=int, help="number of turns [default: 2; with --full 3]")
    parser.add_argument("--skip", nargs="*", choices=LABELS, default=[], help="leaves these out; `bf16` is slow on processors without it")
    parser.add_argument("--busy", action="store_true", help="for a machine in use: threads wait passively; compare CPU seconds rather than times")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    arguments = parser.parse_args()
    arguments.limit = arguments.limit or (None if arguments.full else 1)
    arguments.turns = arguments.turns or (3 if arguments.full else 2)
    bench = Bench(arguments)
    bench.run()
    print("\n" + (bench.work / "results.md").read_text(), end="")


if __name__ == "__main__":
    sys.exit(main())
