#!/usr/bin/env python3
"""Saves a network as a TorchScript module for a recipe of the family `torchscript`, and prints the recipe's sections.

    python scripts/export_torchscript.py r2plus1d_18 OUT.pt [--weights FILE.pth]
    python scripts/export_torchscript.py vit OUT.pt
    python scripts/export_torchscript.py tsp OUT.pt --repository DIR [--weights FILE.pth]
    python scripts/export_torchscript.py internvideo2_1B OUT.pt --repository DIR [--weights FILE.pth] [--frames N]

Needs torch, and torchvision for r2plus1d_18 and tsp, timm and einops for internvideo2. DIR is a clone of
https://github.com/HumamAlwassel/TSP or https://github.com/OpenGVLab/InternVideo. Without `--weights`, the numbers are random. `vit` is a
small example of a network that only Python has.
"""

import argparse
import hashlib
import importlib
import sys
import types
from pathlib import Path

import torch
from torch import nn

KINETICS = "scale = 255.0\nmean = [0.43216, 0.394666, 0.37645]\nstd = [0.22803, 0.22145, 0.216989]"
IMAGENET = "scale = 255.0\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]"
R2PLUS1D = f'resize = "exact"\nsize = [128, 171]\nfilter = "torch-f32"\ncrop = 112\n{KINETICS}'


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


class TokenMean(nn.Module):
    def forward(self, tokens):
        return tokens.mean(1)


def vit(args):
    return Vit(), 192, 112, R2PLUS1D


def r2plus1d_18(args):
    from torchvision.models.video import r2plus1d_18

    model = r2plus1d_18(weights=None)
    if args.weights:
        model.load_state_dict(state_dict(args.weights))
    model.fc = nn.Identity()
    return model, 512, 112, R2PLUS1D


def tsp(args):
    """R(2+1)D-34 as TSP's extract_features.py runs it, at 15 frames per second."""
    backbone = module_of(Path(args.repository) / "models", "backbone")
    model = backbone.r2plus1d_34(pretrained=False)
    # TSP's own `Model` replaces the layer like this.
    model.fc = nn.Sequential()
    if args.weights:
        weights = state_dict(args.weights)["model"]
        features = {name.removeprefix("features."): weight for name, weight in weights.items() if name.startswith("features.")}
        model.load_state_dict(features)
    return model, 512, 112, R2PLUS1D


def internvideo2(args):
    """The vision encoder of InternVideo2, with the mean over its tokens instead of the attention pool and the classifier. The
    transform is the one of its evaluation."""
    # Only CUDA has these. The network does without them.
    for name, members in (("flash_attn.modules.mlp", ["FusedMLP"]), ("flash_attn.ops.rms_norm", ["DropoutAddRMSNorm"]),
                          ("flash_attn.flash_attn_interface", ["flash_attn_varlen_qkvpacked_func"]),
                          ("flash_attn.bert_padding", ["unpad_input", "pad_input"])):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
        for member in members:
            setattr(sys.modules[name], member, None)
    models = module_of(Path(args.repository) / "InternVideo2/single_modality/models", "internvideo2")
    size = args.network.removeprefix("internvideo2_")
    plain = dict(use_flash_attn=False, use_fused_rmsnorm=False, use_fused_mlp=False)
    model = getattr(models, f"internvideo2_{size}_patch14_224")(num_frames=args.frames, **plain)
    if args.weights:
        weights = state_dict(args.weights)
        weights = weights.get("module", weights.get("model", weights))
        # The classifier of the checkpoint may have another number of classes.
        model.load_state_dict({name: weight for name, weight in weights.items() if not name.startswith("head.")}, strict=False)
        lacking = [name for name in model.state_dict() if name.startswith(("patch_embed", "blocks", "pos_embed")) and name not in weights]
        assert not lacking, f"{args.weights} lacks {lacking[:3]}"
    model.clip_projector, model.fc_norm, model.fc_dropout, model.head = TokenMean(), nn.Identity(), nn.Identity(), nn.Identity()
    return model, model.embed_dim, 224, f'resize = "short-side"\nsize = 224\nfilter = "opencv-u8"\ncrop = 224\n{IMAGENET}'


SIZES = ("small", "base", "large", "1B", "6B")
NETWORKS = {"r2plus1d_18": r2plus1d_18, "vit": vit, "tsp": tsp} | {f"internvideo2_{size}": internvideo2 for size in SIZES}


def state_dict(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def module_of(folder, name):
    """A module of a package, without what the package itself imports."""
    package = types.ModuleType("original")
    package.__path__ = [str(folder)]
    sys.modules["original"] = package
    return importlib.import_module(f"original.{name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("out")
    parser.add_argument("--weights")
    parser.add_argument("--repository", help="a clone of the original's repository")
    parser.add_argument("--frames", type=int, default=16, help="frames per clip, for internvideo2 as in its checkpoint [default: 16]")
    args = parser.parse_args()
    torch.manual_seed(1)
    model, width, size, transform = NETWORKS[args.network](args)
    model.eval()
    clips = torch.rand(2, 3, args.frames, size, size)
    with torch.no_grad():
        # The trace is for one clip; the second example shows that it holds for other batches.
        module = torch.jit.trace(model, clips[:1], check_inputs=[(clips,)])
        assert module(clips).shape == (2, width), module(clips).shape
    module.save(args.out)
    with open(args.out, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    print(f"""[sampling]
length = {args.frames}
interval = 1
stride = 16

[transform]
{transform}

[model]
family = "torchscript"
module = "{args.out}"
sha256 = "{digest}"
width = {width}""")


if __name__ == "__main__":
    main()
