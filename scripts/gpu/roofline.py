#!/usr/bin/env python3
"""Prints the highest speed that the network can reach on a GPU, according to the roofline model.

    scripts/gpu/roofline.py                                   the cards below
    scripts/gpu/roofline.py --card NAME,BF16,TF32,FP32,TB/S   another card: TFLOP/s of each precision, and its memory bandwidth

Each convolution of SlowOnly-R50 takes as long as its arithmetic at 80 % of the card's peak or its memory traffic at 85 % of the
bandwidth, whichever is longer. A convolution reads its input, writes its output, and in the last convolution of a block reads what
is added; ReLU and addition cost nothing more. The weights stay in the cache. A video has 100 clips of 8 frames, all distinct.
"""

import argparse
from dataclasses import dataclass

CLIPS, FRAMES, SIDE = 100, 8, 256
ARITHMETIC, BANDWIDTH = 0.80, 0.85
BYTES = {"bf16": 2, "tf32": 4, "fp32": 4}


@dataclass(frozen=True)
class Card:
    name: str
    # Dense TFLOP/s of the datasheet.
    bf16: float
    tf32: float
    fp32: float
    # TB/s.
    memory: float


CARDS = [
    Card("H200", 989, 494, 67, 4.8),
    Card("H100 SXM", 989, 494, 67, 3.35),
    Card("A100 80 GB", 312, 156, 19.5, 2.04),
    Card("L40S", 362, 183, 91.6, 0.864),
    Card("RTX 4090", 165, 82.6, 82.6, 1.008),
]


@dataclass(frozen=True)
class Layer:
    # Multiply-adds and values moved, for one frame.
    products: float
    values: float


def layers() -> list[Layer]:
    """The convolutions of SlowOnly-R50 on a frame of 256×256."""
    found = []

    def conv(inputs: int, outputs: int, taps: int, side: int, stride: int = 1, added: bool = False) -> int:
        out = side // stride
        moved = inputs * side * side + outputs * out * out * (2 if added else 1)
        found.append(Layer(inputs * outputs * taps * out * out, moved))
        return out

    side = conv(3, 64, 49, SIDE, 2) // 2
    inputs = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        planes = 64 << stage
        taps = 3 if stage > 1 else 1
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            if block == 0:
                conv(inputs, planes * 4, 1, side, stride)
            conv(inputs, planes, taps, side)
            out = conv(planes, planes, 9, side, stride)
            conv(planes, planes * 4, 1, out, added=True)
            side, inputs = out, planes * 4
    return found


def find(name: str) -> Card | None:
    """The card of this product name."""
    words = lambda card: [card.name] if card.name.startswith("RTX") else card.name.split()[:1]
    return next((card for card in CARDS if all(word in name for word in words(card))), None)


def videos_per_second(card: Card, precision: str) -> tuple[float, float]:
    """Videos per second, and the share of the time in which arithmetic is the limit."""
    peak, traffic = getattr(card, precision) * 1e12 * ARITHMETIC, card.memory * 1e12 * BANDWIDTH
    total = arithmetic = 0.0
    for layer in layers():
        computes = 2 * layer.products / peak
        moves = layer.values * BYTES[precision] / traffic
        total += max(computes, moves)
        arithmetic += computes if computes >= moves else 0.0
    return 1 / (total * CLIPS * FRAMES), arithmetic / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--card", help="NAME,BF16,TF32,FP32,TB/S")
    arguments = parser.parse_args()
    cards = CARDS
    if arguments.card:
        name, *numbers = arguments.card.split(",")
        cards = [Card(name, *map(float, numbers))]
    products = sum(layer.products for layer in layers()) * FRAMES
    print(f"{products / 1e9:.2f} G multiply-adds per clip, {2 * products * CLIPS / 1e12:.1f} TFLOP per video\n")
    print("| | bf16, videos/s | limited by arithmetic | tf32 | limited by arithmetic | fp32 | limited by arithmetic |")
    print("|---|---|---|---|---|---|---|")
    for card in cards:
        cells = [f"{speed:.2g} | {share:.0%}" for speed, share in (videos_per_second(card, p) for p in BYTES)]
        print(f"| {card.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
