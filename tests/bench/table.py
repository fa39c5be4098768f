"""What the scripts of measurements share: the programs, the chip, pairs of times, and the table they print."""
import argparse
import datetime
import re
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOVEA = HERE.parents[1] / "build/release/bin/fovea"


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def chip():
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return f"{names[0]}, {len(names)} cores" if names else "unknown chip"


def ratio_row(name, pairs):
    """Of (ours, peer) in milliseconds: medians, the median of the pairwise ratios, and their spread."""
    ratios = sorted(ours / peer for ours, peer in pairs)
    peers = sorted(peer for _, peer in pairs)
    return {"case": name, "ours_ms": statistics.median(ours for ours, _ in pairs), "peer_ms": statistics.median(peers),
            "ratio": statistics.median(ratios), "ratios": [ratios[0], ratios[-1]],
            "peer_spread": peers[-1] / peers[0] - 1}


def cells(row, digits=1):
    """Of a ratio_row: its name, both times, the ratio and its spread."""
    return [row["case"], f"{row['ours_ms']:.{digits}f}", f"{row['peer_ms']:.{digits}f}", f"{row['ratio']:.3f}",
            f"{row['ratios'][0]:.2f}–{row['ratios'][1]:.2f}"]


def options(description, pairs=None):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if pairs:
        parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", help="also write the table here")
    return parser


def print_table(args, about, columns, rows):
    """A line as soon as its measurement is done; all of them to --markdown. A row is a list of cells, or a line of text."""
    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    said = [str(datetime.date.today()), chip(), *about, f"{args.threads} threads"]
    if "pairs" in args:
        said.append(f"{args.pairs} alternated pairs")
    say(", ".join(said) + "\n")
    say("| " + " | ".join(columns) + " |")
    say("|---" * len(columns) + "|")
    for row in rows:
        say(row if isinstance(row, str) else "| " + " | ".join(row) + " |")
    if args.markdown:
        Path(args.markdown).write_text("\n".join(lines) + "\n")
