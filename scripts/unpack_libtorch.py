"""Extracts the CPU part of libtorch from PyPI wheels: unpack_libtorch.py WHEELS DESTINATION VERSION."""

import shutil
import sys
import zipfile
from pathlib import Path

LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def main(wheels: Path, destination: Path, version: str) -> None:
    lib = destination / "lib"
    lib.mkdir(parents=True)
    found = set()
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name in LIBRARIES:
                    target = lib / Path(name).name
                    found.add(name)
                elif name.startswith("torch/include/") and not name.endswith("/"):
                    target = destination / name.removeprefix("torch/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                else:
                    continue
                with archive.open(name) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    if found != LIBRARIES:
        sys.exit(f"the wheels lack {', '.join(sorted(LIBRARIES - found))}")
    # torch-sys links -ltorch. The wheel's own libtorch.so needs libtorch_cuda, so a linker script stands in for it.
    (lib / "libtorch.so").write_text("INPUT ( -ltorch_cpu )\n")
    (destination / "build-version").write_text(version + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
