"""`fovea bench kernels` on an idle machine, as the table of docs/performance.md.

    kernels.py [--filter REGEX] [--device cpu] [--threads 2] [--markdown FILE]

The program itself lets the kernels, LibTorch's and the formula take turns; this runs it once and writes rows.
"""
import argparse
import datetime
import json
from pathlib import Path

from compare import FOVEA, chip, run


def text(value, unit=1, suffix=""):
    return "-" if value is None else f"{value * unit:.1f}{suffix}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter", default=".")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", help="also write the table here")
    args = parser.parse_args()
    rows = json.loads(run(FOVEA, "bench", "kernels", "--filter", args.filter, "--device", args.device, "--threads",
                          args.threads, "--json"))
    lines = [f"{datetime.date.today()}, {chip()}, {args.device}, {args.threads} threads", "",
             "| case | type | ours µs | SDPA µs | formula µs | ratio | of peak | copies |",
             "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row['case']} | {row['dtype']} | {row['ours_us']:.1f} | {text(row['sdpa_us'])} | "
                     f"{text(row['naive_us'])} | {row['ratio']:.2f} | {text(row['fraction_of_peak'], 100, '%')} | "
                     f"{text(row.get('copies'))} |")
    print("\n".join(lines))
    if args.markdown:
        Path(args.markdown).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
