"""How soon a network of 1.2 GB is ready: from the start of the process until its weights are in place and the image would
be read (it is not there, and the process ends), the file in the cache of the system; beside it the shipped network.

    ready.py [--model vit_large_patch16_224] [--runs 15] [--threads 2] [--markdown FILE]
"""
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import FOVEA, HERE, options, print_table, run


def milliseconds(args, *network):
    before = time.perf_counter()
    ended = subprocess.run([FOVEA, "classify", "/nowhere.png", "--threads", str(args.threads), *network], capture_output=True,
                           text=True)
    assert ended.returncode == 4 and "/nowhere.png" in ended.stderr, ended.stderr
    return (time.perf_counter() - before) * 1e3


def main():
    parser = options(__doc__)
    parser.add_argument("--model", default="vit_large_patch16_224")
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        run(sys.executable, HERE / "peer_model.py", "--model", args.model, "--weights", weights, "--save")
        times = [(milliseconds(args, "--model", args.model, "--weights", weights), milliseconds(args)) for _ in range(args.runs)]
    print_table(args, [f"{args.runs} runs"], ["network", "ready after ms (median)", "ms"],
                ([name, f"{statistics.median(column):.0f}", f"{min(column):.0f}–{max(column):.0f}"]
                 for name, column in zip((args.model, "the shipped default"), zip(*times))))


if __name__ == "__main__":
    main()
