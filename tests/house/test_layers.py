"""Lower rooms never include higher ones, codecs and LibTorch stay where they belong."""
import json
import os
import re
from pathlib import Path

import pytest

SOURCE = Path(os.environ["FOVEA_SOURCE"])
BUILD = Path(os.environ["FOVEA_BUILD"])
MAY_INCLUDE = {
    "modules": {"modules"},
    "vision": {"modules", "vision"},
    "captioning": {"modules", "vision", "captioning"},
    "datasets": {"modules", "vision", "datasets"},
    "apps": {"modules", "vision", "captioning", "datasets", "apps"},
}
KNOWS_OPENCV = ("vision/image/", "vision/draw/", "vision/video/")
TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")


def includes(text):
    return re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.MULTILINE)


def faults(path, text):
    """What a file at `path`, relative to the source tree, may not include."""
    room = path.split("/")[0]
    for name in includes(text):
        if name.startswith("fovea/") and name.split("/")[1] not in MAY_INCLUDE[room]:
            yield f"{path} includes {name}"
        if name.startswith("opencv2/") and not path.startswith(KNOWS_OPENCV):
            yield f"{path} includes {name}"


def sources():
    for room in MAY_INCLUDE:
        for path in sorted((SOURCE / room).rglob("*")):
            if path.suffix in (".h", ".cpp", ".cc", ".cu", ".cuh"):
                yield str(path.relative_to(SOURCE)), path.read_text()


def test_rooms_include_downwards():
    files = list(sources())
    assert len(files) > 20
    assert [fault for path, text in files for fault in faults(path, text)] == []


def test_every_own_include_names_its_full_path():
    relative = [f"{path} includes {name}" for path, text in sources() for name in includes(text)
                if not name.startswith("fovea/") and (Path(SOURCE / path).parent / name).exists()]
    assert relative == []


@pytest.mark.parametrize("path,line", [
    ("modules/attention/a.h", '#include "fovea/vision/models/model.h"'),
    ("vision/models/a.cpp", '#include "fovea/datasets/idx.h"'),
    ("datasets/a.cpp", '  # include "fovea/apps/device.h"'),
    ("vision/models/a.cpp", "#include <opencv2/core.hpp>"),
    ("apps/a.cpp", "#include <opencv2/core.hpp>"),
])
def test_a_planted_fault_is_found(path, line):
    assert len(list(faults(path, f"// text\n{line}\n"))) == 1


def format_commands():
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    return [command for command in commands if re.search(r"fovea_(formats|text|kernels|attention_kernel|pictures|program|http)\.dir", command["command"])]


def test_file_parsers_know_no_torch():
    commands = format_commands()
    assert len(commands) > 1
    for command in commands:
        assert "libtorch" not in command["command"], command["file"]
    queue = [Path(command["file"]) for command in commands]
    seen = set()
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in includes(path.read_text()):
            assert not TORCH.match(name), f"{path} includes {name}"
            if name.startswith("fovea/"):
                queue.append(SOURCE / name.removeprefix("fovea/"))
            elif Path(name).is_absolute():  # of files that are compiled as one
                queue.append(Path(name))
    assert SOURCE / "modules/weights/pickle.cpp" in seen
