"""The programs that the check runs: those that cargo builds here, or those that scripts/gpu/prepare.sh has built elsewhere."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from budget import Late

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = {"256p": (340, 256), "360p": (640, 360), "720p": (1280, 720)}


class Programs:
    def __init__(self, prebuilt: Path | None, profile: str, log: Path):
        self.prebuilt, self.profile, self.log = prebuilt, profile, log
        self.bin = prebuilt / "bin" if prebuilt else ROOT / "target" / ("release" if profile == "release" else "debug")
        packed = prebuilt / "bin.tar.gz" if prebuilt else None
        if packed and packed.exists():
            shutil.unpack_archive(packed, log.parent)
            self.bin = log.parent / "bin"
        missing = [name for name in ("reeldeck", "reeldeck-worker", "reeldeck-probe") if not (self.bin / name).exists()]
        if missing:
            next_step = "prepare the folder with scripts/gpu-check.sh --prepare DIR" if prebuilt else "run `make build`"
            raise SystemExit(f"gpu-check: {self.bin} has no {', '.join(missing)}: {next_step}")

    def build(self) -> None:
        """Builds what `make build` leaves out."""
        if not self.prebuilt:
            self.run(["cargo", "build", "--quiet", "--profile", self.profile, "-p", "reeldeck-probe", "--example", "decode"], None)

    def decode(self) -> Path:
        """The program that measures the decoder."""
        return self.bin / "examples/decode"

    def network(self, words: list, environment: dict, seconds: float | None) -> dict:
        """Measures the network alone."""
        words = ["fed", *map(str, words)]
        if self.prebuilt:
            command = [self.bin / "table", *words]
        else:
            command = ["cargo", "bench", "--quiet", "--profile", self.profile, "-p", "reeldeck-worker", "--bench", "table", "--", *words]
        return json.loads(self.run(command, environment, seconds).splitlines()[-1])

    def run(self, command: list, environment: dict | None, seconds: float | None = None) -> str:
        """What a program prints. After `seconds` it is killed, which is Late."""
        command = [str(word) for word in command]
        with self.log.open("ab") as errors:
            try:
                ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise Late(Path(command[0]).name) from None
        if ran.returncode != 0:
            raise SystemExit(f"gpu-check: {' '.join(command)} failed; its output is at the end of {self.log}")
        return ran.stdout


def make_videos(probe: Path, folder: Path, wanted: list) -> list[Path]:
    """Generates missing videos: size, frames, consecutive B-frames."""
    made = []
    for seed, (size, frames, bf) in enumerate(wanted):
        file = folder / f"v_{size}_{frames}_{bf}.mp4"
        made.append(file)
        if file.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        print(f"generating {file.name} …", flush=True)
        part = file.with_name(f"{file.stem}.part.mp4")
        width, height = SIZES[size]
        options = {"preset": "veryfast", "crf": "26", "g": "150", "bf": str(bf)}
        video = {"width": width, "height": height, "frames": frames, "options": options, "seed": seed}
        job = json.dumps([{"file": str(part), "video": video}]).encode()
        subprocess.run([probe, "synth"], input=job, check=True)
        part.rename(file)
    return made


def link(file: Path, name: Path) -> None:
    """A second name for a file; a copy where the file system has no links."""
    try:
        os.link(file, name)
    except OSError:
        name.write_bytes(file.read_bytes())
