"""Prints results as numpy 1 and 2 pickle them, as a list and as a dict, in protocols 0 to 5, in hexadecimal."""
import pickle
import struct
import sys
import types


def module(name):
    parent, _, child = name.rpartition(".")
    made = sys.modules[name] = types.ModuleType(name)
    if parent:
        setattr(sys.modules[parent], child, made)
    return made


def named(module, name, value):
    """Gives a function or class the name by which numpy pickles it."""
    value.__module__, value.__qualname__, value.__name__ = module.__name__, name, name
    setattr(module, name, value)
    return value


numpy = module("numpy")
ndarray = named(numpy, "ndarray", type("ndarray", (), {}))


class DType:
    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        order = "|" if self.name[1:] == "1" else "<"
        return dtype, (self.name, False, True), (3, order, None, None, None, -1, -1, 0)

    def __setstate__(self, state): ...


def dtype(*args): ...


named(numpy, "dtype", dtype)


class Array:
    """Pickles as the array of this shape, whose elements are `data` in row-major or column-major order."""

    def __init__(self, core, kind, data, shape, order="C"):
        self.core, self.kind, self.data, self.shape, self.order = core, kind, data, shape, order

    def __reduce_ex__(self, protocol):
        if protocol == 5:
            data = pickle.PickleBuffer(bytearray(self.data))
            return self.core.numeric._frombuffer, (data, DType(self.kind), self.shape, self.order)
        state = (1, self.shape, DType(self.kind), self.order == "F", self.data)
        return self.core.multiarray._reconstruct, (ndarray, (0,), b"b"), state

    def __setstate__(self, state): ...


class Scalar:
    def __init__(self, core, kind, data):
        self.core, self.kind, self.data = core, kind, data

    def __reduce__(self):
        return self.core.multiarray.scalar, (DType(self.kind), self.data)


for name in ["core", "_core"]:
    core = module(f"numpy.{name}")
    for child, functions in [("multiarray", ["_reconstruct", "scalar"]), ("numeric", ["_frombuffer"])]:
        inner = module(f"numpy.{name}.{child}")
        for function in functions:
            named(inner, function, lambda *args: None)
    results = [
        Array(core, "f4", struct.pack("<6f", 0.5, -1, 2, 3, 4, 5), (2, 3)),
        Array(core, "f4", struct.pack("<6f", 0.5, 3, -1, 4, 2, 5), (2, 3), "F"),
        Array(core, "f8", struct.pack("<2d", 0.1, -2), (2,)),
        Array(core, "f2", struct.pack("<2e", 0.5, 65504), (1, 2)),
        {"pred_score": Array(core, "f4", struct.pack("<3f", 7, 8, 9), (3,)), "gt_label": Scalar(core, "i8", struct.pack("<q", 7))},
    ]
    for protocol in range(6):
        print("list", pickle.dumps(results, protocol).hex())
        print("dict", pickle.dumps({f"v_{at}": result for at, result in enumerate(results)}, protocol).hex())
