#!/usr/bin/env python3
"""SlowOnly-R50 in plain PyTorch, the yardstick where MMAction2 is not installed: clips per second, fed from memory.

    scripts/gpu/plain_torch.py CHECKPOINT --device cuda:0 --precision bf16 [--seconds 10]
"""

import argparse
import json
import time

import torch
from torch import nn

KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: tuple, stride: int = 1, relu: bool = True):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), [k // 2 for k in kernel], bias=False)
        self.bn = nn.BatchNorm3d(outputs)
        self.relu = relu

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu_() if self.relu else x


class Block(nn.Module):
    def __init__(self, inputs: int, planes: int, frames: int, stride: int, shortcut: bool):
        super().__init__()
        self.conv1 = Conv(inputs, planes, (frames, 1, 1))
        self.conv2 = Conv(planes, planes, (1, 3, 3), stride)
        self.conv3 = Conv(planes, planes * 4, (1, 1, 1), relu=False)
        self.downsample = Conv(inputs, planes * 4, (1, 1, 1), stride, relu=False) if shortcut else None

    def forward(self, x):
        same = self.downsample(x) if self.downsample else x
        return (self.conv3(self.conv2(self.conv1(x))) + same).relu_()


class Network(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.backbone, self.cls_head = nn.Module(), nn.Module()
        self.backbone.conv1 = Conv(3, 64, (1, 7, 7), 2)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        inputs = 64
        for stage, count in enumerate([3, 4, 6, 3]):
            planes, blocks = 64 << stage, []
            for at in range(count):
                stride = 2 if at == 0 and stage > 0 else 1
                blocks.append(Block(inputs, planes, 3 if stage > 1 else 1, stride, at == 0))
                inputs = planes * 4
            setattr(self.backbone, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.cls_head.fc_cls = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.pool(self.backbone.conv1(x))
        for stage in range(1, 5):
            x = getattr(self.backbone, f"layer{stage}")(x)
        return self.cls_head.fc_cls(x.mean((2, 3, 4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--precision", choices=KINDS, default="fp32")
    parser.add_argument("--clips", type=int, default=20, help="clips per pass [default: %(default)s]")
    parser.add_argument("--side", type=int, default=256, help="side of a frame [default: %(default)s]")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    device, kind = torch.device(arguments.device), KINDS[arguments.precision]
    state = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    state = state.get("state_dict", state)
    model = Network(state["cls_head.fc_cls.bias"].numel())
    missing, unexpected = model.load_state_dict(state, strict=False)
    # A checkpoint may lack the counters of training steps.
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    model = model.eval().to(device, kind, memory_format=torch.channels_last_3d)
    clips = torch.randn(arguments.clips, 3, 8, arguments.side, arguments.side).to(device, kind, memory_format=torch.channels_last_3d)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with torch.inference_mode():
        model(clips)
        wait()
        started, passes = time.monotonic(), 0
        while passes < 2 or time.monotonic() - started < arguments.seconds:
            model(clips)
            wait()
            passes += 1
    print(json.dumps({"clips_per_s": passes * arguments.clips / (time.monotonic() - started), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
