"""Reads reeldeck's exports with the trainers and libraries that they are for. Run by scripts/interop.sh.

usage: interop.py REELDECK DIR

DIR was created by `made_features`. Every check prints one line: `ok`, `FAIL` or `SKIPPED`. Skipped and failed checks are listed
again at the end. Exits with 1 if any failed.
"""
import contextlib
import importlib.metadata
import io
import json
import os
import pathlib
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
import types

# Since torch 2.6, torch.load loads only weights by default; mmengine's checkpoints contain more.
os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

import mmengine
import numpy as np
import torch

reeldeck, work = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
failed, skipped = [], []


def run(*args):
    command = [reeldeck, "--root", work / "data", "--out", work / "out", "-q", *args]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def export(*args):
    done = run("export", *args)
    if done.returncode:
        sys.exit(f"reeldeck export {' '.join(args)} failed with {done.returncode}: {done.stderr}")


def check(what):
    """Runs a check immediately. It returns a note for its line, raises Skip, or fails with any other exception."""

    def now(function):
        try:
            note = function()
            print(f"ok       {what}{': ' + note if note else ''}", flush=True)
        except Skip as why:
            skipped.append(f"{what}: {why}")
            print(f"SKIPPED  {what}: {why}", flush=True)
        except Exception:
            failed.append(what)
            print(f"FAIL     {what}\n{traceback.format_exc()}", flush=True)

    return now


class Skip(Exception):
    pass


def equal(a, b):
    """Asserts equal type, shape and bits."""
    assert a.dtype == b.dtype == np.float32 and a.shape == b.shape, (a.dtype, a.shape, b.dtype, b.shape)
    np.testing.assert_array_equal(np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32))


export("--format", "pkl,csv,npy,npz,h5")
export("--format", "csv", "--compact")
export("--format", "npy", "--layout", "ct")
(exports,) = (work / "out/exports").iterdir()
entries = json.loads((exports / "npy/dataset.json").read_text())["videos"]
ids = [entry["id"] for entry in entries]
npy = {name: np.load(exports / f"npy/{name}.npy") for name in ids}
lines = (exports / "hacs_data.txt").read_text().splitlines()


@check("numpy.load of npy and npz")
def _():
    for name in ids:
        array = npy[name]
        assert array.dtype == np.float32 and array.shape == (100, 700) and array.flags.c_contiguous
        saved = io.BytesIO()
        np.save(saved, array)
        assert saved.getvalue() == (exports / f"npy/{name}.npy").read_bytes(), f"{name} is not what numpy.save writes"
        with np.load(exports / f"npz/{name}.npz") as archive:
            assert archive.files == ["feats"]
            equal(archive["feats"], array)
        equal(np.load(exports / f"npy-ct/{name}.npy").T, array)
        equal(np.array(np.load(exports / f"npy/{name}.npy", mmap_mode="r")), array)
    return f"{len(ids)} videos, the bytes of numpy.save"


def same_results(results):
    assert isinstance(results, list) and len(results) == len(lines) == len(ids)
    for result, line in zip(results, lines):
        name = line.split()[0].split("/")[1].rsplit(".", 1)[0]
        scores = result["pred_score"]
        assert isinstance(scores, torch.Tensor) and result["pred_scores"]["item"] is scores
        equal(scores.numpy(), npy[name])
        assert torch.equal(result["pred_label"][:, 0], scores.argmax(dim=1)) and result["gt_label"].tolist() == [-1]
        assert result["num_classes"] == 100 and result["img_shape"] == (256, 256)
    return f"{len(results)} results"


@check("pickle.load of result.pkl")
def _():
    with open(exports / "result.pkl", "rb") as file:
        return same_results(pickle.load(file))


@check("mmengine.load of result.pkl")
def _():
    return same_results(mmengine.load(str(exports / "result.pkl")))


def hacs_script(name):
    import mmaction

    return pathlib.Path(mmaction.__file__).parent / ".mim/tools/data/hacs" / name


