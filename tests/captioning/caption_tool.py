"""Asks caption_tool, which runs captioners of fovea."""
import json
import os
import subprocess
from pathlib import Path

from safetensors.torch import load_file, save_file


class Tool:
    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen([Path(os.environ["FOVEA_BIN"]) / "caption_tool"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, folder, x, tokens=None, **job):
        """The jobs stand in caption_tool.cpp. → the answer, and the tensors it wrote."""
        save_file({"x": x} if tokens is None else {"x": x, "tokens": tokens}, self.folder / "input.safetensors")
        output = self.folder / "output.safetensors"
        job.update(folder=str(folder), input=str(self.folder / "input.safetensors"), output=str(output))
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        return reply, load_file(output) if "error" not in reply else {}

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


def relative_error(ours, theirs):
    """max|a − b| / max|b|, in fp64."""
    assert ours.shape == theirs.shape
    return ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()
