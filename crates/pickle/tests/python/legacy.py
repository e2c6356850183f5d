"""Reads and writes the torch.save format from before zip, without PyTorch."""
import collections
import io
import pickle
import struct

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
Storage = collections.namedtuple("Storage", "kind key elements data view", defaults=[None])


class Pickler(pickle._Pickler):
    """The pickler written in Python: it asks for the persistent id of a namedtuple before it pickles it as a tuple."""

    legacy = True

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        identity = ("storage", value.kind, value.key, "cpu", value.elements)
        return identity + (value.view,) if self.legacy else identity


def read_storage(data):
    """The persistent id and the bytes of the only storage in a file of this format."""
    stream = io.BytesIO(data)
    assert pickle.load(stream) == MAGIC_NUMBER
    assert pickle.load(stream) == 1001
    system = pickle.load(stream)
    sizes = {"short": 2, "int": 4, "long": 4}
    assert system == {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}, system
    unpickler = pickle.Unpickler(stream)
    unpickler.persistent_load = lambda identity: identity
    identity = unpickler.load()
    keys = pickle.load(stream)
    assert keys == [identity[2]], keys
    (elements,) = struct.unpack("<Q", stream.read(8))
    assert elements == identity[4]
    return identity, stream.read()


def write(value, storages, protocol=2, little_endian=True):
    stream = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
    for head in [MAGIC_NUMBER, 1001, system]:
        pickle.dump(head, stream, protocol)
    Pickler(stream, protocol).dump(value)
    pickle.dump([storage.key for storage in storages], stream, protocol)
    for storage in storages:
        stream.write(struct.pack("<Q", storage.elements) + storage.data)
    return stream.getvalue()