def import_mmaction():
    """Imports MMAction2. The wheel of 1.2.0 lacks a file of an unused model, and does not declare one requirement."""
    try:
        import importlib_metadata  # noqa: F401
    except ImportError:
        # It is in Python's standard library now.
        sys.modules["importlib_metadata"] = importlib.metadata
    for name in ("mmaction.models.localizers.drn", "mmaction.models.localizers.drn.drn"):
        try:
            __import__(name)
        except ImportError:
            sys.modules.setdefault(name, types.ModuleType(name)).DRN = type("DRN", (), {})
    from mmaction.utils import register_all_modules

    register_all_modules(init_default_scope=True)


@check("the original's write_feature_csv.py, unmodified, on result.pkl and its list")
def _():
    script = pathlib.Path(os.environ.get("WRITE_FEATURE_CSV") or hacs_script("write_feature_csv.py"))
    if not script.is_file():
        raise Skip(f"{script} does not exist; name the script with WRITE_FEATURE_CSV")
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder) / "tools/data/hacs"
        place.mkdir(parents=True)
        for name in ("result.pkl", "hacs_data.txt"):
            shutil.copy(exports / name, place)
        subprocess.run([sys.executable, script], cwd=place, check=True, capture_output=True)
        written = {path.name: path.read_bytes() for path in pathlib.Path(folder).glob("data/HACS/slowonly_feature/*")}
    ours = {f"{name}.csv": (exports / f"csv/{name}.csv").read_bytes() for name in ids}
    # Its only fault (docs/EXPORTS.md): it replaces `mp4` inside names, too.
    renamed = {f"{name}.mp4".replace("mp4", "csv"): f"{name}.csv" for name in ids}
    assert written.keys() == renamed.keys(), written.keys() ^ renamed.keys()
    for theirs, own in renamed.items():
        assert written[theirs] == ours[own], f"{own} differs"
    odd = [theirs for theirs, own in renamed.items() if theirs != own]
    size = sum(map(len, ours.values()))
    return f"{len(ours)} files equal to the byte ({size} bytes); {len(odd)} with another name because of its known fault: {odd}"


@check("numpy.loadtxt of csv, as MMAction2 and others read it")
def _():
    sizes = {}
    for folder in ("csv", "csv-compact"):
        sizes[folder] = sum((exports / folder / f"{name}.csv").stat().st_size for name in ids)
        for name in ids:
            path = exports / folder / f"{name}.csv"
            equal(np.loadtxt(path, dtype=np.float32, delimiter=",", skiprows=1), npy[name])
            if name == ids[0]:
                assert path.read_text().splitlines()[0] == ",".join(f"f{i}" for i in range(700))
    return f"the compact files take {sizes['csv-compact'] / sizes['csv']:.1%} of the space"


def of_any_floats():
    """The first video contains arbitrary floats: readers must read them, but training on them is impossible."""
    return max(ids, key=lambda name: np.abs(npy[name].astype(np.float64)).max())


any_floats = of_any_floats()


@check("pandas.read_csv of csv, as OpenTAD reads it")
def _():
    try:
        import pandas
    except ImportError:
        raise Skip("no pandas")
    for folder in ("csv", "csv-compact"):
        for name in ids:
            # pandas' default parser changes the last digit of some arbitrary floats, but not of logits.
            if name == any_floats:
                continue
            equal(pandas.read_csv(exports / folder / f"{name}.csv", dtype="float32").to_numpy(), npy[name])


