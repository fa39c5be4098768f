"""Files of torch.save, read as data: what PyTorch writes comes back bit for bit, hostile files are refused by name and
run nothing."""

import argparse
import io
import os
import re
import struct
import subprocess
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

TOOL = Path(os.environ["FOVEA_BIN"]) / "torch_verdict"
SANITIZED = "asan" in str(TOOL)  # which takes memory for itself
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
         torch.complex64: "C64", torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64",
         torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.float8_e8m0fnu: "F8_E8M0"}
TYPES = {name: dtype for dtype, name in NAMES.items()}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


def verdicts(paths):
    run = subprocess.run([TOOL], input="\n".join(map(str, paths)) + "\n", capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", run.stderr)[1])
    allowed = (64 << 20) + 1.5 * max(path.stat().st_size for path in paths)
    assert SANITIZED or peak < allowed, f"{peak} bytes of memory, {allowed} allowed"
    return run.stdout.splitlines()


def read(path):
    """Where the weights stand and name → tensor, each taken from the bytes of the file as we say."""
    line, = verdicts([path])
    assert line.startswith("ok "), line
    return tensors_of(line, path.read_bytes())


def text_of(name):
    return bytes.fromhex(name).decode(errors="backslashreplace")


def tensors_of(line, data):
    _, source, *items = line.split(" ")
    tensors = {}
    for item in items:
        name, dtype, shape, strides, start = item.split(":")
        shape, strides = ([int(n) for n in text.split(",") if n] for text in (shape, strides))
        width = TYPES[dtype].itemsize
        if 0 in shape:
            tensors[text_of(name)] = torch.empty(shape, dtype=TYPES[dtype])
            continue
        last = sum((size - 1) * stride for size, stride in zip(shape, strides))
        part = bytearray(data[int(start):int(start) + (last + 1) * width])
        assert len(part) == (last + 1) * width, "a view reaches beyond the file"
        flat = torch.frombuffer(part, dtype=torch.uint8).view(TYPES[dtype])
        tensors[text_of(name)] = flat.as_strided(shape, strides)
    return source, tensors


def same_bits(left, right):
    left, right = (t.detach().contiguous().reshape(-1) for t in (left, right))
    return left.dtype == right.dtype and bytes(left.view(torch.uint8).numpy()) == bytes(right.view(torch.uint8).numpy())


def refused(path, *texts, code=3):
    line, = verdicts([path])
    assert line.startswith(f"error {code} "), line
    for text in texts:
        assert text in line, line


def save(value, path, zipped, **options):
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def expect(path, state, source="-"):
    found, tensors = read(path)
    assert found == source
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        assert tensors[name].shape == tensor.shape, name
        assert same_bits(tensors[name], tensor), name


def every_kind():
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    state = {str(dtype): torch.randint(0, 2, (3, 5)).to(dtype) for dtype in NAMES}
    return {**state, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "parameter": nn.Parameter(base[0].clone()),
            "base": base, "transposed": base.t(), "column": base[:, 3], "slice": base[2:5, 1:7:2],
            "expanded": torch.ones(1, 1).expand(4, 3), "é\n": torch.ones(2), "": torch.ones(1)}


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_number_type_and_view(tmp_path, zipped, protocol):
    state = every_kind()
    expect(save(state, tmp_path / "f", zipped, pickle_protocol=protocol), state)


@FORMATS
def test_views_share_their_storage(tmp_path, zipped):
    base = torch.randn(100_000)
    path = save({"a": base, "b": base[10:], "c": base.view(10, -1).t()}, tmp_path / "f", zipped)
    assert path.stat().st_size < 1.1 * base.nbytes
    line, = verdicts([path])
    starts = [int(item.split(":")[4]) for item in line.split(" ")[2:]]
    assert starts[1] == starts[0] + 40 and starts[2] == starts[0]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.tied = self.head
        self.none = None
        self.act = nn.functional.gelu
        self.register_parameter("gain", None)
        self.register_buffer("table", torch.arange(5))
        self.register_buffer("mask", torch.ones(3), persistent=False)
        self.note = {"a": torch.ones(1)}


@FORMATS
def test_modules_give_their_state(tmp_path, zipped):
    net = Net()
    expect(save(net, tmp_path / "f", zipped), net.state_dict())
    expect(save(nn.DataParallel(net), tmp_path / "g", zipped), nn.DataParallel(net).state_dict())


@FORMATS
def test_state_dicts_of_modules(tmp_path, zipped):
    state = Net().state_dict()
    assert state._metadata
    expect(save(state, tmp_path / "f", zipped), state)


@FORMATS
@pytest.mark.parametrize("keys", ["state_dict", "model", "state_dict_ema", "model_ema", "module", "net",
                                  "model.state_dict"])
def test_training_scripts_wrap_the_weights(tmp_path, zipped, keys):
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters())
    net.head(torch.randn(1, 4)).sum().backward()
    optimizer.step()
    inner = net.state_dict()
    for key in reversed(keys.split(".")):
        inner = {"epoch": 3, "optimizer": optimizer.state_dict(), "arch": "resnet", "best": np.float64(0.5),
                 "prec": torch.tensor(1.0), "lrs": [0.1, 0.2], "args": argparse.Namespace(lr=1), key: inner}
    expect(save(inner, tmp_path / "f", zipped), net.state_dict(), source=keys)


