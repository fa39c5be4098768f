"""The safetensors reader against the reference implementation (PyPI safetensors) on mutated files: the same verdict on
every file, and the same tensors where both accept it. FOVEA_CASES sets how many files."""

import json
import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
import safetensors

CASES = int(os.environ.get("FOVEA_CASES", "4000"))
TOOL = Path(os.environ["FOVEA_BIN"]) / "safetensors_verdict"

BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
        "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
OK = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


def pack(header, data=b"\0" * 4, length=None):
    header = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(**fields):
    return json.dumps({"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **fields})


def named(value, name="a"):
    return pack('{"%s":%s}' % (name, value))


def known_cases():
    """Each rule of the reference by itself."""
    good = pack('{"a":%s}' % OK)
    yield from [b"", b"\x08", good[:7], good[:8], good[:20], good[:-1], good + b"\0", pack("", b"", 0), pack("{}", b"")]
    for length in (0, 1, 2**31, 2**63, 2**64 - 1, 100_000_000, 100_000_001, 53, 55):
        yield pack('{"a":%s}' % OK, length=length)
    for header in ("[]", "null", "3", '"a"', "{", "}", "{}{}", '{"a":%s}x' % OK, '{"a":%s,}' % OK, "{'a':1}",
                   "//\n{}", "{}\0", "\ufeff{}", "\f{}", "NaN", ' \n\t\r{"a":%s} \n\t\r' % OK, '{"a":%s}\0\0\0' % OK):
        yield pack(header)
        yield pack(header, b"")
    yield pack(b'{"\xff":' + OK.encode() + b"}")
    yield pack(b'{"\xed\xa0\x80":' + OK.encode() + b"}")
    yield pack(b'{"\xc0\xaf":' + OK.encode() + b"}")
    for name in ("", "\\u0000", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\\ud800\\ud800", "\\x", "\\/", "\x7f", "\x01",
                 "é", "__metadata__", "__meta\\u0064ata__", "\\u12", "\\uD83D\\u0041"):
        yield named(OK, name)
    for depth in (3, 124, 125, 126, 127, 5000):
        for opening, closing in ("[]", ("{\"x\":", "}")):
            yield named(OK[:-1] + ',"x":%s1%s}' % (opening * depth, closing * depth))
    for begin, end in ((0, 3), (0, 5), (1, 5), (4, 0), (-1, 3), (0.0, 4), ("0", 4), (2**64 - 4, 2**64), (0, 2**63),
                       (2**64 - 4, 0), (None, 4), (True, 4)):
        yield named(tensor(data_offsets=[begin, end]))
    for value in ("[0]", "[0,4,4]", "[]", "4", "{}", "null", '"0,4"', "[0,[4]]", "[-0,4]", "[0,4e0]", "[0,04]", "[0,+4]"):
        yield named('{"dtype":"F32","shape":[1],"data_offsets":%s}' % value)
    for shape in ([], [1, 1], [2], [0], [-1], [1.0], [None], ["1"], [2**62, 8], [2, 2**63 - 1], [2**63, 0], [2**64],
                  [2**32, 2**32, 0], [0, 2**32, 2**32], [1] * 64, [1] * 65, [1] * 5000):
        yield named(tensor(shape=shape))
        yield pack('{"a":%s}' % tensor(shape=shape, data_offsets=[0, 0]), b"")
    for dtype in (*BITS, "f32", "float32", "C128", "", "F128"):
        bits = BITS.get(dtype, 32)
        for count in (0, 1, 3, 4, 8):
            for size in {count * bits // 8, (count * bits + 7) // 8}:
                yield pack('{"a":%s}' % tensor(dtype=dtype, shape=[count], data_offsets=[0, size]), b"\1" * size)
    for dtype in ("null", "1", "{}", '{"F32":null}', '{"F32":{}}', '{"F32":[]}', '{"F32":null,"F16":null}',
                  '{"F32":0}', '["F32"]', '{"X":null}', "true"):
        yield named('{"dtype":%s,"shape":[1],"data_offsets":[0,4]}' % dtype)
    for metadata in ("null", "{}", '{"x":"1"}', '{"x":"1","x":"2"}', '{"x":1}', '{"x":null}', '{"x":{}}', "[]", '"x"',
                     "0", "true", '{"x":"\\ud800"}', '{"format":"pt","y":""}'):
        yield pack('{"__metadata__":%s,"a":%s}' % (metadata, OK))
        yield pack('{"a":%s,"__metadata__":%s}' % (OK, metadata))
        yield pack('{"__metadata__":%s,"__metadata__":{},"a":%s}' % (metadata, OK))
    for fields in ('"dtype":"F32","shape":[1]', '"dtype":"F32","data_offsets":[0,4]', '"shape":[1],"data_offsets":[0,4]',
                   "", '"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]',
                   '"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]',
                   '"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]',
                   '"x":1,"x":2,"dtype":"F32","shape":[1],"data_offsets":[0,4]', '"offsets":[0,4],"dtype":"F32"'):
        yield named("{%s}" % fields)
    for value in ("1e400", "-1e400", "1e-400", "18446744073709551616", "9" * 400, "1E+2", "-0", "0.0", "01", "1.", ".5",
                  "-", "nan", "tru", "null", '"\\u0000"', "[1,2,{}]", '{"y":[{}]}'):
        yield named(OK[:-1] + ',"x":%s}' % value)
    for value in ('["F32",[1],[0,4]]', '["F32",[1],[0,4],0]', '["F32",[1],[0,4],[]]', '["F32",[1],[0,4],{}]',
                  '["F32",[1]]', "[]", '[{"F32":null},[1],[0,4]]', '["F32",[1],[[0,4]]]', '[[1],"F32",[0,4]]', "0", "null",
                  '"F32"', '[["F32"],[1],[0,4]]'):
        yield named(value)
    b = '{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    for first, second in (((0, 4), (4, 8)), ((4, 8), (0, 4)), ((0, 4), (0, 4)), ((0, 4), (5, 9)), ((0, 4), (3, 7)),
                          ((0, 4), (8, 12))):
        for name in ("b", "a"):
            yield pack('{"a":%s,"%s":%s}' % (b % first, name, b % second), b"\0" * 8)
            yield pack('{"a":%s,"%s":%s}' % (b % first, name, b % second), b"\0" * 4)
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[%d,%d]}'
    for place in (0, 2, 4, 8):
        yield pack('{"a":%s,"z":%s,"b":%s,"y":%s}' % (b % (0, 4), empty % (place, place), b % (4, 8), empty % (4, 4)),
                   b"\0" * 8)


def random_file(rng):
    """A valid file of up to six tensors, in any order of fields and places."""
    tensors, place = {}, 0
    for _ in range(rng.randint(0, 6)):
        dtype = rng.choice([*BITS])
        shape = [rng.choice((0, 1, 2, 3, 4, 8)) for _ in range(rng.randint(0, 3))]
        count = 1
        for dimension in shape:
            count *= dimension
        size = (count * BITS[dtype] + 7) // 8
        fields = [("dtype", dtype), ("shape", shape), ("data_offsets", [place, place + size])]
        rng.shuffle(fields)
        tensors["".join(rng.choice("ab.é\"\\\n/") for _ in range(rng.randint(0, 5)))] = dict(fields)
        place += size
    items = list(tensors.items())
    rng.shuffle(items)
    if rng.random() < 0.3:
        items.insert(rng.randint(0, len(items)), ("__metadata__", {"format": "pt"}))
    header = json.dumps(dict(items), ensure_ascii=rng.random() < 0.5, separators=rng.choice(((",", ":"), (", ", ": "))))
    return bytearray(pack(header + " " * rng.randint(0, 8), rng.randbytes(place)))


TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"0", b"1", b"-", b"4", b"8", b"null", b"true", b"1e5", b"\\u0041",
          b"\\ud800", b"\0", b" ", b"\n", b"\xff", b"\xc3", b'"F32"', b'"U8"', b'"dtype"', b'"shape"', b'"x":0,',
          b'"data_offsets"', b'"__metadata__"', b"[0,0]", b"18446744073709551615", b"9223372036854775808"]


