"""Loads result.pkl as a trainer's script does, with a fake PyTorch, and prints its content."""
import pickle
import sys

from legacy import read_storage

with open(sys.argv[1], "rb") as file:
    results = pickle.load(file)
assert type(results) is list
keys = set()


def show(name, tensor):
    storage, offset, shape, strides, gradient, hooks = tensor["tensor"]
    assert (offset, gradient, len(hooks)) == (0, False, 0)
    (tag, kind, key, device, elements, view), data = read_storage(storage["storage"])
    assert (tag, device, view) == ("storage", "cpu", None)
    assert key not in keys
    keys.add(key)
    print(name, kind.__name__, elements, shape, strides, data.hex())


for result in results:
    print(list(result), result["img_shape"], result["num_classes"])
    for name in ["pred_score", "gt_label", "pred_label"]:
        show(name, result[name])
    assert list(result["pred_scores"]) == ["item"]
    assert result["pred_scores"]["item"] is result["pred_score"]
