"""Runs of the GPU check: reeldeck, its decoder alone, its network alone, MMAction2."""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import results
from sampler import Sampler
from watch import run

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = {"256p": (340, 256), "360p": (640, 360), "720p": (1280, 720)}
# Videos to compare, of all lengths and with an odd number of lines: size, frames, consecutive B-frames.
SHORT = [("256p", 280, 0), ("360p", 60, 3), ("360p", 280, 3), ("720p", 130, 2)]
# Videos to measure: two minutes, as in HACS, where most videos have 360 lines.
LONG = [("360p", 3600, 3), ("720p", 3600, 3)]
# Number of links to each long video in the dataset.
COPIES = 100


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
        self.bin = ROOT / "target" / ("release" if arguments.profile == "release" else "debug")
        self.work = ROOT / "target/gpu-check"
        self.log = self.work / "log"
        self.clips = 8 if arguments.quick else 100
        self.short: list[Path] = []
        self.long: list[Path] = []
        self.peer = None
        self.torch = arguments.torch
        self.found = {"device": self.device, "processor": processor(), "kernel": platform.release(), "cores": cores(),
                      "clips": self.clips, "quick": arguments.quick, "features": {}, "crops": None, "rows": [], "fed": {}, "decode": {}}

    def prepare(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        self.cargo("build", "-p", "reeldeck-probe", "--example", "decode")
        short, long = (SHORT[:2], SHORT[:1]) if self.arguments.quick else (SHORT, LONG)
        self.short, self.long = self.make(short), self.make(long)
        for name, files, copies in (("short", self.short, 1), ("long", self.long, 2 if self.arguments.quick else COPIES)):
            folder = self.work / name / "Bench"
            shutil.rmtree(folder.parent, ignore_errors=True)
            folder.mkdir(parents=True)
            for file in files:
                for copy in range(copies):
                    os.link(file, folder / f"{file.stem}_{copy:03}.mp4")
        if not self.arguments.no_peer:
            self.peer = subprocess.run(["scripts/peer.sh"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        if self.gpu is not None and self.torch is None:
            question = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
            asked = subprocess.run([self.peer or "python3", "-I", "-c", question], capture_output=True, text=True)
            if asked.returncode != 0:
                raise SystemExit("gpu-check: no PyTorch found: name its folder with --torch, or install it for python3")
            self.torch = Path(asked.stdout.strip())
        self.weights()

    def make(self, wanted: list) -> list[Path]:
        """Generates missing videos."""
        made = []
        for seed, (size, frames, bf) in enumerate(wanted):
            file = self.work / "videos" / f"v_{size}_{frames}_{bf}.mp4"
            made.append(file)
            if file.exists():
                continue
            file.parent.mkdir(exist_ok=True)
            print(f"generating {file.name} …", flush=True)
            part = file.with_name(f"{file.stem}.part.mp4")
            width, height = SIZES[size]
            options = {"preset": "veryfast", "crf": "26", "g": "150", "bf": str(bf)}
            video = {"width": width, "height": height, "frames": frames, "options": options, "seed": seed}
            job = json.dumps([{"file": str(part), "video": video}]).encode()
            subprocess.run([self.bin / "reeldeck-probe", "synth"], input=job, check=True)
            part.rename(file)
        return made

    def weights(self) -> None:
        """Writes the seeded weights to a file for both programs, and recipes that name it."""
        self.checkpoint = self.work / "seeded.pth"
        if not self.checkpoint.exists():
            part = self.checkpoint.with_suffix(".part")
            part.unlink(missing_ok=True)
            subprocess.run([self.bin / "reeldeck", "seeded-checkpoint", part], check=True)
            part.rename(self.checkpoint)
        digest = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()
        recipe = (ROOT / "assets/recipes/slowonly-r50-8x8-k700.toml").read_text()
        recipe = recipe[: recipe.index("# The file named in")] + recipe[recipe.index("[damage]"):]
        recipe += f'\n[checkpoint]\nurl = ""\nsha256_prefix = "{digest[:8]}"\n'
        for precision in ("fp32", "tf32", "bf16"):
            made = recipe.replace('precision = "fp32"', f'precision = "{precision}"').replace("clips = 100", f"clips = {self.clips}")
            made = made.replace('name = "slowonly-r50-8x8-k700"', f'name = "gpu-{precision}"')
            (self.work / f"{precision}.toml").write_text(made)

    def cargo(self, *words) -> str:
        words = [str(word) for word in words]
        at = words.index("--") if "--" in words else len(words)
        command = ["cargo", *words[:at], "--quiet", "--profile", self.arguments.profile, *words[at:]]
        with self.log.open("ab") as errors:
            ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment)
        if ran.returncode != 0:
            raise SystemExit(f"gpu-check: {' '.join(command)} failed; its output is at the end of {self.log}")
        return ran.stdout

    # Environment for cargo, which selects the libtorch of the GPU.
    environment: dict | None = None

    def doctor(self) -> None:
        print("```", flush=True)
        command = [self.bin / "reeldeck", "doctor", "--config", self.config(self.device, CORES), "--checkpoint", self.checkpoint]
        subprocess.run([*command, "--out", self.work / "out", "--recipe", self.work / "fp32.toml"])
        print("```\n", flush=True)

    def config(self, device: str, way: Way, together: int = 0) -> Path:
        path = self.work / "config.toml"
        torch = "" if self.torch is None else str(self.torch)
        text = f'devices = "{device}"\nroot = "short"\n[worker]\nbatch = {together}\n'
        path.write_text(f"{text}[cuda]\ntorch = {json.dumps(torch)}\nnvdec = \"{way.nvdec}\"\n")
        return path

    def batch(self, name: str, data: str, precision: str, device: str, way: Way, together: int = 0):
        """Runs reeldeck; returns the costs since its worker was ready, and the reports of the videos."""
        out = self.work / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        command = [self.bin / "reeldeck", "--batch", "--json", "--config", self.config(device, way, together), "--root", self.work / data]
        command += ["--out", out, "--recipe", self.work / f"{precision}.toml", "--checkpoint", self.checkpoint]
        took = run(command, lambda event: event["event"] == "worker-ready", self.log)
        reports = [event["report"] for event in took.events if event["event"] == "video-done"]
        return took, reports

    def features(self, name: str, precision: str, device: str, together: int = 0) -> list:
        """The logits of the short videos, with `together` clips per pass; 0: chosen by reeldeck."""
        self.batch(name, "short", precision, device, CORES, together)
        [folder] = (self.work / "out" / name / "features").iterdir()
        return [results.feature(file) for file in sorted((folder / "Bench").iterdir())]

    def decode(self, files: list[Path], gpu: int | None, threads: int, rounds: int) -> dict:
        """Measures the decoder alone."""
        command = [self.bin / "examples/decode", "--threads", threads, "--rounds", rounds]
        command += [] if gpu is None else ["--nvdec", gpu]
        ran = subprocess.run([str(word) for word in [*command, *files]], capture_output=True, text=True)
        if ran.returncode != 0:
            raise SystemExit(f"gpu-check: decoding failed: {ran.stderr.strip()}")
        return json.loads(ran.stdout)

    def measure(self) -> None:
        rounds = 2 if self.arguments.quick else 40
        ways = [("cpu", None)] + ([] if self.gpu is None else [("nvdec", self.gpu)])
        for name, gpu in ways:
            with Sampler(self.gpu) as sampler:
                took = self.decode(self.long, gpu, cores(), rounds)
            self.found["decode"][name] = {"videos_per_s": took["videos_per_s"], **sampler.means()}
            print(f"decoding alone by {name}: {took['videos_per_s']:.2f} videos/s", flush=True)
        precisions = ("fp32", "tf32", "bf16") if self.gpu is not None else ("fp32", "bf16")
        for precision in precisions:
            self.fed(precision)
            for way in WAYS if self.gpu is not None else (CORES,):
                with Sampler(self.gpu) as sampler:
                    took, reports = self.batch("table", "long", precision, self.device, way)
                by_nvdec = sum(report["nvdec"] for report in reports)
                label = f"reeldeck {precision}, decoded by {way.words}"
                self.row(label, len(reports), took, sampler, decoders=list(way.decoders), by_nvdec=by_nvdec)
        if self.peer:
            self.run_peer()

    def fed(self, precision: str) -> None:
        """Measures the network alone, and the peak of the device's matrix units."""
        self.environment = dict(os.environ)
        if self.gpu is not None:
            lib = str(self.torch / "lib")
            others = os.environ.get("LD_LIBRARY_PATH")
            self.environment |= {"REELDECK_TORCH_LIB": lib, "LD_LIBRARY_PATH": f"{lib}:{others}" if others else lib}
            if precision != "tf32":
                self.environment["NVIDIA_TF32_OVERRIDE"] = "0"
        for name, more in ((precision, []), (f"{precision}, convolutions not fused", ["--unfused"])):
            words = ["fed", "--device", self.device, "--precision", precision, "--threads", cores(), *more]
            said = self.cargo("bench", "-p", "reeldeck-worker", "--bench", "table", "--", *words)
            self.found["fed"][name] = json.loads(said.splitlines()[-1])
            print(f"the network alone, {name}: {self.found['fed'][name]['clips_per_s']:.2f} clips/s", flush=True)
        self.environment = None

    def run_peer(self) -> None:
        data = self.work / "long"
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
            took = run(command, lambda event: event["event"] == "begin", self.log)
        [end] = [event for event in took.events if event["event"] == "end"]
        self.row(f"MMAction2 {end['versions']['mmaction2']} on {end['device']}", end["videos"], took, sampler, decoders=[], by_nvdec=0)

    def row(self, label: str, videos: int, took, sampler: Sampler, decoders: list[str], by_nvdec: int) -> None:
        row = {"label": label, "videos": videos, "wall_s": took.wall_s, "videos_per_s": videos / took.wall_s, "cpu_s": took.cpu_s,
               "start_s": took.start_s, "decoders": decoders, "by_nvdec": by_nvdec, **sampler.means()}
        self.found["rows"].append(row)
        print(f"{label}: {row['videos_per_s']:.3f} videos/s", flush=True)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    return len(os.sched_getaffinity(0))