@check("h5py of features.hdf5")
def _():
    try:
        import h5py
    except ImportError:
        raise Skip("no h5py")
    with h5py.File(exports / "h5/features.hdf5") as file:
        assert sorted(file) == sorted(ids)
        for name in ids:
            equal(file[name][()], npy[name])
    # The file with which the writer's own test compares.
    with h5py.File(pathlib.Path(__file__).parent.parent / "tests/golden/features.hdf5") as file:
        assert sorted(file) == sorted(["empty", "v_é b", *(f"v_{number}" for number in range(20))])
        equal(file["v_é b"][:], np.array([[1, 2, 3], [4, 5, -0.5]], np.float32))
        assert all(file[f"v_{number}"][0, 0] == number for number in range(20)) and file["empty"].shape == (0, 3)
    return f"{len(ids)} datasets, HDF5 {h5py.version.hdf5_version}"


def manifest():
    """Writes an annotation file in the format of HACS_segments_v1.1.1.json for the videos, and one video without a feature."""
    lot = random.Random(1)
    database = {}
    for number, entry in enumerate(entries):
        if entry["id"] == any_floats:
            continue
        duration = entry["duration_s"]
        start = lot.uniform(0, duration / 2)
        annotations = [
            {"label": entry["class"].replace("_", " "), "segment": [start, lot.uniform(start + duration / 10, duration)]}
        ]
        subset = "training" if number % 3 else "validation"
        database[entry["id"][2:]] = {
            "annotations": annotations, "duration": duration, "subset": subset, "url": "https://example.org",
        }
    database["no_feature_"] = {"annotations": annotations, "duration": 10.0, "subset": "training", "url": ""}
    path = work / "HACS_segments_v1.1.1.json"
    path.write_text(json.dumps({"database": database, "version": "1.1.1"}))
    return path


def annotations(source):
    """hacs_anno_{train,val,test}.json, from `reeldeck annotations` if that command exists, or else from this script."""
    folder = work / "out/annotations"
    if run("annotations", "--help").returncode == 0:
        done = run("annotations", "--manifest", source)
        # 3: the frame count of the video without a file is estimated.
        assert done.returncode in (0, 3), done.stderr
        return folder, "from reeldeck annotations"
    folder.mkdir(exist_ok=True)
    frames = {entry["id"]: entry["frames"] for entry in entries}
    parts = {"train": {}, "val": {}, "test": {}}
    for key, video in json.loads(source.read_text())["database"].items():
        part = {"training": "train", "validation": "val"}.get(video["subset"], "test")
        count = frames.get(f"v_{key}", int(video["duration"] * 30))
        parts[part][f"v_{key}"] = {
            "duration_second": float(video["duration"]), "annotations": video["annotations"],
            "feature_frame": count, "duration_frame": count,
        }
    for part, content in parts.items():
        (folder / f"hacs_anno_{part}.json").write_text(json.dumps(content))
    return folder, "from this script in the format of generate_anotations.py"


source = manifest()
annotated, how = annotations(source)


