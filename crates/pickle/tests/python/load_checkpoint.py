"""Loads a checkpoint with Python's own zip and pickle modules and prints its content."""
import pickle
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    names = archive.namelist()
    assert names[0] == "archive/data.pkl", names
    assert archive.read("archive/version") == b"3\n"
    assert archive.read("archive/byteorder") == b"little"
    unpickler = pickle.Unpickler(archive.open("archive/data.pkl"))
    unpickler.persistent_load = lambda identity: identity
    value = unpickler.load()
    assert list(value) == ["meta", "state_dict"], value
    for key, text in value["meta"].items():
        print(key, text.encode().hex())
    print(type(value["state_dict"]).__name__)
    for name, tensor in value["state_dict"].items():
        (tag, kind, key, device, elements), offset, shape, strides, gradient, hooks = tensor["tensor"]
        assert (tag, device, offset, gradient, len(hooks)) == ("storage", "cpu", 0, False, 0)
        data = archive.read(f"archive/data/{key}")
        print(name, kind.__name__, elements, shape, strides, data.hex())
