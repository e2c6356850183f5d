"""Prints the text of a value, then its pickles in protocols 0 to 5 in hexadecimal."""
import collections
import pickle
import struct
import types


def render(value):
    """Renders a value as tests/suite/values.rs does."""
    match value:
        case None | True | False:
            return str(value)
        case int():
            return str(value) if -(2**63) <= value < 2**63 else "big " + pickle.encode_long(value).hex()
        case float():
            return "float " + struct.pack(">d", value).hex()
        case str():
            return "str " + value.encode().hex()
        case bytes():
            return "bytes " + value.hex()
        case list():
            return "[" + ", ".join(map(render, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(render, value)) + ")"
        case set() | frozenset():
            return "set " + ", ".join(sorted(map(render, value)))
        case dict():
            return "{" + ", ".join(f"{render(key)}: {render(item)}" for key, item in value.items()) + "}"
        case types.SimpleNamespace():
            return "types.SimpleNamespace " + render(value.__dict__)
    raise TypeError(value)


shared = ["shared", 1.5]
value = {
    "numbers": [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**40],
    "more numbers": [-(10**40), 2**64, -(2**64), 2**2040, -(2**2047), 3**1000, -(3**1000), 2**4000],
    "floats": [0.0, -0.0, 1e-310, 3.141592653589793, float("inf"), float("-inf"), float("nan"), 1e300],
    "constants": (None, True, False),
    "text": ["", "abc", "it's \"quoted\"", "line\nbreak\\u0041\r\0", "zwölf € 😀", "x" * 300],
    "bytes": [b"", b"abc", bytes(range(256)), b"\xff" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((), ((),))],
    "sets": [set(), {1, "a", (2,)}, frozenset(), frozenset([3])],
    "nested": {1: {2.5: {(3, "four"): [{}]}}},
    "long": list(range(3000)),
    "many": {str(key): key for key in range(2500)},
    "ordered": collections.OrderedDict([("b", 1), ("a", 2), ("c", shared)]),
    "default": collections.defaultdict(list, {"k": [1]}),
    "object": types.SimpleNamespace(x=1, y=[2]),
    "shared": [shared, shared, (shared,)],
}
print(render(value))
for protocol in range(6):
    print(pickle.dumps(value, protocol).hex())