def mutate(rng, file):
    """One to three edits; most keep the length field true, so that the mutation reaches the JSON."""
    length = struct.unpack("<Q", file[:8])[0]
    header, data = bytearray(file[8:8 + length]), bytearray(file[8 + length:])
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(header) + 1)
        kind = rng.randrange(7)
        if kind == 0:
            header[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            header[at:at + rng.randint(1, 4)] = b""
        elif kind == 2:
            header[at:at + 1] = bytes([rng.randrange(256)])
        elif kind == 3:
            end = rng.randrange(len(header) + 1)
            header[at:at] = header[min(at, end):max(at, end)]
        elif kind == 4:
            digits = [i for i, byte in enumerate(header) if 0x30 <= byte <= 0x39]
            if digits:
                header[rng.choice(digits)] = rng.choice(b"0123456789")
        elif kind == 5:
            header[at:at + rng.randint(0, 4)] = rng.choice(TOKENS)
        else:
            data = data[:rng.randrange(len(data) + 1)] if rng.random() < 0.5 else data + rng.randbytes(rng.randint(1, 9))
    if rng.random() < 0.1:
        return struct.pack("<Q", rng.choice((0, 1, length + 1, max(length, 1) - 1, 2**63, rng.getrandbits(64)))) + header + data
    return struct.pack("<Q", len(header)) + header + data


def all_cases():
    yield from known_cases()
    rng = random.Random(20240229)
    while True:
        file = random_file(rng)
        yield bytes(file)
        for _ in range(4):
            yield bytes(mutate(rng, file))


def reference(file):
    """None where it refuses, else name → (dtype, shape, bytes)."""
    try:
        return {name: (view["dtype"], list(view["shape"]), bytes(view["data"]))
                for name, view in safetensors.deserialize(file)}
    except safetensors.SafetensorError:
        return None


def ours(line, file):
    if not line.startswith("ok"):
        assert line.startswith("error 3 "), line
        return None
    tensors = {}
    for item in line.split()[1:]:
        name, dtype, shape, begin, end = item.split(":")
        tensors[bytes.fromhex(name).decode()] = (dtype, [int(n) for n in shape.split(",") if n], file[int(begin):int(end)])
    return tensors


def verdicts(paths):
    run = subprocess.run([TOOL], input="\n".join(map(str, paths)) + "\n", capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_every_verdict_is_that_of_the_reference(tmp_path):
    cases, batch, done, accepted = all_cases(), 1000, 0, 0
    paths = [tmp_path / f"{i}.safetensors" for i in range(batch)]
    wrong = []
    while done < CASES:
        files = [next(cases) for _ in range(min(batch, CASES - done))]
        for path, file in zip(paths, files):
            path.write_bytes(file)
        lines = verdicts(paths[:len(files)])
        assert len(lines) == len(files)
        for line, file in zip(lines, files):
            expected = reference(file)
            accepted += expected is not None
            if ours(line, file) != expected:
                wrong.append((line, file[:400]))
        done += len(files)
    print(f"{done} files, {accepted} accepted, {len(wrong)} verdicts differ")
    assert not wrong, wrong[:5]
    assert CASES // 10 < accepted < CASES * 9 // 10, "the mutations are too harsh or too mild to tell anything"


@pytest.mark.parametrize("dtype", ["F4", "F64", "BOOL"])
def test_the_oracle_itself_accepts_and_refuses(dtype):
    size = 8 * BITS[dtype] // 8
    assert reference(pack('{"a":%s}' % tensor(dtype=dtype, shape=[8], data_offsets=[0, size]), b"\1" * size))
    assert reference(pack('{"a":%s}' % tensor(dtype=dtype, shape=[8], data_offsets=[0, size]), b"\1" * (size + 1))) is None
