"""Compares features with logits of the original: check_logits.py FEATURES LOGITS (FEATURES: out/features/<set>; LOGITS: a
folder of <Class>__<file>.<clips>.npy). Prints a Markdown table with one row per video. Standard library only."""

import array
import json
import struct
import sys
from pathlib import Path


def feature(path: Path) -> tuple[list[int], array.array]:
    """Shape and values of a feature file's logits."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    tensor = json.loads(data[8:8 + length])["logits"]
    start, end = tensor["data_offsets"]
    return tensor["shape"], array.array("f", data[8 + length + start:8 + length + end])


def npy(path: Path) -> array.array:
    """Values of a little-endian float32 .npy file."""
    data = path.read_bytes()
    return array.array("f", data[10 + int.from_bytes(data[8:10], "little"):])


def main(features: Path, logits: Path) -> None:
    print("| video | clips | max abs | relative L2 | clips over 2e-4 | same top class |")
    print("|---|---|---|---|---|---|")
    for path in sorted(features.glob("*/*.safetensors")):
        name = f"{path.parent.name}/{path.stem}"
        (clips, classes), ours = feature(path)
        golden = logits / f"{path.parent.name}__{path.stem}.{clips}.npy"
        if not golden.exists():
            continue
        theirs = npy(golden)
        differences = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
        rows = [slice(i * classes, (i + 1) * classes) for i in range(clips)]
        over = sum(max(differences[row]) > 2e-4 for row in rows)
        top = sum(max(range(classes), key=ours[row].__getitem__) == max(range(classes), key=theirs[row].__getitem__) for row in rows)
        norm = sum(b * b for b in theirs) ** 0.5
        l2 = sum(d * d for d in differences) ** 0.5 / norm
        print(f"| {name} | {clips} | {max(differences):.1e} | {l2:.1e} | {over} | {top} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
