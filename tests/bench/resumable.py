"""What the scripts of long tables share: results that are kept as they come, and sections of a page."""
import json
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("FOVEA_BIN", SOURCE / "build/release/bin"))
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=ONE_THREAD).stdout


def bench(model, batch=32):
    """Of a forward pass on one thread: milliseconds_per_image, peak_rss_mb, …."""
    return json.loads(run(BIN / "fovea", "bench", "model", "--model", model, "--batch", batch, "--threads", 1, "--json"))


class Results:
    """A JSON file beside whose settings no other run may write."""

    def __init__(self, path, settings, parts):
        self.path = path
        fresh = {"settings": settings, **{part: {} for part in parts}}
        self.all = json.loads(path.read_text()) if path.exists() else fresh
        if self.all["settings"] != settings:
            raise SystemExit(f"{path}: was made with {self.all['settings']}, not {settings}")
        self.save()

    def save(self):
        """Never half a file."""
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.all, indent=1) + "\n")
        beside.replace(self.path)


def replace_section(page, heading, text):
    """`text`, which begins with the heading, in place of the section of that heading, or at the end."""
    before, found, rest = page.partition(heading + "\n")
    after = rest[rest.index("\n## ") + 1:] if found and "\n## " in rest else ""
    return before.rstrip("\n") + "\n\n" + text + ("\n" + after if after else "")