def snippet(folder, name, *args):
    done = subprocess.run([sys.executable, exports / folder / name, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@check("annotations.py of the csv folder omits videos without a feature")
def _():
    said = snippet("csv", "annotations.py", *sorted(annotated.glob("hacs_anno_*.json")))
    for part in ("train", "val"):
        kept = json.loads((exports / f"csv/hacs_anno_{part}.json").read_text())
        assert kept and set(kept) <= set(ids), kept.keys()
    return "; ".join(said)


def train_once(config, proposals):
    """Trains for one iteration on the CPU with the configuration of the snippet, changed only for the CPU."""
    import_mmaction()
    from mmaction.registry import DATASETS
    from mmengine.config import Config
    from mmengine.runner import Runner

    cfg = Config.fromfile(exports / "csv" / config)
    loader = cfg.train_dataloader
    part = json.loads(pathlib.Path(loader.dataset.ann_file).read_text())
    if proposals:
        # TCANet refines the proposals of another network, which MMAction2 reads from the annotations. These replace them.
        for video in part.values():
            start, end = (second / video["duration_second"] for second in video["annotations"][0]["segment"])
            video["proposals"] = [[start, end, 0.9], [start * 0.9, min(1.0, end * 1.1), 0.5], [0.0, 1.0, 0.1]]
        loader.dataset.ann_file = str(work / "with_proposals.json")
        pathlib.Path(loader.dataset.ann_file).write_text(json.dumps(part))
    loader.batch_size, loader.num_workers, loader.persistent_workers = 4, 0, False
    loader.sampler = dict(type="DefaultSampler", shuffle=False)
    loader.dataset.indices = 4
    for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
        cfg[key] = None
    cfg.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)
    cfg.work_dir = str(work / "work_dirs")
    cfg.log_level = "WARNING"
    cfg.default_hooks.checkpoint = None
    losses = {}

    class Watch(mmengine.hooks.Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            losses.update({key: value.item() for key, value in outputs.items()})
            losses["shape"] = tuple(data_batch["inputs"][0].shape)

    torch.manual_seed(1)
    with contextlib.redirect_stdout(io.StringIO()):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(Watch())
        before = {name: value.detach().clone() for name, value in runner.model.named_parameters()}
        dataset = DATASETS.build(loader.dataset)
        for sample in (dataset[index] for index in range(len(dataset))):
            name = sample["data_samples"].metainfo["video_name"]
            equal(sample["inputs"].numpy(), np.ascontiguousarray(npy[name].T))
        runner.train()
    moved = sum(not torch.equal(value, before[name]) for name, value in runner.model.named_parameters())
    assert losses.pop("shape") == (700, 100) and moved, "no parameter changed"
    assert all(np.isfinite(value) for value in losses.values()), losses
    return ", ".join(f"{key} {value:.3f}" for key, value in losses.items()) + f"; {moved} parameters changed"


@check(f"MMAction2 BMN, one iteration with the snippet (annotations {how})")
def _():
    return train_once("mmaction2_bmn.py", proposals=False)


@check(f"MMAction2 TCANet, one iteration with the snippet on its own config (annotations {how}, with added proposals)")
def _():
    return train_once("mmaction2_tcanet.py", proposals=True)


@check("actionformer.py writes annotations of the videos that have a feature")
def _():
    said = [snippet(folder, "actionformer.py", source)[0] for folder in ("npy", "h5")]
    database = json.loads((exports / "npy/actionformer.json").read_text())["database"]
    assert all(f"v_{key}" in npy for key in database) and database
    assert all("label_id" in one for video in database.values() for one in video["annotations"])
    return said[0]


def actionformer_config(folder):
    try:
        import yaml
    except ImportError:
        raise Skip("no yaml")
    return yaml.load((exports / folder / "actionformer.yaml").read_text(), Loader=yaml.FullLoader)


@check("ActionFormer's documented paths: FOLDER + prefix + id + extension, T x C; a dataset of that name in FILE.hdf5")
def _():
    for folder in ("npy", "h5"):
        dataset = actionformer_config(folder)["dataset"]
        keys = json.loads(pathlib.Path(dataset["json_file"]).read_text())["database"]
        for key in keys:
            if ".hdf5" in dataset["feat_folder"]:
                name = dataset["file_prefix"] + key
                assert os.path.exists(dataset["feat_folder"]) and name in npy
                continue
            path = os.path.join(dataset["feat_folder"], dataset["file_prefix"] + key + dataset["file_ext"])
            feats = np.load(path).astype(np.float32)
            assert feats.shape[1] == dataset["input_dim"] and feats.shape[0] <= dataset["max_seq_len"]


def in_clone(variable, url):
    place = os.environ.get(variable)
    if not place:
        raise Skip(f"{variable} does not name a clone of {url}")
    sys.path.insert(0, place)
    return place


@check("ActionFormer's own dataset and model, one iteration with the snippet")
def _():
    in_clone("ACTIONFORMER", "https://github.com/happyharrycn/actionformer_release")
    with contextlib.suppress(ImportError):
        import h5py  # noqa: F401
    try:
        import nms_1d_cpu  # noqa: F401
    except ImportError:
        # A C++ extension that only inference calls.
        sys.modules["nms_1d_cpu"] = types.ModuleType("nms_1d_cpu")
    try:
        from libs.core.config import load_config
        from libs.datasets import make_dataset
        from libs.modeling import make_meta_arch
    except ImportError as error:
        raise Skip(str(error))
    notes = []
    for folder in ("npy", "h5"):
        config = load_config(str(exports / folder / "actionformer.yaml"))
        database = json.loads(pathlib.Path(config["dataset"]["json_file"]).read_text())["database"]
        classes = {one["label"] for video in database.values() for one in video["annotations"]}
        config["dataset"]["num_classes"] = config["model"]["num_classes"] = len(classes)
        sets = [
            make_dataset(config["dataset_name"], training, config[split], **config["dataset"])
            for training, split in ((True, "train_split"), (False, "val_split"))
        ]
        items, plain = ([dataset[index] for index in range(len(dataset))] for dataset in sets)
        for item in plain:
            feats = torch.from_numpy(npy[f"v_{item['video_id']}"].T.copy())[None]
            resized = torch.nn.functional.interpolate(feats, size=192, mode="linear", align_corners=False)[0]
            assert torch.equal(item["feats"], resized)
        model = make_meta_arch(config["model_name"], **config["model"])
        losses = model(items[:4])
        losses["final_loss"].backward()
        assert torch.isfinite(losses["final_loss"])
        count, loss = len(items) + len(plain), losses["final_loss"].item()
        notes.append(f"{folder}: {count} videos, loss {loss:.3f}")
    return "; ".join(notes)


def opentad_folder():
    """A folder that fits the snippet's relative paths."""
    folder = work / "opentad"
    place = folder / "data/hacs-1.1.1/annotations"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, place)
    classes = sorted({entry["class"].replace("_", " ") for entry in entries})
    (place / "category_idx.txt").write_text("\n".join(classes) + "\n")
    return folder


@check("OpenTAD's documented paths: data_path/prefix + id.extension, T x C, ids without a file in block_list")
def _():
    from mmengine.config import Config

    for ending in ("npy", "npz"):
        with contextlib.chdir(opentad_folder()):
            cfg = Config.fromfile(exports / ending / "opentad.py")
        part = cfg.dataset.train
        assert part.block_list == ["no_feature_"], part.block_list
        load = part.pipeline[0]
        assert (load.type, load.feat_format, load.prefix) == ("LoadFeats", ending, "v_")
        for key in json.loads(source.read_text())["database"]:
            if key not in part.block_list:
                loaded = np.load(f"{part.data_path}{load.prefix}{key}.{ending}")
                feats = loaded if ending == "npy" else loaded["feats"]
                assert feats.astype(np.float32).shape == (100, 700)
        cfg.dump(str(work / "opentad_dumped.py"))


@check("OpenTAD's own dataset with the snippet")
def _():
    from mmengine.config import Config

    in_clone("OPENTAD", "https://github.com/sming256/OpenTAD")
    try:
        from opentad.datasets.builder import DATASETS
        import opentad.datasets  # noqa: F401
    except ImportError as error:
        raise Skip(str(error))
    notes = []
    for ending in ("npy", "npz"):
        with contextlib.chdir(opentad_folder()):
            cfg = Config.fromfile(exports / ending / "opentad.py")
            for part in ("train", "val", "test"):
                dataset = DATASETS.build(dict(cfg.dataset[part]))
                shapes = {tuple(dataset[index]["inputs"].shape) for index in range(len(dataset))}
                assert shapes == {(700, 224)}, shapes
                notes.append(f"{ending} {part} {len(dataset)}")
    return ", ".join(notes)


print()
for what in skipped:
    print(f"SKIPPED: {what}")
for what in failed:
    print(f"FAILED: {what}")
if failed:
    sys.exit(1)
print(f"all other checks passed; {len(skipped)} were skipped" if skipped else "all checks passed, none was skipped")