def test_averaged_weights_come_first(tmp_path):
    state, ema = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    expect(save({"state_dict": state, "state_dict_ema": ema}, tmp_path / "f", True), ema, source="state_dict_ema")
    # Only where it holds tensors.
    expect(save({"model": {"depth": 12}, "state_dict": state}, tmp_path / "g", True), state, source="state_dict")
    expect(save({"model": torch.ones(3)}, tmp_path / "h", True), {"model": torch.ones(3)})


@FORMATS
def test_nested_dictionaries_are_joined(tmp_path, zipped):
    """As sgrvinod's captioner is published: whole modules side by side, with their optimizers."""
    encoder, decoder = Net(), nn.LSTMCell(3, 4)
    value = {"epoch": 1, "bleu-4": 0.2, "encoder": encoder, "decoder": decoder, "encoder_optimizer": None,
             "decoder_optimizer": torch.optim.Adam(decoder.parameters())}
    expect(save(value, tmp_path / "f", zipped),
           {f"encoder.{k}": v for k, v in encoder.state_dict().items()} |
           {f"decoder.{k}": v for k, v in decoder.state_dict().items()})
    layers = {0: {"w": torch.ones(1)}, "b": OrderedDict(w=torch.ones(2)), "c": defaultdict(list, w=torch.ones(3))}
    expect(save(layers, tmp_path / "g", zipped), {"0.w": torch.ones(1), "b.w": torch.ones(2), "c.w": torch.ones(3)})


# Hostile files are made by hand.

def zip_of(data, storages=(b"\0" * 16,), root="archive/", **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", more.pop("compression", zipfile.ZIP_STORED)) as archive:
        archive.writestr(root + "data.pkl", data)
        for key, storage in enumerate(storages):
            archive.writestr(f"{root}data/{key}", storage)
        for name, text in {"version": b"3\n", **more}.items():
            archive.writestr(root + name, text)
    return out.getvalue()


STORAGE = b"(X\x07\0\0\0storagectorch\n%sStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ%stQ"


def integer(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True) if value >= 2**63 else b"\x8a\x08" + struct.pack("<q", value)


def tensor(offset=0, shape=(2,), stride=(1,), numel=4, kind=b"Float"):
    def tuple_of(values):
        return b"(" + b"".join(map(integer, values)) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE % (kind, struct.pack("<i", numel)) + integer(offset) +
            tuple_of(shape) + tuple_of(stride) + b"\x89ccollections\nOrderedDict\n)RtR")


def state(value, key=b"w"):
    return b"\x80\x02}X" + struct.pack("<I", len(key)) + key + value + b"s."


def test_the_files_made_by_hand_are_good(tmp_path):
    (tmp_path / "f").write_bytes(zip_of(state(tensor())))
    expect(tmp_path / "f", {"w": torch.zeros(2)})
    assert list(torch.load(tmp_path / "f", weights_only=True)) == ["w"]


