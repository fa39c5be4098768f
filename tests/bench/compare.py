"""fovea against its peers on this machine: every program alone in its process, alternated, medians of pairwise ratios.

    compare.py [--models REGEX] [--dtypes float32,bfloat16] [--batches 1,8] [--pairs 7] [--threads 2] [--markdown FILE]

Rows: the time of a forward pass against PyTorch eager on the same random weights, then the time from the start of the
process to the answer for one photograph against ONNX Runtime. A ratio below 1 means that fovea is faster.
"""
import argparse
import datetime
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOVEA = HERE.parents[1] / "build/release/bin/fovea"
MODELS = ["seresnet50", "cbamresnet50", "vit_base_patch16_224", "swin_tiny_patch4_window7_224"]


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def chip():
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return f"{names[0]}, {len(names)} cores" if names else "unknown chip"


def ratio_row(name, pairs):
    ratios = sorted(ours / peer for ours, peer in pairs)
    peers = sorted(peer for _, peer in pairs)
    return {"case": name, "ours_ms": statistics.median(ours for ours, _ in pairs), "peer_ms": statistics.median(peers),
            "ratio": statistics.median(ratios), "ratios": [ratios[0], ratios[-1]],
            "peer_spread": peers[-1] / peers[0] - 1}


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=".")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-start", action="store_true")
    parser.add_argument("--markdown", help="also write the table here")
    args = parser.parse_args()
    lines = [f"{datetime.date.today()}, {chip()}, {args.threads} threads, torch 2.11.0, {args.pairs} alternated pairs", "",
             "| case | fovea ms | peer ms | ratio (median) | ratios | peer's spread |", "|---|---|---|---|---|---|"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as temporary:
        for row in all_rows(args, Path(temporary)):
            lines.append(f"| {row['case']} | {row['ours_ms']:.1f} | {row['peer_ms']:.1f} | {row['ratio']:.3f} | "
                         f"{row['ratios'][0]:.2f}–{row['ratios'][1]:.2f} | {row['peer_spread']:.0%} |")
            print(lines[-1], flush=True)
            if "peak_memory_mb" in row:
                lines.append(f"\nPeak memory of that classification: {row['peak_memory_mb']:.0f} MB with "
                             f"{row['weights_mb']:.0f} MB of weights.")
                print(lines[-1])
    if args.markdown:
        Path(args.markdown).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
