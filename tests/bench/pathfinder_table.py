"""The table of Pathfinder in docs/claims.md: the same small classifier of 1,024 pixel tokens with six mixers of tokens.

    pathfinder_table.py --results FILE.json [--mixers dense,window,…] [--train 20000] [--test 2000] [--epochs 10] [--seeds 1]
                        [--lr 0.001] [--minutes M] [--write]

Trains fovea_pixels_* on generated pictures on one thread (`fovea train --data pathfinder`), and measures time and
memory. A run that is stopped, or that --minutes stops, goes on from the state that training saves. --write puts what
FILE holds into docs/claims.md.
"""
import json
import os
import re
import signal
import statistics
import subprocess
import time
from pathlib import Path

from resumable import BIN, ONE_THREAD, Results, finish, forward_cost, run, table_parser

HEADING = "## Pathfinder: two dots in 1,024 pixels"
MIXERS = ["dense", "window", "linear", "linformer", "s4", "mamba"]
BATCH = 32  # pictures a step: what the largest, Mamba, holds in 3 GB
STATE_SAVED = 128 + signal.SIGTERM  # what a training that was stopped answers


def train(mixer, seed, args, folder, seconds):
    """Accuracy and largest memory, or None where the time is over: the state is saved."""
    command = [BIN / "fovea", "train", "--data", f"pathfinder:{args.train}:{args.test}", "--model", f"fovea_pixels_{mixer}",
               "--epochs", args.epochs, "--lr", args.lr, "--batch-size", BATCH, "--seed", seed, "--threads", 1, "--output", folder, "--resume",
               "--save-every", 50]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=ONE_THREAD)
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, _ = process.communicate()
    if process.returncode == STATE_SAVED:
        return None
    if process.returncode != 0:
        raise SystemExit(f"fovea train answered {process.returncode}")
    return float(re.findall(r"test accuracy ([\d.]+) % \(", out)[-1])


def training_cost(mixer, pictures, folder):
    """Seconds of the processor and bytes of a training of its own."""
    command = [BIN / "fovea", "train", "--data", f"pathfinder:{pictures}:2", "--model", f"fovea_pixels_{mixer}", "--epochs", 1,
               "--batch-size", BATCH, "--threads", 1, "--output", folder, "--force"]
    pid = os.posix_spawn(str(command[0]), [str(part) for part in command], ONE_THREAD,
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        raise SystemExit(f"fovea train ended with status {status}")
    return usage.ru_utime + usage.ru_stime, 1024 * usage.ru_maxrss


def cost_of(mixer, folder):
    """Milliseconds a picture and MB, of training and of a forward pass."""
    few, more = 2 * BATCH, 6 * BATCH  # what starts and ends a training is in both
    (short, _), (long, held) = (training_cost(mixer, pictures, folder) for pictures in (few, more))
    milliseconds, megabytes = forward_cost(folder, batch=8)
    return {"training_ms": 1e3 * (long - short) / (more - few), "training_mb": held / 1e6, "forward_ms": milliseconds,
            "forward_mb": megabytes}


def measure(args, results, mixers, work):
    """True when everything is measured."""
    end = time.monotonic() + 60 * args.minutes
    work.mkdir(parents=True, exist_ok=True)
    for mixer in mixers:
        if mixer in results.all["cost"]:
            continue
        if time.monotonic() > end:
            return False
        results.all["cost"][mixer] = cost_of(mixer, work / f"{mixer}.cost")
        results.save()
    for seed in range(args.seeds):
        for mixer in mixers:
            accuracies = results.all["accuracy"].setdefault(mixer, {})
            if str(seed) in accuracies:
                continue
            left = end - time.monotonic()
            if left <= 0:
                return False
            accuracy = train(mixer, seed, args, work / f"{mixer}.{seed}", left)
            if accuracy is None:
                return False
            accuracies[str(seed)] = accuracy
            results.save()
            print(f"{mixer}, seed {seed}: {accuracy:.2f} %", flush=True)
    return True


def row(mixer, results, counted):
    accuracies, cost = list(results["accuracy"][mixer].values()), results["cost"][mixer]
    spread = f" ± {statistics.stdev(accuracies):.1f}" if len(accuracies) > 1 else ""
    return (f"| {mixer} | {statistics.mean(accuracies):.1f}{spread} | {counted['parameters'] / 1e3:.1f} k | "
            f"{counted['multiply_adds'] / 1e6:.0f} M | {cost['forward_ms']:.1f} ms, {cost['forward_mb']:.0f} MB | "
            f"{cost['training_ms']:.0f} ms, {cost['training_mb']:.0f} MB |")


def section(results, counted):
    settings = results["settings"]
    done = [mixer for mixer in MIXERS if results["accuracy"].get(mixer)]
    text = f"""{HEADING}

[Long Range Arena](https://arxiv.org/abs/2011.04006) asks whether a dashed curve joins two dots, pixel by pixel. Here: pictures
of our own generator (`fovea train --data pathfinder`, as many joined as not: guessing gives 50 %), {settings['train']:,} to train on,
passes over them: {settings['epochs']}, {settings['test']:,} others to test; four blocks of width 32; learning rate {settings['lr']:g}, seeds: {settings['seeds']}. Cost on one thread:
a forward pass of 8 pictures and a training step of {BATCH}, a picture of each, and the most memory that the process held.
Multiply-adds are those of matrix products: scans and Fourier transforms are not counted.
The benchmark itself trains for hundreds of thousands of steps: few steps say what a step costs, not what a mixer can learn.
`tests/bench/pathfinder_table.py` made it.

| mixer | accuracy, % | parameters | multiply-adds | forward | training |
|---|---|---|---|---|---|
"""
    return text + "".join(row(mixer, results, counted[mixer]) + "\n" for mixer in done)


def main():
    parser = table_parser(__doc__, "docs/claims.md", train=20000, test=2000, epochs=10, seeds=1, lr=1e-3)
    parser.add_argument("--mixers", default=",".join(MIXERS))
    args = parser.parse_args()
    settings = {key: getattr(args, key) for key in ("train", "test", "epochs", "seeds", "lr")}
    results = Results(args.results, settings, ("accuracy", "cost"))
    counted = json.loads(run(BIN / "network_cost", "pixels"))
    whole = measure(args, results, args.mixers.split(","), args.results.with_suffix(".work"))
    finish(args, whole, HEADING, section(results.all, counted))


if __name__ == "__main__":
    main()
