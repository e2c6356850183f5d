#!/usr/bin/env python3
"""Checks reeldeck's results on a GPU, then measures its speed. Started by scripts/gpu-check.sh.

Prints Markdown, and writes it to target/gpu-check/results.md and all figures to results.json. If features or crops differ by
more than allowed, it exits with 1 and measures nothing. Standard library only.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import results
from bench import Bench
from budget import Late
from table import report

# The bounds of docs/PARITY.md: the largest difference in fp32, and the relative L2 of other precisions.
MOST, SHORT = 2e-4, 1e-2


def same_features(bench: Bench) -> bool:
    """Compares the device's features of all short videos with the CPU's in fp32."""
    right = True
    # With an unusual number of clips per pass, so that with --devices cpu the two sides differ.
    reference = bench.features("reference", "fp32", "cpu", bench.budget.share(4), 3)
    precisions = bench.precisions()
    print(f"| features on {bench.device} | largest difference from fp32 on the CPU | relative L2 | same highest class | |")
    print("|---|---|---|---|---|")
    for at, precision in enumerate(precisions):
        try:
            # The crops and the table need time, too.
            found = bench.features(f"same-{precision}", precision, bench.device, bench.budget.share(2 * (len(precisions) - at) + 2))
        except SystemExit:
            if not bench.lacks(precision):
                raise
            print(f"| {precision} | n/a | n/a | n/a | this GPU lacks it |", flush=True)
            continue
        off = results.differences(list(zip(found, reference)))
        bound = off["max_abs"] <= MOST if precision == "fp32" else off["relative_l2"] <= SHORT
        right &= bound
        bench.found["features"][precision] = off
        print(f"| {precision} | {off['max_abs']:.1e} | {off['relative_l2']:.1e} | {off['same_top_class']} of {off['clips']} clips "
              f"| {'within its bound' if bound else '**WRONG**'} |", flush=True)
    print()
    return right


def same_crops(bench: Bench) -> bool:
    """Compares crops of all videos decoded by NVDEC with those decoded by the CPU."""
    files = bench.short + bench.long
    by_cpu = bench.decode(files, None, 1, 1, bench.budget.share(6))["files"]
    if bench.gpu is None:
        print(f"Crops of NVDEC: n/a, {bench.device} has none; {len(by_cpu)} videos decoded by the CPU.")
        return True
    by_gpu = bench.decode(files, bench.gpu, 1, 1, bench.budget.share(6))["files"]
    different = [name for name in by_cpu if by_cpu[name]["md5"] != by_gpu[name]["md5"]]
    taken = [name for name in by_gpu if by_gpu[name]["decoder"] == "nvdec"]
    bench.found["crops"] = {"videos": len(by_cpu), "by_nvdec": len(taken), "different": different}
    print(f"Crops of NVDEC: {len(by_cpu)} videos, {len(taken)} of them by NVDEC, {len(different)} with other crops than the CPU's.")
    for name in different:
        print(f"- **WRONG**: {name}")
    if not taken:
        print("- **WRONG**: NVDEC decoded none. `reeldeck doctor` checks the driver and FFmpeg for NVDEC support.")
    print(flush=True)
    return not different and bool(taken)


def finished(check, bench: Bench) -> bool:
    """The result of a check. One that is not finished in time has failed."""
    try:
        return check(bench)
    except Late as late:
        print(f"- **NOT FINISHED** in time: {late}\n", flush=True)
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="cuda:0", help="one device, cuda:N or cpu [default: %(default)s]")
    parser.add_argument("--torch", type=Path, help="folder of the PyTorch with the CUDA libraries [default: the peer's, or else python3's]")
    parser.add_argument("--no-peer", action="store_true", help="without MMAction2, which takes 5 GB to install")
    parser.add_argument("--quick", action="store_true", help="few and short videos; the figures are meaningless")
    parser.add_argument("--correctness", action="store_true", help="only check the results, without the table")
    parser.add_argument("--prebuilt", type=Path, metavar="DIR", help="programs and videos that --prepare has put there; needs no cargo, no "
                        "network and no MMAction2, and ends within eight minutes")
    parser.add_argument("--minutes", type=float, help="end within this time, with what is measured by then [default: 8 with --prebuilt]")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for results [default: target/gpu-check]")
    parser.add_argument("--profile", choices=("release", "dev"), default="release", help="build profile [default: %(default)s]")
    arguments = parser.parse_args()
    if arguments.prebuilt and arguments.minutes is None:
        arguments.minutes = 8
    bench = Bench(arguments) # the time begins
    bench.prepare()
    bench.doctor()
    right = [finished(same_features, bench), finished(same_crops, bench)]
    if not all(right):
        print("A check failed, so nothing was measured. The output of the programs is in", bench.log)
        return 1
    if not arguments.correctness:
        bench.measure()
        text = report(bench.found)
        print(text, end="")
        (bench.work / "results.md").write_text(text)
    (bench.work / "results.json").write_text(json.dumps(bench.found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
