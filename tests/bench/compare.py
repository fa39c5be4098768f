"""fovea against its peers on this machine: every program alone in its process, alternated, medians of pairwise ratios.

    compare.py [--models REGEX] [--dtypes float32,bfloat16] [--batches 1,8] [--pairs 7] [--threads 2] [--markdown FILE]

Rows: the time of a forward pass against PyTorch eager on the same random weights, then the time from the start of the
process to the answer for one photograph against ONNX Runtime. A ratio below 1 means that fovea is faster.
"""
import json
import re
import sys
import tempfile
import time
from pathlib import Path

from table import FOVEA, HERE, cells, options, print_table, ratio_row, run

MODELS = ["seresnet50", "cbamresnet50", "vit_base_patch16_224", "swin_tiny_patch4_window7_224"]


def model_rows(args, folder):
    for model in MODELS:
        if not re.search(args.models, model):
            continue
        weights = folder / f"{model}.safetensors"
        run(sys.executable, HERE / "peer_model.py", "--model", model, "--weights", weights, "--save")
        for dtype in args.dtypes.split(","):
            for batch in args.batches.split(","):
                options = ["--model", model, "--weights", weights, "--batch", batch, "--dtype", dtype,
                           "--threads", args.threads]
                pairs = []
                for _ in range(args.pairs):
                    ours = json.loads(run(FOVEA, "bench", "model", *options, "--json"))["milliseconds_per_image"]
                    peer = json.loads(run(sys.executable, HERE / "peer_model.py", *options))["milliseconds_per_image"]
                    pairs.append((ours, peer))
                yield ratio_row(f"{model}, batch {batch}, {dtype}, against PyTorch eager", pairs)


def start_row(args, folder):
    model, weights, onnx = "vit_base_patch16_224", folder / "start.safetensors", folder / "start.onnx"
    photo = folder / "photo.jpg"
    from PIL import Image
    from skimage import data
    Image.fromarray(data.astronaut()).resize((1280, 1280)).save(photo, quality=90)
    run(sys.executable, HERE / "peer_model.py", "--model", model, "--weights", weights, "--save")
    run(sys.executable, HERE / "peer_start.py", "--export", "--weights", weights, "--onnx", onnx)
    pairs = []
    memory = 0
    for _ in range(args.pairs):
        times = []
        for command in (["/usr/bin/env", FOVEA, "classify", photo, "--model", model, "--weights", weights, "--json",
                         "--threads", args.threads],
                        [sys.executable, HERE / "peer_start.py", "--onnx", onnx, "--photo", photo, "--threads",
                         args.threads]):
            before = time.perf_counter()
            run(*command)
            times.append((time.perf_counter() - before) * 1e3)
        pairs.append(tuple(times))
        peak = run(sys.executable, "-c", "import resource,subprocess,sys;subprocess.run(sys.argv[1:],stdout=-3,check=True);"
                   "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss*1024)", FOVEA, "classify", photo,
                   "--model", model, "--weights", weights, "--threads", args.threads)
        memory = max(memory, float(peak) / 1e6)
    row = ratio_row("ViT-B/16, process start to the labels of one photograph, against ONNX Runtime", pairs)
    row["peak_memory_mb"] = memory
    row["weights_mb"] = weights.stat().st_size / 1e6
    return row


def all_rows(args, folder):
    yield from model_rows(args, folder)
    if not args.no_start:
        yield start_row(args, folder)


def lines(args, folder):
    for row in all_rows(args, folder):
        yield [*cells(row), f"{row['peer_spread']:.0%}"]
        if "peak_memory_mb" in row:
            yield (f"\nPeak memory of that classification: {row['peak_memory_mb']:.0f} MB with {row['weights_mb']:.0f} MB of "
                   "weights.")


def main():
    parser = options(__doc__, pairs=7)
    parser.add_argument("--models", default=".")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--no-start", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_table(args, ["torch 2.11.0"], ["case", "fovea ms", "peer ms", "ratio (median)", "ratios", "peer's spread"],
                    lines(args, Path(folder)))


if __name__ == "__main__":
    main()
