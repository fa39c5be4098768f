"""The table of slots in docs/modules.md: one small ResNet, every attention of its blocks, three seeds each.

    modules_table.py --results FILE.json [--names none,se,…] [--seeds 3] [--train 8000] [--test 2000] [--epochs 1]
                     [--pairs 3] [--minutes M] [--write]

Trains `fovea_seresnet_fashion` on the first pictures of Fashion-MNIST with each slot (`fovea train --attention NAME`) on
one thread, measures the forward pass against the network without attention, alternated, and counts parameters and
multiply-adds (network_cost). Each number goes into FILE as soon as it is known: a run that is stopped goes on where it was.
--minutes stops by itself, --write puts what FILE holds into docs/modules.md.
"""
import argparse
import gzip
import json
import re
import shutil
import statistics
import time
from pathlib import Path

from resumable import BIN, SOURCE, Results, bench, replace_section, run

FASHION = Path("/usr/share/datasets/fashion-mnist")
HEADING = "## The slots on Fashion-MNIST"
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
    out = run(BIN / "fovea", "train", "--data", data, "--model", "fovea_seresnet_fashion", "--attention", name, "--seed",
              seed, "--epochs", args.epochs, "--threads", 1, "--output", folder, "--force")
    return float(re.findall(r"test accuracy ([\d.]+) % \(", out)[-1])


def speed_ratio(folder, plain, pairs):
    """Time of a forward pass over that of the plain network: the median of alternated pairs."""
    def milliseconds(model):
        return bench(model, BATCH)["milliseconds_per_image"]

    return statistics.median(milliseconds(folder) / milliseconds(plain) for _ in range(pairs))


def measure(args, results, names, work):
    """True when everything is measured."""
    end = time.monotonic() + 60 * args.minutes
    data = first_pictures(work / "data", {"train": args.train, "t10k": args.test})
    for seed in range(args.seeds):
        for name in names:
            accuracies, folder = results.all["accuracy"].setdefault(name, {}), work / name
            wants_ratio = seed == 0 and name not in results.all["ratio"]
            wants_training = str(seed) not in accuracies or (wants_ratio and not folder.exists())
            if not wants_training and not wants_ratio:
                continue
            if time.monotonic() > end:
                return False
            if wants_training:
                accuracies[str(seed)] = train(name, seed, args, data, folder if seed == 0 else work / "later")
                results.save()
                print(f"{name}, seed {seed}: {accuracies[str(seed)]:.2f} %", flush=True)
            if wants_ratio:
                if not (work / "none").exists():
                    train("none", 0, args, data, work / "none")
                results.all["ratio"][name] = 1.0 if name == "none" else speed_ratio(folder, work / "none", args.pairs)
                results.save()
            if name != "none":
                shutil.rmtree(folder, ignore_errors=True)
    return True


def row(name, results, cost, plain):
    accuracies = list(results["accuracy"][name].values())
    spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    more = cost["multiply_adds"] / plain["multiply_adds"] - 1
    return (f"| {name} | {statistics.mean(accuracies):.2f}{spread} | {cost['parameters'] / 1e3:.1f} k | "
            f"{cost['multiply_adds'] / 1e6:.2f} M (+{100 * more:.1f} %) | {results['ratio'][name]:.2f} |")


def section(results, costs):
    settings = results["settings"]
    done = [name for name in costs if name in results["ratio"] and results["accuracy"].get(name)]
    text = f"""{HEADING}

The same small ResNet (`fovea_seresnet_fashion`, three blocks) with each slot; passes over the first {settings['train']:,}
training pictures: {settings['epochs']}; right answers among the first {settings['test']:,} test pictures, mean and standard deviation of
{settings['seeds']} seeds, which differ in start and order. So short a run tells how a slot starts to learn, not where it ends;
differences below the deviation say nothing. Time is that of a forward pass of {BATCH} pictures on one thread over the network
without attention (`none`), alternated. `tests/bench/modules_table.py` made it.

| slot | accuracy, % | parameters | multiply-adds | time |
|---|---|---|---|---|
"""
    return text + "".join(row(name, results, costs[name], costs["none"]) + "\n" for name in done)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--names", help="of the slots (all)")
    parser.add_argument("--page", type=Path, default=SOURCE / "docs/modules.md")
    for option, number in (("--seeds", 3), ("--train", 8000), ("--test", 2000), ("--epochs", 1), ("--pairs", 3)):
        parser.add_argument(option, type=int, default=number)
    parser.add_argument("--minutes", type=float, default=10_000)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    settings = {key: getattr(args, key) for key in ("seeds", "train", "test", "epochs", "pairs")}
    results = Results(args.results, settings, ("accuracy", "ratio"))
    costs = json.loads(run(BIN / "network_cost", "slots"))
    names = args.names.split(",") if args.names else list(costs)
    whole = measure(args, results, names, args.results.with_suffix(".work"))
    if args.write:
        args.page.write_text(replace_section(args.page.read_text(), HEADING, section(results.all, costs)))
    print("complete" if whole else "stopped: run it again")


if __name__ == "__main__":
    main()
