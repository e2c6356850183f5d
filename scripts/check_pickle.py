"""Compares what crates/pickle reads and writes with PyTorch, element by element.

usage: check_pickle.py BY_HAND [FILE.pth | FILE.pkl ...]

BY_HAND is the built example (`cargo build -p reeldeck-pickle --example by_hand`). Needs torch and numpy, so it is not part
of the tests. Writes every variant of torch.save below to a temporary folder, reads it with both and compares bit by bit; also
compares the given files.
"""
import collections
import pathlib
import pickle
import subprocess
import sys
import tempfile

import numpy
import torch

by_hand = sys.argv[1]
failures = 0


def run(*args):
    done = subprocess.run([by_hand, *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr.strip()


def report(what, problem, note=""):
    global failures
    failures += problem is not None
    print(f"{'ok  ' if problem is None else 'FAIL'} {what} {problem or note}".rstrip())


def same(values, expected):
    """Whether the floats are bit-identical. Any NaN equals any other, because conversions change its bits."""
    values, expected = values.astype("<f4"), expected.astype("<f4")
    return bool(((values.view("<u4") == expected.view("<u4")) | (numpy.isnan(values) & numpy.isnan(expected))).all())


def compare_checkpoint(what, path, expected):
    with tempfile.NamedTemporaryFile() as out:
        code, lines, notes = run("checkpoint", path, out.name)
        values = numpy.fromfile(out.name, "<f4")
    if code:
        return report(what, notes)
    names = [line.split("\t")[2] for line in lines]
    if names != list(expected):
        return report(what, f"names {names[:3]}... instead of {list(expected)[:3]}...")
    position = 0
    for line, (name, tensor) in zip(lines, expected.items()):
        dtype, shape, _ = line.split("\t")
        if f"torch.{dtype}" != str(tensor.dtype) or shape != str(list(tensor.shape)):
            return report(what, f"{name}: {dtype} {shape} instead of {tensor.dtype} {list(tensor.shape)}")
        flat = tensor.detach().to(torch.float32).contiguous().numpy().reshape(-1)
        if not same(values[position : position + flat.size], flat):
            return report(what, f"{name}: other values")
        position += flat.size
    skipped = notes.count("skipped ")
    report(what, None, f"{len(lines)} tensors, {position} elements" + (f", {skipped} skipped" if skipped else ""))


def save(folder, what, value, expected, **options):
    path = folder / f"{what.replace(' ', '_')}.pth"
    torch.save(value, path, **options)
    compare_checkpoint(what, path, expected)


def variants(folder):
    generator = torch.Generator().manual_seed(0)
    random = lambda *shape: torch.randn(*shape, generator=generator)
    base = random(6, 5, 4)
    plain = collections.OrderedDict(a=random(3, 4), b=torch.tensor(7), c=random(0, 3), d=random(2, 3, 1, 7, 7))
    types = {
        str(dtype): (random(50) * 50).to(dtype)
        for dtype in [
            torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
            torch.int8, torch.uint8, torch.bool,
        ]
    }
    edges = {
        "half": torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.float16),
        "bfloat16": torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16),
        "double": torch.tensor([1e300, -1e-300, 0.1, float("nan"), 2**24 + 1], dtype=torch.float64),
        "long": torch.tensor([2**24 + 1, -(2**63), 2**63 - 1]),
    }
    views = {
        "whole": base, "part": base[2:5, 1:3, ::2], "transposed": base.permute(2, 0, 1), "scalar": base[1, 2, 3],
        "expanded": random(4, 1).expand(4, 6), "windows": random(10).as_strided((4, 3), (2, 1), 1),
    }
    parameters = {"weight": torch.nn.Parameter(random(3, 3)), "frozen": torch.nn.Parameter(random(2), False)}
    with_attribute = torch.nn.Parameter(random(2))
    with_attribute.note = "an attribute"
    tagged = random(3)
    tagged.note = "an attribute"
    module = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(random(2, 3, 1, 2, 2)).sum().backward()
    optimizer.step()
    meta = {"epoch": 3, "rate": numpy.float64(0.1), "cfg": "a = 1\n", "classes": ("x", "y"), "array": numpy.ones(3)}
    full = {
        "meta": meta, "state_dict": module.state_dict(), "optimizer": optimizer.state_dict(),
        "message_hub": {"log_scalars": collections.OrderedDict(), "resumed_keys": {"x": True}, "kinds": {1, 2}},
        "param_schedulers": [{"last_step": 1}],
    }
    mixed = {"a": random(2), "epoch": 3, "name": "x", "none": None, "sparse": torch.eye(3).to_sparse(), "list": [random(1)]}
    mixed["complex"] = torch.zeros(2, dtype=torch.complex64)

    for kind, options in [("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})]:
        save(folder, f"{kind} plain", plain, plain, **options)
        save(folder, f"{kind} types", types, types, **options)
        save(folder, f"{kind} edges", edges, edges, **options)
        save(folder, f"{kind} views", views, views, **options)
        save(folder, f"{kind} parameters", parameters, parameters, **options)
        save(folder, f"{kind} attributes", {"a": with_attribute, "b": tagged}, {"a": with_attribute, "b": tagged}, **options)
        save(folder, f"{kind} full", full, module.state_dict(), **options)
        save(folder, f"{kind} mixed", mixed, {"a": mixed["a"]}, **options)
        for protocol in [2, 3, 4, 5]:
            save(folder, f"{kind} protocol {protocol}", {"state_dict": plain}, plain, pickle_protocol=protocol, **options)
    for what, value in [("whole module", module), ("number", 3)]:
        torch.save(value, folder / "other.pth")
        code, _, notes = run("checkpoint", folder / "other.pth", "/dev/null")
        report(f"refused: {what}", None if code else "it was read", notes)
    torch.jit.save(torch.jit.trace(module, random(2, 3, 1, 2, 2)), folder / "script.pt")
    code, _, notes = run("checkpoint", folder / "script.pt", "/dev/null")
    report("refused: TorchScript", None if code else "it was read", notes)


def compare_results(what, path):
    with open(path, "rb") as file:
        expected = pickle.load(file)
    with tempfile.NamedTemporaryFile() as out:
        code, lines, notes = run("results", path, out.name)
        values = numpy.fromfile(out.name, "<f4")
    if code:
        return report(what, notes)
    shapes = [f"Some({int(video['gt_label'][0])})\t{list(video['pred_score'].shape)}" for video in expected]
    flat = numpy.concatenate([video["pred_score"].numpy().reshape(-1) for video in expected])
    report(what, None if lines == shapes and same(values, flat) else "it differs", f"{len(lines)} videos, {flat.size} scores")


def element(tensor, index):
    """The formula of examples/by_hand.rs, in 32-bit floats."""
    f = numpy.float32
    return (index % 1000).astype(f) * f(0.1) - f(tensor)


def written(folder):
    path = folder / "ours.pth"
    run("write-checkpoint", path)
    for options in [{"weights_only": True}, {"weights_only": False}, {"weights_only": True, "mmap": True}]:
        ours = torch.load(path, **options)
        tensors = ours["state_dict"]
        weight = torch.from_numpy(element(0, numpy.arange(64 * 3 * 49))).reshape(64, 3, 1, 7, 7)
        bias = torch.tensor([float("nan"), float("inf"), -0.0, float(numpy.finfo(numpy.float32).tiny) / 2])
        good = (
            ours["meta"] == {"experiment_name": "by_hand", "note": "zwölf\nlines"}
            and type(tensors) is collections.OrderedDict
            and list(tensors)
            == ["backbone.conv1.conv.weight", "cls_head.fc_cls.bias", "bn.num_batches_tracked", "nothing", "größe"]
            and torch.equal(tensors["backbone.conv1.conv.weight"], weight)
            and torch.equal(tensors["cls_head.fc_cls.bias"].view(torch.int32), bias.view(torch.int32))
            and torch.equal(tensors["bn.num_batches_tracked"], torch.tensor(-(2**63)))
            and torch.equal(tensors["nothing"], torch.zeros(0, 3))
            and torch.equal(tensors["größe"], torch.tensor([[-1, 1]]))
        )
        report(f"written checkpoint, torch.load {options}", None if good else "it differs")
    compare_checkpoint("written checkpoint, read again", path, torch.load(path)["state_dict"])

    path = folder / "ours.pkl"
    run("write-results", path)
    with open(path, "rb") as file:
        results = pickle.load(file)
    problem = None if len(results) == 3 else f"{len(results)} videos"
    for video, result in enumerate(results):
        scores = torch.from_numpy(element(video, numpy.arange(70000) * 7919)).reshape(100, 700)
        if not (
            list(result) == ["img_shape", "num_classes", "pred_score", "gt_label", "pred_label", "pred_scores"]
            and result["img_shape"] == (256, 256)
            and result["num_classes"] == 100
            and torch.equal(result["pred_score"], scores)
            and result["pred_score"].stride() == (700, 1)
            and result["pred_scores"]["item"] is result["pred_score"]
            and torch.equal(result["gt_label"], torch.tensor([video * 1000 - 1]))
            and torch.equal(result["pred_label"], scores.argmax(dim=1, keepdim=True))
        ):
            problem = f"video {video} differs"
    report("written results, pickle.load", problem, f"{len(results)} videos")
    compare_results("written results, read again", path)
    try:
        import mmengine

        loaded = mmengine.load(str(path))
        report("written results, mmengine.load", None if torch.equal(loaded[2]["pred_score"], scores) else "it differs")
    except ImportError:
        print("     skipped: mmengine is not installed")
    for protocol in [2, 3, 4, 5]:
        with open(folder / "again.pkl", "wb") as file:
            pickle.dump(results, file, protocol)
        compare_results(f"results in protocol {protocol}", folder / "again.pkl")


with tempfile.TemporaryDirectory() as name:
    variants(pathlib.Path(name))
    written(pathlib.Path(name))
for file in sys.argv[2:]:
    if file.endswith(".pkl"):
        compare_results(file, file)
    else:
        value = torch.load(file, map_location="cpu", weights_only=False)
        tensors = value.get("state_dict", value)
        compare_checkpoint(file, file, tensors)
        with tempfile.NamedTemporaryFile(suffix=".pth") as copy:
            code, _, notes = run("copy-checkpoint", file, copy.name)
            copied = {} if code else torch.load(copy.name, weights_only=True)["state_dict"]
            good = list(copied) == list(tensors) and all(torch.equal(copied[name], tensors[name]) for name in copied)
            report(f"{file}, written again", None if good else notes or "it differs", f"{len(copied)} tensors")
sys.exit(failures > 0)