BAD_TENSORS = {
    "offset": (tensor(offset=3), "reaches beyond its storage"),
    "huge offset": (tensor(offset=2**62), "reaches beyond its storage"),
    "negative offset": (tensor(offset=-1), "is -1"),
    "shape": (tensor(shape=(5,)), "reaches beyond its storage"),
    "negative shape": (tensor(shape=(-2,)), "is -2"),
    "overflowing shape": (tensor(shape=(2**62, 8), stride=(0, 0)), "reaches beyond its storage"),
    "overflowing stride": (tensor(shape=(3,), stride=(2**62,)), "reaches beyond its storage"),
    "shape beyond 64 bits": (tensor(shape=(2**64,)), "no integer"),
    "negative stride": (tensor(stride=(-1,)), "is -1"),
    "strides of another length": (tensor(stride=(1, 1)), "1 dimensions and 2 strides"),
    "65 dimensions": (tensor(shape=(1,) * 65, stride=(1,) * 65), "65 dimensions"),
    "short storage": (tensor(numel=5), "storage 0 has 16 bytes, 5 elements"),
    "negative storage": (tensor(numel=-5), "is -5"),
    "unknown storage": (tensor(kind=b"Strange"), "torch.StrangeStorage cannot be held"),
    "complex numbers": (tensor(kind=b"ComplexDouble", numel=1), "torch.ComplexDoubleStorage cannot be held"),
    "quantised numbers": (tensor(kind=b"QInt8"), "torch.QInt8Storage cannot be held"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_tensors_that_do_not_fit_their_storage(tmp_path, name):
    data, cause = BAD_TENSORS[name]
    (tmp_path / "f").write_bytes(zip_of(state(data)))
    refused(tmp_path / "f", cause)


@pytest.mark.parametrize("kind", [b"Half", b"BFloat16", b"Int"])
def test_a_storage_is_of_one_type(tmp_path, kind):
    both = b"\x80\x02}(X\1\0\0\0a" + tensor() + b"X\1\0\0\0b" + tensor(kind=kind) + b"u."
    (tmp_path / "f").write_bytes(zip_of(both))
    refused(tmp_path / "f", "storage 0 is of two types")


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


# By the names that protocol 2 writes, which are Python 2's.
TRICKS = {
    "posix.system": Call(os.system, "touch TRACE"),
    "__builtin__.eval": Call(eval, "open('TRACE', 'w')"),
    "__builtin__.exec": Call(exec, "open('TRACE', 'w')"),
    "__builtin__.getattr": Call(getattr, "TRACE", "system"),
    "__builtin__.__import__": Call(getattr, Call(__import__, "os"), "system"),
    "io.open": Call(open, "TRACE", "w"),
    "commands.Popen": Call(subprocess.Popen, ["touch", "TRACE"]),
    "torch.hub.load": Call(torch.hub.load, "a/b", "c"),
    "torch.serialization.load": Call(torch.load, "f"),
    "posixpath.expanduser": Call(os.path.expanduser, "~"),
}


@FORMATS
@pytest.mark.parametrize("name", TRICKS)
def test_nothing_is_run(tmp_path, monkeypatch, zipped, name):
    monkeypatch.chdir(tmp_path)
    for value in ({"w": torch.ones(2), "x": TRICKS[name]}, TRICKS[name], [TRICKS[name]]):
        refused(save(value, tmp_path / "f", zipped), f"calls {name}, which is refused (nothing of it was run)")
    assert not (tmp_path / "TRACE").exists()


@pytest.mark.parametrize("code,name", [
    (b"cposix\nsystem\n", "names posix.system"), (b"\x8c\x02os\x8c\x06system\x93", "names os.system"),
    (b"cbuiltins\neval\n", "names builtins.eval"), (b"(cposix\nsystem\nX\x02\0\0\0lso", "opcode 0x6f"),
    (b"(X\x02\0\0\0lsiposix\nsystem\n", "opcode 0x69"), (b"\x82\x01", "opcode 0x82"), (b"\x97", "opcode 0x97"),
    (b"ctorch\nFloatStorage\n)R", "calls torch.FloatStorage"), (b"S'x'\n", "opcode 0x53"), (b"\x80\x06", "protocol 6"),
    (b"h\x07", "was not remembered"), (b"0", "empty stack"), (b"t", "no mark"), (b"}X\x01\0\0\0aa", "adds items"),
    (b"X\xff\xff\xff\xff", "truncated"), (b"\x8d" + b"\xff" * 8, "truncated"), (b"I1.5\n", "no integer"), (b"I1", "truncated"),
    (b"K\x01)R", "calls what is no name"), (b"(K\x01d", "without a value"), (b"K\x01)\x81", "an object of no class"),
])
def test_opcodes_are_checked(tmp_path, code, name):
    (tmp_path / "f").write_bytes(zip_of(b"\x80\x02}X\x01\0\0\0w" + tensor() + b"s" + code + b"0."))
    refused(tmp_path / "f", name)


def test_structures_that_never_end(tmp_path):
    path = tmp_path / "f"
    nested = b"\x80\x02" + b"(" * 10_000 + b"t" * 10_000 + b"."
    path.write_bytes(zip_of(nested))
    refused(path, "holds no named tensors")
    deep = b"\x80\x02" + b"}X\x01\0\0\0a" * 10_000 + tensor() + b"s" * 10_000 + b"."
    path.write_bytes(zip_of(deep))
    refused(path, "nested deeper than 64")
    path.write_bytes(zip_of(b"\x80\x02}q\x01X\x01\0\0\0ah\x01sX\x01\0\0\0w" + tensor() + b"s."))
    refused(path, "in a circle")
    path.write_bytes(zip_of(b"\x80\x02}q\x01X\x05\0\0\0modelh\x01s."))
    refused(path, "in a circle")
    # Dictionaries that hold the one before twice: 2^40 paths.
    laughs = b"\x80\x02}X\x01\0\0\0w" + tensor() + b"sq\0"
    for level in range(40):
        laughs += b"}(X\x01\0\0\0ah" + bytes([level]) + b"X\x01\0\0\0bh" + bytes([level]) + b"uq" + bytes([level + 1])
    path.write_bytes(zip_of(laughs + b"."))
    refused(path, code=6)


def test_bombs(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(zip_of(state(tensor()), [b"\0" * 10_000_000], compression=zipfile.ZIP_DEFLATED))
    refused(path, "archive/data.pkl is compressed")
    path.write_bytes(zip_of(b"\x80\x02" + b"N" * 3_000_000 + b"."))
    refused(path, "its structure takes more than", code=6)
    path.write_bytes(zip_of(b"\x80\x02" + b"(" * 9_000_000 + b"."))
    refused(path, "its structure takes more than", code=6)


def test_archives(tmp_path):
    path, good = tmp_path / "f", zip_of(state(tensor()), byteorder=b"little")
    path.write_bytes(good)
    expect(path, {"w": torch.zeros(2)})
    path.write_bytes(zip_of(state(tensor()), root=""))
    expect(path, {"w": torch.zeros(2)})
    path.write_bytes(zip_of(state(tensor()), byteorder=b"big"))
    refused(path, "byte order big")
    path.write_bytes(zip_of(state(tensor()), []))
    refused(path, "storage 0 is missing")
    path.write_bytes(zip_of(state(tensor()), **{"constants.pkl": b"."}))
    refused(path, "TorchScript")
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    path.write_bytes(out.getvalue())
    refused(path, "is a NumPy archive")
    for cut in (good[:-1], good[:-30], good[:100], b"PK\3\4"):
        path.write_bytes(cut)
        refused(path)


def test_big_endian_files_of_old(tmp_path):
    path = save({"w": torch.ones(2)}, tmp_path / "f", False)
    data = path.read_bytes()
    assert data.count(b"little_endianq\x02\x88") == 1
    path.write_bytes(data.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"))
    refused(path, "byte order big")
    path.write_bytes(data.replace(b"M\xe9\x03.", b"M\xe8\x03.", 1))
    refused(path, "protocol 1000")
    path.write_bytes(data[:-1])
    refused(path, "truncated")
