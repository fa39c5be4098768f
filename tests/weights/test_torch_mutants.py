"""Mutated files of torch.save: no crash, no memory, and the tensors of torch.load where both accept one. FOVEA_CASES sets
how many."""

import io
import os
import random
import zipfile

import torch

from test_torch_files import Net, every_kind, same_bits, tensors_of, verdicts

CASES = int(os.environ.get("FOVEA_CASES", "1000"))


def mutants():
    """Edits of real files: anywhere, within the pickles, within the directory; and cuts."""
    rng = random.Random(20180914)
    seeds = []
    for value in (every_kind(), {"model": Net().state_dict(), "epoch": 2}, Net(), {"a": torch.arange(4.0)}):
        for zipped in (True, False):
            out = io.BytesIO()
            torch.save(value, out, _use_new_zipfile_serialization=zipped)
            seeds.append(out.getvalue())
    numbers = [b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 4, b"\x01\0\0\0"]
    codes = b"().0123BCFGIJKLMNQRTUXabcdeghijlopqrstu}]\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x93\x94\x95"
    while True:
        data = bytearray(rng.choice(seeds))
        start = data.find(b"\x80\x02")
        parts = [(0, len(data)), (start, min(len(data), start + 3000)), (max(0, len(data) - 1500), len(data))]
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            if not data:
                break
            low, high = rng.choice(parts)
            at = rng.randrange(low, max(low + 1, min(high, len(data))))
            kind = rng.randrange(7)
            if kind == 0:
                data[at:at + 1] = bytes([rng.randrange(256)])
            elif kind == 1:
                data[at:at + 1] = bytes([rng.choice(codes)])
            elif kind == 2:
                number = rng.choice(numbers)
                data[at:at + len(number)] = number
            elif kind == 3:
                data[at:at + rng.randint(1, 8)] = b""
            elif kind == 4:
                data[at:at] = bytes([rng.choice(codes)])
            elif kind == 5:
                data[at:at + 1] = bytes([data[min(at, len(data) - 1)] ^ (1 << rng.randrange(8))])
            elif rng.random() < 0.3:
                data = data[:at]
        yield bytes(data) or b"\0"


def flattened(value):
    """Name → tensor of what torch.load gave, where it is a flat dictionary of tensors."""
    if isinstance(value, dict) and value and all(isinstance(v, torch.Tensor) and isinstance(k, str) for k, v in value.items()):
        return value
    return None


def has_folders(path):
    """An attribute makes a member a folder, of which torch.load gives whatever lies in memory."""
    try:
        return any(info.external_attr for info in zipfile.ZipFile(path).infolist())
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError):
        return not path.read_bytes().startswith(b"\x80")  # no archive that Python can tell about


def test_mutated_files(tmp_path):
    cases, done, accepted, compared = mutants(), 0, 0, 0
    paths = [tmp_path / f"{i}.pth" for i in range(500)]
    while done < CASES:
        files = [next(cases) for _ in range(min(len(paths), CASES - done))]
        for path, file in zip(paths, files):
            path.write_bytes(file)
        lines = verdicts(paths[:len(files)])
        assert len(lines) == len(files)
        for line, path, file in zip(lines, paths, files):
            assert line.startswith(("ok ", "error 3 ", "error 6 ")), (line, file[:200])
            if not line.startswith("ok "):
                continue
            accepted += 1
            ours = tensors_of(line, file)[1]
            try:
                theirs = flattened(torch.load(path, weights_only=True))
            except Exception:  # it refuses more of what surrounds the tensors: checks of the archive, unused values
                continue
            if theirs is not None and not has_folders(path):
                compared += 1
                assert list(ours) == list(theirs)
                wrong = [name for name in theirs if not same_bits(ours[name], theirs[name])]
                assert not wrong, (wrong, path.rename(path.with_name("wrong.pth")))
        done += len(files)
    print(f"{done} files, {accepted} accepted, {compared} compared with torch.load")
    assert CASES // 20 < accepted < CASES * 19 // 20, "the mutations are too harsh or too mild to tell anything"
