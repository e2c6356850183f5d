"""Compares strided features with those of the original: check_strided.py FEATURES GOLDEN MODEL (FEATURES: out/features/<set>; GOLDEN:
a folder of <Class>__<file>.<MODEL>.s<stride>.npy). Prints a line a video, in Markdown, and ends with 1 where a difference is
over 2e-4 or a number of rows differs. Standard library only."""

import array
import json
import struct
import sys
from pathlib import Path

BOUND = 2e-4


def feature(path: Path) -> tuple[int, list[int], array.array]:
    """Stride, shape and values of a feature file's pooled rows."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    tensor = header["pooled"]
    start, end = tensor["data_offsets"]
    stride = json.loads(header["__metadata__"]["reeldeck"])["provenance"]["recipe"]["sampling"]["stride"]
    return stride, tensor["shape"], array.array("f", data[8 + length + start:8 + length + end])


def npy(path: Path) -> array.array:
    """Values of a little-endian float32 .npy file."""
    data = path.read_bytes()
    return array.array("f", data[10 + int.from_bytes(data[8:10], "little"):])


def main(features: Path, golden: Path, model: str) -> int:
    failed = compared = 0
    print("| video | stride | rows | max abs | relative L2 |")
    print("|---|---|---|---|---|")
    for path in sorted(features.glob("*/*.safetensors")):
        stride, (rows, width), ours = feature(path)
        reference = golden / f"{path.parent.name}__{path.stem}.{model}.s{stride}.npy"
        if not reference.exists():
            continue
        compared += 1
        theirs = npy(reference)
        name = f"{path.parent.name}/{path.stem}"
        if len(ours) != len(theirs):
            print(f"| {name} | {stride} | {rows}, theirs {len(theirs) // width} | | |")
            failed += 1
            continue
        differences = [abs(a - b) for a, b in zip(ours, theirs)]
        norm = sum(b * b for b in theirs) ** 0.5
        l2 = sum(d * d for d in differences) ** 0.5 / norm
        print(f"| {name} | {stride} | {rows} | {max(differences):.1e} | {l2:.1e} |")
        failed += max(differences) > BOUND
    print(f"\n{compared} compared, {failed} over {BOUND}")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
