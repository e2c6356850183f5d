"""Runs of the GPU check: reeldeck, its decoder alone, its network alone, MMAction2."""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import results
import roofline
from budget import Budget, Late
from programs import ROOT, Programs, link, make_videos
from sampler import Sampler
from watch import run

# Videos to compare: size, frames, consecutive B-frames.
SHORT = [("256p", 280, 0), ("360p", 60, 3), ("360p", 280, 3), ("720p", 130, 2)]
# Videos to measure: two minutes, as in HACS, where most videos have 360 lines.
LONG = [("360p", 3600, 3), ("720p", 3600, 3)]
# Number of links to each long video in the dataset.
COPIES = 100
# The same on another machine: videos that are small enough to copy, and so many that a precision takes some ten seconds.
CARRIED = [("360p", 1800, 3), ("720p", 900, 3)]
CARRIED_COPIES = {"fp32": 20, "tf32": 60, "bf16": 100, "fp16": 100}
# A measurement that has less time than this is left out.
LEAST_SECONDS = 5
# Clips of the videos to compare there: the CPU, which computes the reference, may have few cores. With --devices cpu it also computes
# what is compared, which takes longer than on a GPU.
CARRIED_CLIPS, CARRIED_CLIPS_ON_CPU = 16, 4


class Way(NamedTuple):
    """A choice of decoders."""

    words: str
    nvdec: str
    # The decoders, by their names in the separate measurement.
    decoders: tuple[str, ...]


CORES = Way("the cores", "off", ("cpu",))
WAYS = (
    CORES,
    Way("cores and NVDEC", "share", ("cpu", "nvdec")),
)


