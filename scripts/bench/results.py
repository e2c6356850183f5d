"""Results of the benchmark: differences of features, and the table."""

import array
import json
import math
import statistics
import struct
from pathlib import Path


def feature(path: Path, output: str = "logits") -> array.array:
    """The values of an output in a feature file."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    start, end = json.loads(data[8:8 + length])[output]["data_offsets"]
    return array.array("f", data[8 + length + start:8 + length + end])


def npy(path: Path) -> array.array:
    """The values of a little-endian float32 .npy file."""
    data = path.read_bytes()
    return array.array("f", data[10 + int.from_bytes(data[8:10], "little"):])


def differences(pairs: list) -> dict:
    """The largest difference, the relative L2 over all numbers, the number of clips within 2e-4, and the number of clips with
    the same highest class."""
    most, square, norm, near, same, clips = 0.0, 0.0, 0.0, 0, 0, 0
    for ours, theirs in pairs:
        assert len(ours) == len(theirs), "features of different shapes"
        off = [a - b for a, b in zip(ours, theirs)]
        most = max(most, max(map(abs, off)))
        square += sum(d * d for d in off)
        norm += sum(b * b for b in theirs)
        for start in range(0, len(ours), 700):
            a, b = ours[start:start + 700], theirs[start:start + 700]
            near += all(abs(x - y) <= 2e-4 for x, y in zip(a, b))
            same += max(range(700), key=a.__getitem__) == max(range(700), key=b.__getitem__)
            clips += 1
    return {"max_abs": most, "relative_l2": math.sqrt(square / norm), "near": near, "same_top_class": same, "clips": clips}


def median(turns: list[dict], key: str) -> float:
    return statistics.median(turn[key] for turn in turns)


def ratio(turns: dict, fast: str, slow: str) -> list[float]:
    """How many times faster `fast` is than `slow`, for each turn."""
    return [b["wall_s"] / a["wall_s"] for a, b in zip(turns[fast], turns[slow])]


def table(found: dict) -> str:
    """The results as Markdown."""
    videos, clips, turns = len(found["videos"]), found["clips"], found["turns"]
    lines = [
        "| | videos/s | clips/s | job, s | decode, CPU s | model, s | other, s | CPU s | peak memory, MiB | start, s | others' CPUs |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, label in found["labels"].items():
        of = turns[name]
        wall = median(of, "wall_s")
        row = [label, f"{videos / wall:.4f}", f"{videos * clips / wall:.2f}", f"{wall:.1f}"]
        row += [f"{median(of, key):.1f}" for key in ("decode_cpu_s", "model_s", "other_s", "cpu_s")]
        row += [f"{median(of, 'peak_mib'):.0f}", f"{median(of, 'start_s'):.1f}", f"{median(of, 'others'):.1f}"]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "| ours | against | times faster, median of the turns | each turn | by CPU seconds | by seconds in the model |"]
    lines += ["|---|---|---|---|---|---|"]
    for fast in ("fp32", "bf16"):
        for slow in ("best", "published", "openvino"):
            if not {fast, slow} <= turns.keys():
                continue
            each = ratio(turns, fast, slow)
            by = lambda key: statistics.median(b[key] / a[key] for a, b in zip(turns[fast], turns[slow]))
            shown = " ".join(f"{value:.2f}" for value in each)
            lines.append(
                f"| {found['labels'][fast]} | {found['labels'][slow]} | **{statistics.median(each):.2f}** | {shown} "
                f"| {by('cpu_s'):.2f} | {by('model_s'):.2f} |")
    head = "| logits of | against | largest difference | relative L2 | clips within 2e-4 | same highest class | clips |"
    lines += ["", head, "|---|---|---|---|---|---|---|"]
    for (name, against), off in found["differences"]:
        lines.append(
            f"| {found['labels'][name]} | {found['labels'][against]} | {off['max_abs']:.1e} | {off['relative_l2']:.1e} "
            f"| {off['near']} | {off['same_top_class']} | {off['clips']} |")
    return "\n".join(lines) + "\n"
