"""`fovea bench kernels` on an idle machine, as the table of docs/performance.md.

    kernels.py [--filter REGEX] [--device cpu] [--threads 2] [--markdown FILE]

The program itself lets the kernels, LibTorch's and the formula take turns; this runs it once and writes rows.
"""
import json

from table import FOVEA, options, print_table, run


def text(value, unit=1, suffix=""):
    return "-" if value is None else f"{value * unit:.1f}{suffix}"


def rows(args):
    for row in json.loads(run(FOVEA, "bench", "kernels", "--filter", args.filter, "--device", args.device, "--threads",
                              args.threads, "--json")):
        yield [row["case"], row["dtype"], text(row["ours_us"]), text(row["sdpa_us"]), text(row["naive_us"]),
               f"{row['ratio']:.2f}", text(row["fraction_of_peak"], 100, "%"), text(row.get("copies"))]


def main():
    parser = options(__doc__)
    parser.add_argument("--filter", default=".")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    print_table(args, [args.device], ["case", "type", "ours µs", "SDPA µs", "formula µs", "ratio", "of peak", "copies"],
                rows(args))


if __name__ == "__main__":
    main()
