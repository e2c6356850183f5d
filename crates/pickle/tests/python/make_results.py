"""Writes results as MMAction2 and PyTorch do, in protocols 0 to 5, and prints them in hexadecimal."""
import collections
import pickle
import struct

import torch
import torch._utils
import torch.storage
from legacy import Storage, write


class Tensor:
    def __init__(self, kind, data, shape, strides):
        elements = len(data) // (4 if kind is torch.FloatStorage else 8)
        storage = Storage(kind, "94314796352560", elements, data)
        self.data, self.shape, self.strides = write(storage, [storage]), shape, strides

    def __reduce__(self):
        storage = Bytes(self.data)
        return torch._utils._rebuild_tensor_v2, (storage, 0, self.shape, self.strides, False, collections.OrderedDict())


class Bytes:
    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return torch.storage._load_from_bytes, (self.data,)


scores = Tensor(torch.FloatStorage, struct.pack("<6f", 0.5, -1, 2, 3, 4, 5), (2, 3), (3, 1))
averaged = Tensor(torch.FloatStorage, struct.pack("<3f", 7, 8, 9), (3,), (1,))
label = Tensor(torch.LongStorage, struct.pack("<q", 42), (1,), (1,))
results = [
    {"img_shape": (256, 256), "num_classes": 2, "pred_score": scores, "gt_label": label},
    {"pred_scores": {"item": averaged}, "gt_labels": {"item": label}},
    {"pred_score": averaged, "gt_label": 5},
    {"pred_score": averaged},
]
for protocol in range(6):
    print(pickle.dumps(results, protocol).hex())
