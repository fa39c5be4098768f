"""What the scripts of long tables share: results that are kept as they come, and sections of a page."""
import argparse
import json
import os
import re
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("FOVEA_BIN", SOURCE / "build/release/bin"))
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=ONE_THREAD).stdout


def forward_cost(model, batch):
    """Of a forward pass on one thread, the least of many runs in ms a picture, which other programs hardly change, and MB."""
    answer = run(BIN / "fovea", "bench", "model", "--model", model, "--batch", batch, "--threads", 1)
    return float(re.search(r"runs, ([\d.]+) to", answer)[1]), float(re.search(r"peak memory (\d+) MB", answer)[1])


def table_parser(description, page, **numbers):
    """Options that every long table has, and one for each number that its results are made with."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--page", type=Path, default=SOURCE / page)
    for option, number in numbers.items():
        parser.add_argument(f"--{option}", type=type(number), default=number)
    parser.add_argument("--minutes", type=float, default=10_000)
    parser.add_argument("--write", action="store_true")
    return parser


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


def finish(args, whole, heading, section):
    """The last lines of a table's run: its section goes into the page where that was asked for."""
    if args.write:
        args.page.write_text(replace_section(args.page.read_text(), heading, section))
    print("complete" if whole else "stopped: run it again")