class Bench:
    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = arguments.devices
        named = re.fullmatch(r"cpu|cuda:([0-9]+)", self.device)
        if not named:
            raise SystemExit(f"gpu-check: --devices {self.device}: name one device, cuda:N or cpu")
        self.gpu = int(named[1]) if named[1] else None
        self.prebuilt = arguments.prebuilt and arguments.prebuilt.resolve()
        self.work = (arguments.work or ROOT / "target/gpu-check").resolve()
        self.log = self.work / "log"
        self.work.mkdir(parents=True, exist_ok=True)
        self.programs = Programs(self.prebuilt, arguments.profile, self.log)
        self.bin = self.programs.bin
        self.budget = Budget(arguments.minutes)
        self.clips = 8 if arguments.quick else 100
        few = CARRIED_CLIPS if self.gpu is not None else CARRIED_CLIPS_ON_CPU
        self.compared_clips = min(self.clips, few) if self.prebuilt else self.clips
        self.short: list[Path] = []
        self.long: list[Path] = []
        self.peer = None
        self.torch = arguments.torch and arguments.torch.resolve()
        # Precisions that the GPU lacks.
        self.lacking: set[str] = set()
        self.found = {"device": self.device, "processor": processor(), "kernel": platform.release(), "cores": cores(),
                      "clips": self.clips, "quick": arguments.quick, "card": None, "features": {}, "crops": None, "rows": [], "fed": {}, "decode": {}}

    def prepare(self) -> None:
        self.log.unlink(missing_ok=True)
        self.programs.build()
        short, long = (SHORT[:2], SHORT[:1]) if self.arguments.quick else (SHORT, CARRIED if self.prebuilt else LONG)
        videos = (self.prebuilt or self.work) / "videos"
        self.short, self.long = (make_videos(self.bin / "reeldeck-probe", videos, wanted) for wanted in (short, long))
        copies = 2 if self.arguments.quick else COPIES
        self.dataset("short", self.short, 1)
        for precision, carried in CARRIED_COPIES.items():
            self.dataset(f"long-{precision}", self.long, min(carried, copies) if self.prebuilt else copies)
        if not self.arguments.no_peer and not self.prebuilt:
            self.peer = subprocess.run(["scripts/peer.sh"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        if self.torch is None and (self.gpu is not None or self.prebuilt):
            question = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
            asked = subprocess.run([self.peer or "python3", "-I", "-c", question], capture_output=True, text=True)
            if asked.returncode != 0:
                raise SystemExit("gpu-check: no PyTorch found: name its folder with --torch, or install it for python3")
            self.torch = Path(asked.stdout.strip())
        if self.prebuilt:
            # Its worker has no libtorch of its own.
            before = os.environ.get("LD_LIBRARY_PATH")
            os.environ["LD_LIBRARY_PATH"] = f"{self.torch / 'lib'}:{before}" if before else str(self.torch / "lib")
        self.weights()

    def dataset(self, name: str, files: list[Path], copies: int) -> None:
        """Makes a dataset folder with several names for each file."""
        folder = self.work / name / "Bench"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in files:
            for copy in range(copies):
                link(file, folder / f"{file.stem}_{copy:03}.mp4")

    def weights(self) -> None:
        """Writes the seeded weights to a file for both programs, and recipes that name it."""
        self.checkpoint = self.work / "seeded.pth"
        if not self.checkpoint.exists():
            part = self.checkpoint.with_suffix(".part")
            part.unlink(missing_ok=True)
            subprocess.run([self.bin / "reeldeck", "seeded-checkpoint", part], check=True)
            part.rename(self.checkpoint)
        digest = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()
        recipe = ((self.prebuilt or ROOT) / "assets/recipes/slowonly-r50-8x8-k700.toml").read_text()
        recipe = recipe[: recipe.index("# The file named in")] + recipe[recipe.index("[damage]"):]
        recipe += f'\n[checkpoint]\nurl = ""\nsha256_prefix = "{digest[:8]}"\n'
        for precision in ("fp32", "tf32", "bf16", "fp16"):
            for name, clips in ((precision, self.clips), (f"{precision}-compared", self.compared_clips)):
                made = recipe.replace('precision = "fp32"', f'precision = "{precision}"').replace("clips = 100", f"clips = {clips}")
                made = made.replace('name = "slowonly-r50-8x8-k700"', f'name = "gpu-{name}"')
                (self.work / f"{name}.toml").write_text(made)

    def precisions(self) -> list[str]:
        """Those to measure, the most important ones first."""
        return [name for name in (("fp32", "bf16", "tf32", "fp16") if self.gpu is not None else ("fp32", "bf16")) if name not in self.lacking]

    def doctor(self) -> None:
        if self.gpu is not None:
            ask = ["nvidia-smi", f"--id={self.gpu}", "--query-gpu=name", "--format=csv,noheader"]
            try:
                self.found["card"] = subprocess.run(ask, capture_output=True, text=True, timeout=30).stdout.strip() or None
            except (OSError, subprocess.TimeoutExpired):
                pass # some containers lack it
        print("```", flush=True)
        command = [self.bin / "reeldeck", "doctor", "--config", self.config(self.device, CORES), "--checkpoint", self.checkpoint]
        try:
            subprocess.run([*command, "--out", self.work / "out", "--recipe", self.work / "fp32.toml"], timeout=self.budget.share(8))
        except subprocess.TimeoutExpired:
            print("not finished in time")
        print("```\n", flush=True)

    def config(self, device: str, way: Way, together: int = 0) -> Path:
        path = self.work / "config.toml"
        torch = "" if self.torch is None or self.gpu is None else str(self.torch)
        text = f'devices = "{device}"\nroot = "short"\n[worker]\nbatch = {together}\n'
        path.write_text(f"{text}[cuda]\ntorch = {json.dumps(torch)}\nnvdec = \"{way.nvdec}\"\n")
        return path

    def batch(self, name: str, data: str, recipe: str, device: str, way: Way, seconds: float | None, together: int = 0):
        """Runs reeldeck for at most so many seconds; returns the costs since its worker was ready, and the reports of the videos."""
        out = self.work / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        command = [self.bin / "reeldeck", "--batch", "--json", "--config", self.config(device, way, together), "--root", self.work / data]
        command += ["--out", out, "--recipe", self.work / f"{recipe}.toml", "--checkpoint", self.checkpoint]
        took = run(command, lambda event: event["event"] == "worker-ready", self.log, seconds=seconds)
        reports = [event["report"] for event in took.events if event["event"] == "video-done"]
        return took, reports

    def features(self, name: str, precision: str, device: str, seconds: float | None, together: int = 0) -> list:
        """The logits of the short videos, with `together` clips per pass; 0: chosen by reeldeck. Late if they are not done in time."""
        took, _ = self.batch(name, "short", f"{precision}-compared", device, CORES, seconds, together)
        if took.stopped:
            raise Late(f"the features in {precision} on {device}")
        [folder] = (self.work / "out" / name / "features").iterdir()
        return [results.feature(file) for file in sorted((folder / "Bench").iterdir())]

    def lacks(self, precision: str) -> bool:
        """Whether the worker has just refused a precision because the GPU lacks it."""
        if "has compute capability" in self.log.read_text(errors="replace")[-4000:]:
            self.lacking.add(precision)
        return precision in self.lacking

    def decode(self, files: list[Path], gpu: int | None, threads: int, rounds: int, seconds: float | None) -> dict:
        """Measures the decoder alone. Late if it is not done in time."""
        command = [self.programs.decode(), "--threads", threads, "--rounds", rounds]
        command += [] if gpu is None else ["--nvdec", gpu]
        try:
            ran = subprocess.run([str(word) for word in [*command, *files]], capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Late("decoding") from None
        if ran.returncode != 0:
            raise SystemExit(f"gpu-check: decoding failed: {ran.stderr.strip()}")
        return json.loads(ran.stdout)

    def measure(self) -> None:
        """Measures as much as the time allows."""
        ways = [("cpu", None)] + ([] if self.gpu is None else [("nvdec", self.gpu)])
        steps = [(f"decoding alone by {name}", self.decoder_alone, name, gpu) for name, gpu in ways]
        for precision in self.precisions():
            for way in WAYS if self.gpu is not None else (CORES,):
                steps.append((f"{precision}, decoded by {way.words}", self.videos, precision, way))
            steps.append((f"the network alone, {precision}", self.fed, precision))
        if self.peer:
            steps.append(("MMAction2", self.run_peer))
        for at, (what, step, *words) in enumerate(steps):
            seconds = self.budget.share(len(steps) - at)
            try:
                if seconds is not None and seconds < LEAST_SECONDS:
                    raise Late(what)
                step(*words, seconds)
            except Late:
                print(f"{what}: not measured in time", flush=True)

    def decoder_alone(self, name: str, gpu: int | None, seconds: float | None) -> None:
        rounds = 2 if self.arguments.quick else 10 if self.prebuilt else 40
        with Sampler(self.gpu) as sampler:
            took = self.decode(self.long, gpu, cores(), rounds, seconds)
        self.found["decode"][name] = {"videos_per_s": took["videos_per_s"], **sampler.means()}
        print(f"decoding alone by {name}: {took['videos_per_s']:.2f} videos/s", flush=True)

    def videos(self, precision: str, way: Way, seconds: float | None) -> None:
        """Measures reeldeck. If it is stopped, the videos until then count."""
        with Sampler(self.gpu) as sampler:
            took, reports = self.batch("table", f"long-{precision}", precision, self.device, way, seconds)
        if not reports:
            raise Late(precision)
        by_nvdec = sum(report["nvdec"] for report in reports)
        label = f"reeldeck {precision}, decoded by {way.words}" + (", stopped" if took.stopped else "")
        self.row(label, precision, len(reports), took, sampler, decoders=list(way.decoders), by_nvdec=by_nvdec)

    def fed(self, precision: str, seconds: float | None) -> None:
        """Measures the network alone, in plain PyTorch, too, if MMAction2 is missing, and the peak of the device's matrix units."""
        budget = Budget(None if seconds is None else seconds / 60)
        environment = dict(os.environ)
        if self.gpu is not None:
            lib = str(self.torch / "lib")
            others = os.environ.get("LD_LIBRARY_PATH")
            environment |= {"REELDECK_TORCH_LIB": lib, "LD_LIBRARY_PATH": f"{lib}:{others}" if others else lib}
            if precision != "tf32":
                environment["NVIDIA_TF32_OVERRIDE"] = "0"
        ways = [(precision, []), (f"{precision}, convolutions not fused", ["--unfused"])]
        for name, more in ways[:1] if self.prebuilt else ways:
            words = ["--device", self.device, "--precision", precision, "--threads", cores(), *more]
            self.found["fed"][name] = self.programs.network(words, environment, budget.left())
            print(f"the network alone, {name}: {self.found['fed'][name]['clips_per_s']:.2f} clips/s", flush=True)
        if self.peer or self.torch is None:
            return
        ours, few = self.found["fed"][precision], self.gpu is None
        command = [sys.executable, Path(__file__).with_name("plain_torch.py"), self.checkpoint, "--device", self.device]
        command += ["--precision", precision, *(["--clips", 2, "--seconds", 3] if few else [])]
        took = json.loads(self.programs.run(command, environment | {"PYTHONPATH": str(self.torch.parent)}, budget.left()))
        speed = took["clips_per_s"]
        self.found["fed"][f"{precision}, plain PyTorch"] = {
            **ours, "clips_per_s": speed, "tflops": ours["tflops"] * speed / ours["clips_per_s"], "share": ours["share"] * speed / ours["clips_per_s"]}
        print(f"the network alone in plain PyTorch {took['torch']}, {precision}: {speed:.2f} clips/s", flush=True)

    def run_peer(self, seconds: float | None) -> None:
        data = self.work / "long-fp32"
        names = sorted(str(file.relative_to(data)) for file in data.glob("*/*"))
        listed = self.work / "list.txt"
        listed.write_text("".join(f"{name} -1\n" for name in names))
        out = self.work / "out/peer"
        shutil.rmtree(out, ignore_errors=True)
        command = [self.peer, ROOT / "scripts/bench/peer.py", "--root", data, "--list", listed, "--checkpoint", self.checkpoint]
        command += ["--out", out, "--clips", self.clips, "--threads", cores(), "--device", self.device]
        # As published on a GPU. On a CPU, many machines lack the memory for that.
        command += [] if self.gpu is not None else ["--views", 4]
        with Sampler(self.gpu) as sampler:
            took = run(command, lambda event: event["event"] == "begin", self.log, seconds=seconds)
        if took.stopped:
            raise Late("MMAction2")
        [end] = [event for event in took.events if event["event"] == "end"]
        self.row(f"MMAction2 {end['versions']['mmaction2']} on {end['device']}", "fp32", end["videos"], took, sampler, decoders=[], by_nvdec=0)

    def row(self, label: str, precision: str, videos: int, took, sampler: Sampler, decoders: list[str], by_nvdec: int) -> None:
        card = roofline.find(self.found["card"] or "")
        # The model has a precision's numbers for 100 clips.
        most = None if card is None else roofline.videos_per_second(card, "bf16" if precision == "fp16" else precision)[0] * 100 / self.clips
        row = {"label": label, "roofline_videos_per_s": most, "videos": videos, "wall_s": took.wall_s, "videos_per_s": videos / took.wall_s, "cpu_s": took.cpu_s,
               "start_s": took.start_s, "decoders": decoders, "by_nvdec": by_nvdec, **sampler.means()}
        self.found["rows"].append(row)
        print(f"{label}: {row['videos_per_s']:.3f} videos/s", flush=True)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    return len(os.sched_getaffinity(0))
