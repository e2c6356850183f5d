#!/usr/bin/env python3
"""Saves a network as a TorchScript module for a recipe of the family `torchscript`, and prints the recipe's sections.

    python scripts/export_torchscript.py r2plus1d_18 OUT.pt [--weights FILE.pth]
    python scripts/export_torchscript.py vit OUT.pt

Needs torch, and torchvision for r2plus1d_18. `--weights` is a state dict; without it, the numbers are random. The vision
transformer is a small example of a network that only Python has.
"""

import argparse
import hashlib

import torch
from torch import nn


class Vit(nn.Module):
    """A small vision transformer over clips: batch × 3 × 16 × 112 × 112 to batch × 192."""

    def __init__(self, width=192, depth=2, heads=3):
        super().__init__()
        self.embed = nn.Conv3d(3, width, (2, 16, 16), (2, 16, 16))
        self.position = nn.Parameter(torch.randn(1, 8 * 7 * 7, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, width * 4, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, clips):
        tokens = self.embed(clips).flatten(2).transpose(1, 2) + self.position
        return self.norm(self.blocks(tokens).mean(1))


def r2plus1d_18():
    from torchvision.models.video import r2plus1d_18

    return r2plus1d_18(weights=None), 512


NETWORKS = {"r2plus1d_18": r2plus1d_18, "vit": lambda: (Vit(), 192)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("out")
    parser.add_argument("--weights")
    args = parser.parse_args()
    torch.manual_seed(1)
    model, width = NETWORKS[args.network]()
    if args.weights:
        model.load_state_dict(torch.load(args.weights, map_location="cpu", weights_only=True))
    if args.network == "r2plus1d_18":
        model.fc = nn.Identity()
    model.eval()
    clips = torch.rand(2, 3, 16, 112, 112)
    with torch.no_grad():
        # The trace is for one clip; the second example shows that it holds for other batches.
        module = torch.jit.trace(model, clips[:1], check_inputs=[(clips,)])
        assert module(clips).shape == (2, width)
    module.save(args.out)
    with open(args.out, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    print(f"""[sampling]
length = 16
interval = 1
stride = 16

[transform]
resize = "exact"
size = [128, 171]
filter = "torch-f32"
crop = 112
scale = 255.0
mean = [0.43216, 0.394666, 0.37645]
std = [0.22803, 0.22145, 0.216989]

[model]
family = "torchscript"
module = "{args.out}"
sha256 = "{digest}"
width = {width}""")


if __name__ == "__main__":
    main()
