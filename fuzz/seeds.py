#!/usr/bin/env python3
"""Writes small seeds for the fuzz targets: fuzz/seeds.py. Other seeds are files of the tests."""
import collections
import io
import json
import os
import pickle
import struct
import zipfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")


def put(target, name, data):
    folder = os.path.join(HERE, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


value = [{"a": (1, 2.5, None, True), b"b": "é" * 3, "deep": [[[]]], "big": 1 << 70}, collections.OrderedDict(x=1)]
for protocol in range(6):
    put("pickle", f"protocol_{protocol}", pickle.dumps(value, protocol))

# As torch.save writes a state dict: a pickle whose tensors refer to files of the archive.
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00(K\x02K\x02t(K\x02K\x01t\x89ccollections\nOrderedDict\n(tRtR"
state = b"\x80\x02}X\x01\x00\x00\x00w" + tensor + b"s."
for name, method in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", state)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    put("checkpoint", name, buffer.getvalue())
put("checkpoint", "legacy", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + state)

header = json.dumps({"__metadata__": {"reeldeck": "{}"}, "logits": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}})
put("feature", "foreign", struct.pack("<Q", len(header)) + header.encode() + struct.pack("<2f", 1, 2))

put("messages", "ready", '{"type":"ready","version":1,"device":"cpu","load_ms":5}')
put("messages", "finish", '{"type":"finish"}')
put("messages", "failed", '{"type":"failed","job":1,"failure":{"kind":"corrupt","chain":["x"]},"source":null}')
put("clients", "hello", '{"type":"hello","version":4,"tool":"t"}')
put("clients", "table", '{"type":"query","id":1,"filter":{"text":"x"},"offset":0,"len":10}')
put("clients", "retry", '{"type":"command","id":2,"command":{"name":"retry","patterns":["A/*"]}}')
put("clients", "error", '{"type":"error","id":3,"message":"m"}')

put("list", "plain", "A/v_1.mp4 0\nB c/v 2.webm -1\n")
put("list", "dos", "\ufeffA/v_1.mp4 0\r\n\r\n")
entry = {"duration": 9.5, "subset": "training", "annotations": [{"label": "X y", "segment": [0.5, 2]}], "url": "https://a"}
put("manifest", "activitynet", json.dumps({"version": "1", "database": {"a-1": entry, "b_2": {**entry, "subset": "testing"}}}))
put("manifest", "csv", "video_id,label\na,x\nb,y\n")
put("manifest", "list", "a\nb,Class_name\n")
probed = {"level": "quick", "source": {"size": 9, "mtime_ns": 7}}
facts = {"duration_s": 1.5, "frames": 45, "fps": [30, 1], "size": [128, 96], "codec": "h264", "container": "matroska,webm"}
healthy = {**probed, "verdict": {"is": "healthy", "facts": {**facts, "expected_from": "packet-count"}}}
corrupt = {**probed, "level": "deep", "verdict": {"is": "corrupt", "reason": "cut; download it again"}}
entries = [{"video": "A/v.mp4", "probed": healthy}, {"video": "A/v.mp4", "probed": corrupt, "content": "9-00"}]
put("probe_cache", "entries", "\n".join(map(json.dumps, entries)))


def box(kind, *content):
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


full = lambda kind, *content: box(kind, b"\0\0\0\0", *content)
words = lambda *numbers: struct.pack(f">{len(numbers)}I", *numbers)
table = box(
    b"stbl",
    full(b"stsd", words(1), box(b"avc1", bytes(78))),
    full(b"stts", words(1, 3, 512)),
    full(b"stsz", words(0, 3, 10, 20, 30)),
    full(b"stsc", words(1, 1, 3, 1)),
    full(b"stco", words(1, 40)),
    full(b"ctts", words(1, 3, 0)),
)
media = box(
    b"mdia",
    full(b"mdhd", words(0, 0, 15360, 1536, 0)),
    full(b"hdlr", words(0), b"vide", bytes(13)),
    box(b"minf", table),
)
edits = box(b"edts", full(b"elst", words(1, 100, 0, 0x10000)))
track = box(b"trak", full(b"tkhd", words(0, 0, 1, 0, 100), bytes(60)), edits, media)
movie = box(b"moov", full(b"mvhd", words(0, 0, 1000, 100), bytes(80)), track)
mp4 = box(b"ftyp", b"isom", words(512), b"isom") + box(b"mdat", bytes(60)) + movie
put("container", "mp4", b"\x00" + mp4)
fragment = box(
    b"moof",
    full(b"mfhd", words(1)),
    box(b"traf", full(b"tfhd", words(1)), full(b"trun", words(2, 512, 512))),
)
put("container", "fragments", b"\x00" + box(b"ftyp", b"iso5", words(512)) + movie + fragment + box(b"mdat", bytes(20)))


def element(number, *content):
    data = b"".join(content)
    number = bytes.fromhex(number)
    return number + struct.pack(">Q", (1 << 56) | len(data)) + data


uint = lambda number, value: element(number, struct.pack(">I", value))
mkv = element("1a45dfa3", element("4282", b"matroska")) + element(
    "18538067",
    element("1549a966", uint("2ad7b1", 1000000), element("4489", struct.pack(">d", 1000.0))),
    element("1654ae6b", element("ae", uint("d7", 1), uint("83", 1), element("86", b"V_VP9"))),
    element("1f43b675", uint("e7", 0), element("a3", b"\x81\0\0\x80abc"), element("a3", b"\x81\0\x28\0abc")),
    element("1c53bb6b", element("bb", uint("b3", 0), element("b7", uint("f7", 1), uint("f1", 0)))),
)
put("container", "matroska", b"\x01" + mkv)
put("container", "ivf", b"\x08DKIF\0\0\x20\0VP90" + struct.pack("<2H4I", 4, 4, 30, 1, 1, 0) + struct.pack("<IQ", 4, 0) + b"abcd")
chunk = lambda kind, data: kind + struct.pack("<I", len(data)) + data
riff = chunk(b"LIST", b"hdrl" + chunk(b"avih", bytes(56))) + chunk(b"LIST", b"movi" + chunk(b"00dc", b"abcd"))
put("container", "avi", b"\x02" + chunk(b"RIFF", b"AVI " + riff + chunk(b"idx1", bytes(16))))
put("container", "flv", b"\x03FLV\1\1\0\0\0\x09\0\0\0\0" + b"\x09\0\0\5\0\0\0\0\0\0\0\x17\1\0\0\0" + words(16))
# The length of the fragment is shorter than its header.
headless = struct.pack(">I", 3) + fragment[4:]
put("container", "fragment_without_length", b"\x00" + box(b"ftyp", b"iso5", words(512)) + movie + bytes(20) + headless)
guid = lambda text: bytes.fromhex(text.replace(" ", ""))
asf_object = lambda kind, body: guid(kind) + struct.pack("<Q", len(body) + 24) + body
properties = bytes(32) + struct.pack("<QQ", 3, 10**7) + bytes(16) + struct.pack("<III", 0, 32, 32) + bytes(4)
stream = asf_object("9107dcb7 b7a9cf11 8ee600c0 0c205365", bytes(48) + struct.pack("<H", 1) + bytes(10))
asf = asf_object("a1dcab8c 47a9cf11 8ee400c0 0c205365", properties)
asf += asf_object("b503bf5f 2ea9cf11 8ee300c0 0c205365", bytes(22) + stream)
asf = asf_object("3026b275 8e66cf11 a6d900aa 0062ce6c", struct.pack("<I", 2) + b"\1\2" + asf)
packets = b"".join((b"\x82\0\0\x08\x5d\0" + bytes(6) + bytes([1, n]) + bytes(18)) for n in range(3))
asf += asf_object("3626b275 8e66cf11 a6d900aa 0062ce6c", bytes(16) + struct.pack("<Q", 3) + b"\1\1" + packets)
put("container", "asf", b"\x04" + asf)
put("container", "mpegts", b"\x05" + b"".join(bytes([0x47, 0, 1, 0x10 | n]) + bytes(184) for n in range(6)))
packet = b"\0\0\1\xe0" + struct.pack(">H", 8) + b"\x80" + bytes(7)
put("container", "mpeg", b"\x06\0\0\1\xba" + b"\x44" + bytes(9) + packet + bytes(5) + packet + b"\0\0\1\xb9")


def page(number, flags, content):
    head = b"OggS\0" + bytes([flags]) + struct.pack("<QII", 0, 7, number)
    tail = bytes([1, len(content)]) + content
    crc = 0
    for byte in head + bytes(4) + tail:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 1 << 31 else 0)) & 0xFFFFFFFF
    return head + struct.pack("<I", crc) + tail


put("container", "ogg", b"\x07" + page(0, 2, b"header") + page(1, 0, b"a frame") + page(2, 4, b"the last"))
