"""Writes checkpoints as PyTorch does, and broken ones, to the given folder."""
import collections
import io
import os
import pickle
import struct
import sys
import zipfile

import torch
import torch._tensor
import torch._utils
from legacy import Pickler, Storage, write

out = sys.argv[1]


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def tensor(storage, offset, shape, strides):
    arguments = (storage, offset, shape, strides, False, collections.OrderedDict())
    return Call(torch._utils._rebuild_tensor_v2, *arguments)


def save(name, data):
    with open(os.path.join(out, name), "wb") as file:
        file.write(data)


class ZipPickler(Pickler):
    legacy = False


class Unseekable(io.RawIOBase):
    """A writer that cannot seek, so that zipfile writes sizes after an entry's data."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def archive(value, storages, *, byteorder=b"little", extra=(), method=zipfile.ZIP_STORED, large=False, pipe=False):
    stream = io.BytesIO()
    ZipPickler(stream, 2).dump(value)
    entries = [("root/data.pkl", stream.getvalue()), ("root/byteorder", byteorder)]
    entries += [(f"root/data/{storage.key}", storage.data) for storage in storages]
    entries += [("root/version", b"3\n"), *extra]
    stream = Unseekable() if pipe else io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in entries:
            with file.open(name, "w", force_zip64=large) as entry:
                entry.write(data)
    return bytes(stream.data) if pipe else stream.getvalue()


floats = Storage(torch.FloatStorage, "0", 12, struct.pack("<12f", *range(12)))
halves = Storage(torch.HalfStorage, "1", 3, struct.pack("<3e", 0.5, -1, 65504))
brains = Storage(torch.BFloat16Storage, "2", 2, b"\x80\x3f\x49\x40")
longs = Storage(torch.LongStorage, "3", 1, struct.pack("<q", -7))
doubles = Storage(torch.DoubleStorage, "4", 2, struct.pack("<2d", 0.1, 1e300))
bools = Storage(torch.BoolStorage, "5", 3, b"\0\1\0")
storages = [floats, halves, brains, longs, doubles, bools]

state_dict = collections.OrderedDict()
state_dict["whole"] = tensor(floats, 0, (3, 4), (4, 1))
state_dict["transposed"] = tensor(floats, 0, (4, 3), (1, 4))
state_dict["part"] = tensor(floats, 5, (2, 2), (4, 2))
state_dict["expanded"] = tensor(floats, 11, (2, 3), (0, 0))
state_dict["half"] = tensor(halves, 0, (3,), (1,))
state_dict["bfloat16"] = tensor(brains, 0, (2,), (1,))
state_dict["steps"] = tensor(longs, 0, (), ())
state_dict["double"] = tensor(doubles, 0, (2, 1), (1, 1))
state_dict["bool"] = tensor(bools, 1, (2,), (1,))
parameter = Call(torch._utils._rebuild_parameter, tensor(floats, 2, (2,), (3,)), True, collections.OrderedDict())
state_dict["parameter"] = parameter
subclass = (torch._utils._rebuild_tensor_v2, dict, tensor(floats, 1, (1,), (1,)).args, {"note": 1})
state_dict["subclass"] = Call(torch._tensor._rebuild_from_type_v2, *subclass)
state_dict["old"] = Call(torch._utils._rebuild_tensor, floats, 3, (1, 1), (9, 9))
state_dict["empty"] = tensor(floats, 0, (0, 4), (4, 1))
state_dict["epoch"] = 3
state_dict["sparse"] = Call(torch._utils._rebuild_sparse_tensor, 1)
# The attribute that PyTorch stores with a state dict.
state_dict._metadata = collections.OrderedDict([("", {"version": 1})])
meta = {"epoch": 7, "rate": 0.5, "best": True, "cfg": "a = 1\n", "classes": ("x", "y"), "nothing": None}
full = {
    "meta": meta,
    "state_dict": state_dict,
    "optimizer": {"state": {0: {"momentum_buffer": tensor(floats, 0, (12,), (1,))}}, "param_groups": [{"lr": 0.1}]},
    "message_hub": {"log_scalars": collections.OrderedDict(), "kinds": {1, 2}},
}

save("full.pth", archive(full, storages))
save("bare.pth", archive(state_dict, storages))
save("zip64.pth", archive(full, storages, large=True))
save("pipe.pth", archive(full, storages, pipe=True))
for protocol in range(1, 6):
    save(f"legacy{protocol}.pth", write(full, storages, protocol))
odd = Storage(torch.ComplexFloatStorage, "c", 1, bytes(8))
part = floats._replace(view=("v", 4, 4))
views = {"complex": tensor(odd, 0, (1,), (1,)), "part": tensor(part, 1, (3,), (1,))}
save("legacy_views.pth", write(views, [odd, floats]))

save("bigendian.pth", archive(full, storages, byteorder=b"big"))
save("legacy_bigendian.pth", write(full, storages, little_endian=False))
save("compressed.pth", archive(full, storages, method=zipfile.ZIP_DEFLATED))
save("script.pth", archive(full, storages, extra=[("root/constants.pkl", b""), ("root/code/a.py", b"")]))
save("missing.pth", archive(full, storages[1:]))
save("short.pth", archive(full, [floats._replace(data=floats.data[:-1]), *storages[1:]]))
save("model.pth", archive(Call(dict), storages))
save("keys.pth", archive({"model": state_dict, "optimizer": {}}, storages))
for name, bad in [
    ("past", tensor(floats, 1, (3, 4), (4, 1))),
    ("negative", tensor(floats, 0, (3,), (-1,))),
    ("huge", tensor(floats, 0, (1 << 40, 1 << 40), (0, 0))),
    ("strides", tensor(floats, 0, (3,), (1, 1))),
    ("nowhere", tensor(3, 0, (3,), (1,))),
]:
    save(f"tensor_{name}.pth", archive({"good": state_dict["whole"], name: bad}, storages))

# Pickles that run a command when Python loads them.
attack = Call(os.system, f"touch {os.path.join(out, 'executed')}")
state_dict["attack"] = attack
full["attack"] = attack
full["meta"]["attack"] = attack
save("attack.pth", archive(full, storages))
save("legacy_attack.pth", write(full, storages))
# Verifies that the fixture works in Python.
pickle.loads(pickle.dumps(Call(os.system, f"touch {os.path.join(out, 'would_be_executed')}")))

buffers = []
save("buffers.pkl", pickle.dumps([pickle.PickleBuffer(b"abc")], 5, buffer_callback=buffers.append))
cycle = []
cycle.append(cycle)
save("cycle.pkl", pickle.dumps(cycle))
deep = []
sys.setrecursionlimit(5000)
for _ in range(1000):
    deep = [deep]
save("deep.pkl", pickle.dumps(deep, 0))

# Features by name, as `torch.save` writes a dict of tensors.
features = {"v_a": tensor(floats, 0, (3, 4), (4, 1)), "v_b": tensor(halves, 0, (1, 3), (3, 1))}
save("features.pth", archive(features, [floats, halves]))
save("features-legacy.pth", write(features, [floats, halves]))
