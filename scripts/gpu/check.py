#!/usr/bin/env python3
"""reeldeck on a GPU: is it right there, and then how fast. Started by scripts/gpu-check.sh.

Prints Markdown, and writes it with all figures as JSON beside it (target/gpu-check/results.{md,json}). Ends with code 1 where
features or crops differ by more than they may, before anything is measured. Standard library only.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import results
from bench import Bench
from table import report

# What docs/PARITY.md allows: the largest difference in fp32, the relative L2 of what is faster.
MOST, SHORT = 2e-4, 1e-2


def same_features(bench: Bench) -> bool:
    """The device's features against the CPU's in fp32, of all short videos."""
    right = True
    # With another number of clips together than usual: the CPU is then not compared with itself, where it is the device.
    reference = bench.features("reference", "fp32", "cpu", 3)
    precisions = ("fp32", "tf32", "bf16") if bench.gpu is not None else ("fp32", "bf16")
    print(f"| features on {bench.device} | largest difference from fp32 on the CPU | relative L2 | same highest class | |")
    print("|---|---|---|---|---|")
    for precision in precisions:
        off = results.differences(list(zip(bench.features(f"same-{precision}", precision, bench.device), reference)))
        bound = off["max_abs"] <= MOST if precision == "fp32" else off["relative_l2"] <= SHORT
        right &= bound
        bench.found["features"][precision] = off
        print(f"| {precision} | {off['max_abs']:.1e} | {off['relative_l2']:.1e} | {off['same_top_class']} of {off['clips']} clips "
              f"| {'within its bound' if bound else '**WRONG**'} |", flush=True)
    print()
    return right


def same_crops(bench: Bench) -> bool:
    """The crops of NVDEC's pictures against those of the CPU's, of all videos."""
    files = bench.short + bench.long
    by_cpu = bench.decode(files, None, 1, 1)["files"]
    if bench.gpu is None:
        print(f"Crops of NVDEC: n/a, {bench.device} has none; {len(by_cpu)} videos decoded by the CPU.")
        return True
    by_gpu = bench.decode(files, bench.gpu, 1, 1)["files"]
    different = [name for name in by_cpu if by_cpu[name]["md5"] != by_gpu[name]["md5"]]
    taken = [name for name in by_gpu if by_gpu[name]["decoder"] == "nvdec"]
    bench.found["crops"] = {"videos": len(by_cpu), "by_nvdec": len(taken), "different": different}
    print(f"Crops of NVDEC: {len(by_cpu)} videos, {len(taken)} of them by NVDEC, {len(different)} with other crops than the CPU's.")
    for name in different:
        print(f"- **WRONG**: {name}")
    if not taken:
        print("- **WRONG**: NVDEC took none. `reeldeck doctor` says whether the driver has it; FFmpeg must be built with it.")
    print(flush=True)
    return not different and bool(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="cuda:0", help="one device, cuda:N or cpu [default: %(default)s]")
    parser.add_argument("--torch", type=Path, help="the PyTorch whose CUDA libraries are loaded [default: the peer's, else python3's]")
    parser.add_argument("--no-peer", action="store_true", help="without MMAction2, which takes 5 GB to install")
    parser.add_argument("--quick", action="store_true", help="few and short videos: figures without meaning")
    parser.add_argument("--correctness", action="store_true", help="no table")
    parser.add_argument("--profile", choices=("release", "dev"), default="release", help="which build [default: %(default)s]")
    bench = Bench(parser.parse_args())
    bench.prepare()
    bench.doctor()
    right = [same_features(bench), same_crops(bench)]
    if not all(right):
        print("Something is wrong, so nothing was measured. What the programs said is in", bench.log)
        return 1
    if not bench.arguments.correctness:
        bench.measure()
        text = report(bench.found)
        print(text, end="")
        (bench.work / "results.md").write_text(text)
    (bench.work / "results.json").write_text(json.dumps(bench.found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent.parent)
    sys.exit(main())
