"""The table of slots in docs/modules.md: one small ResNet, every attention of its blocks, three seeds each.

    modules_table.py --results FILE.json [--names none,se,…] [--seeds 3] [--train 8000] [--test 2000] [--epochs 2]
                     [--step 32] [--pairs 3] [--minutes M] [--write]

Trains `fovea_seresnet_fashion` on the first pictures of Fashion-MNIST with each slot (`fovea train --attention NAME`) on
one thread, measures the forward pass against the network without attention, alternated, and counts parameters and
multiply-adds (network_cost). Each number goes into FILE as soon as it is known: a run that is stopped goes on where it was.
--minutes stops by itself, --write puts what FILE holds into docs/modules.md.
"""
import gzip
import json
import re
import statistics
import subprocess
import time
from pathlib import Path

from resumable import BIN, Results, finish, forward_cost, run, table_parser

FASHION = Path("/usr/share/datasets/fashion-mnist")
HEADING = "## The slots on Fashion-MNIST"
NUMERIC = 5  # what a training answers whose loss is no number
BATCH = 32  # pictures at once, of the measured forward pass


def first_pictures(folder, counts):
    """IDX files with the first pictures of each part."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in counts.items():
        for kind, header, bytes_each in (("images-idx3", 16, 28 * 28), ("labels-idx1", 8, 1)):
            with gzip.open(FASHION / f"{part}-{kind}-ubyte.gz") as file:
                data = file.read(header + count * bytes_each)
            (folder / f"{part}-{kind}-ubyte").write_bytes(data[:4] + count.to_bytes(4, "big") + data[8:])
    return folder


def train(name, seed, args, data, folder):
    """Accuracy in %, or None where the loss is no number any more."""
    try:
        out = run(BIN / "fovea", "train", "--data", data, "--model", "fovea_seresnet_fashion", "--attention", name,
                  "--seed", seed, "--epochs", args.epochs, "--batch-size", args.step, "--threads", 1, "--output", folder,
                  "--force")
    except subprocess.CalledProcessError as error:
        if error.returncode != NUMERIC:
            raise
        return None
    return float(re.findall(r"test accuracy ([\d.]+) % \(", out)[-1])


def speed_ratio(folder, plain, pairs):
    """Time of a forward pass over that of the plain network: the median of alternated pairs."""
    return statistics.median(forward_cost(folder, BATCH)[0] / forward_cost(plain, BATCH)[0] for _ in range(pairs))


def measure(args, results, names, work):
    """True when everything is measured: accuracies first, times last, which want a machine that does nothing else."""
    end = time.monotonic() + 60 * args.minutes
    data = first_pictures(work / "data", {"train": args.train, "t10k": args.test})
    accuracy, ratio = results.all["accuracy"], results.all["ratio"]
    for seed in range(args.seeds):
        for name in names:
            folder = work / (name if seed == 0 else "later")
            known = accuracy.setdefault(name, {})
            to_be_timed = seed == 0 and not folder.exists() and (name not in ratio or name == "none")
            if str(seed) in known and (known[str(seed)] is None or not to_be_timed):
                continue
            if time.monotonic() > end:
                return False
            known[str(seed)] = train(name, seed, args, data, folder)
            results.save()
            print(f"{name}, seed {seed}: {known[str(seed)]} %", flush=True)
    for name in names:
        if name in ratio or accuracy[name]["0"] is None:
            continue
        if time.monotonic() > end:
            return False
        ratio[name] = 1.0 if name == "none" else speed_ratio(work / name, work / "none", args.pairs)
        results.save()
        print(f"{name}: {ratio[name]:.2f} times", flush=True)
    return True


def row(name, results, cost, plain, seeds):
    of_seeds = [results["accuracy"][name][str(seed)] for seed in range(seeds)]
    accuracies = [one for one in of_seeds if one is not None]
    lost = seeds - len(accuracies)
    accuracy = f"{statistics.mean(accuracies):.2f}" if accuracies else "–"
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    note = f", {lost} diverged" if lost else ""
    more = cost["multiply_adds"] / plain["multiply_adds"] - 1
    ratio = f"{results['ratio'][name]:.2f}" if name in results["ratio"] else "–"
    return (f"| {name} | {accuracy}{spread}{note} | {cost['parameters'] / 1e3:.1f} k | "
            f"{cost['multiply_adds'] / 1e6:.2f} M (+{100 * more:.1f} %) | {ratio} |")


def section(results, costs):
    settings = results["settings"]
    done = [name for name in costs if results["accuracy"].get(name)]
    seeds = min((len(results["accuracy"][name]) for name in done), default=0)  # that all have, of a run that goes on later
    text = f"""{HEADING}

The same small ResNet (`fovea_seresnet_fashion`, three blocks) with each slot; passes over the first {settings['train']:,}
training pictures, {settings['step']} a step: {settings['epochs']}; right answers among the first {settings['test']:,} test pictures,
mean and standard deviation over seeds (here {seeds}), which differ in start and order. So short a run tells how a slot starts
to learn, not where it ends; differences below the deviation say nothing. "Diverged": the loss became no number. Time is that
of a forward pass of {BATCH} pictures on one thread over the network without attention (`none`): the median of
{settings['pairs']} alternated pairs, each the least of many runs. `tests/bench/modules_table.py` made it.

| slot | accuracy, % | parameters | multiply-adds | time |
|---|---|---|---|---|
"""
    return text + "".join(row(name, results, costs[name], costs["none"], seeds) + "\n" for name in done)


def main():
    parser = table_parser(__doc__, "docs/modules.md", seeds=3, train=8000, test=2000, epochs=2, step=32, pairs=3)
    parser.add_argument("--names", help="of the slots (all)")
    args = parser.parse_args()
    settings = {key: getattr(args, key) for key in ("seeds", "train", "test", "epochs", "step", "pairs")}
    results = Results(args.results, settings, ("accuracy", "ratio"))
    costs = json.loads(run(BIN / "network_cost", "slots"))
    names = args.names.split(",") if args.names else list(costs)
    whole = measure(args, results, names, args.results.with_suffix(".work"))
    finish(args, whole, HEADING, section(results.all, costs))


if __name__ == "__main__":
    main()
