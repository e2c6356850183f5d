"""Runs MMAction2 on a list of videos with its own runner and config. Started by scripts/bench/main.py in the peer's Python.

Prints one JSON object per line: {"event": "begin"} when the model is loaded and the first video is requested, and the times at
the end. With --inputs-only, it measures decoding and transforms in one process without the model. With --openvino, OpenVINO runs
the backbone in fp32 instead of PyTorch.
"""

import argparse
import json
import os
import sys
import time
import types
from pathlib import Path

os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
# MMEngine chooses the first visible GPU when it is imported, so the device must be selected before.
if "--device" in sys.argv[:-1]:
    os.environ["CUDA_VISIBLE_DEVICES"] = sys.argv[sys.argv.index("--device") + 1].removeprefix("cuda:").replace("cpu", "")
sys.path[:] = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).resolve().parent]

import mmaction
import mmengine
import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmaction.utils import register_all_modules
from mmengine.hooks import Hook
from mmengine.runner import Runner

CONFIG = Path(mmaction.__file__).parent / ".mim/tools/data/hacs/slowonly_feature_infer.py"
DECODING = ("DecordInit", "SampleFrames", "DecordDecode")


def say(**what) -> None:
    print(json.dumps(what), flush=True)


def config(arguments: argparse.Namespace) -> mmengine.Config:
    """The published config with our folders and, if requested, other numbers of clips per video and per forward pass."""
    made = mmengine.Config.fromfile(CONFIG)
    made.default_scope = "mmaction"
    made.work_dir = str(arguments.out / "work")
    made.launcher = "none"
    dataset = made.test_dataloader.dataset
    dataset.ann_file = str(arguments.list)
    dataset.data_prefix = dict(video=str(arguments.root))
    for step in dataset.pipeline:
        if step["type"] == "SampleFrames":
            step["num_clips"] = arguments.clips
    made.test_evaluator.out_file_path = str(arguments.out / "result.pkl")
    made.load_from = str(arguments.checkpoint)
    if arguments.views:
        made.model.test_cfg = dict(max_testing_views=arguments.views)
    return made


class Clock(Hook):
    """Records the time of the model, and saves the logits."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments, self.out, self.model, self.videos, self.versions = arguments, arguments.out, 0.0, 0, {}

    def before_test(self, runner):
        if self.arguments.openvino:
            self.versions["openvino"] = with_openvino(runner.model, self.arguments.views, self.arguments.threads)
        say(event="begin")

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        self.started = time.monotonic()

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.model += time.monotonic() - self.started
        for sample in outputs:
            np.save(self.out / f"{self.videos}.npy", sample.pred_score.cpu().numpy().astype(np.float32))
            self.videos += 1


def with_openvino(model: torch.nn.Module, clips: int, threads: int) -> str:
    """Replaces the model's backbone by the same network in OpenVINO, for `clips` clips a forward pass. Returns the version."""
    import openvino

    core = openvino.Core()
    # On processors with bfloat16 the default would be bf16.
    options = {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": "f32",
    }
    example = torch.zeros(clips, 3, 8, 256, 256)
    # MMAction2's eval() returns nothing.
    model.backbone.eval()
    network = openvino.convert_model(model.backbone, example_input=example, input=[openvino.PartialShape(list(example.shape))])
    compiled = core.compile_model(network, "CPU", options)

    class Backbone(torch.nn.Module):
        def forward(self, clips):
            return torch.from_numpy(compiled(clips.numpy())[0])

    model.backbone = Backbone()
    return openvino.get_version()


def inputs_only(made: mmengine.Config) -> None:
    steps = [TRANSFORMS.build(step) for step in made.test_dataloader.dataset.pipeline]
    decode = other = 0.0
    dataset = made.test_dataloader.dataset
    names = [line.rsplit(" ", 1)[0] for line in Path(dataset.ann_file).read_text().splitlines() if line]
    for name in names:
        results = dict(filename=f"{dataset.data_prefix.video}/{name}", label=-1, start_index=0, modality="RGB")
        for step in steps:
            before = time.process_time()
            results = step(results)
            spent = time.process_time() - before
            if type(step).__name__ in DECODING:
                decode += spent
            else:
                other += spent
    say(event="inputs", decode_cpu_s=decode, transform_cpu_s=other, videos=len(names))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--list", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--views", type=int, default=0, help="clips per forward pass; 0: all clips of a video, as published")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", help="cpu or cuda:N [default: chosen by MMEngine]")
    parser.add_argument("--inputs-only", action="store_true")
    parser.add_argument("--openvino", action="store_true", help="needs --views that divides --clips, because the shape is fixed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    register_all_modules(init_default_scope=True)
    made = config(arguments)
    if arguments.inputs_only:
        inputs_only(made)
        return
    runner = Runner.from_cfg(made)
    clock = Clock(arguments)
    runner.register_hook(clock)
    runner.test()
    versions = dict(torch=torch.__version__, mmaction2=mmaction.__version__, python=sys.version.split()[0], **clock.versions)
    device = str(next(runner.model.parameters()).device)
    say(event="end", model_s=clock.model, videos=clock.videos, versions=versions, device=device)


if __name__ == "__main__":
    main()
