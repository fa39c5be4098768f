"""What recording attention adds to a forward pass: with and without, each alone in its process, in turns.

    map_cost.py [--model vit_base_patch16_224] [--maps cls,all] [--dtypes float32,bfloat16] [--pairs 7] [--threads 2]
                [--markdown FILE]

A ratio of 1.02 means that the maps add 2 %.
"""
import json

from table import FOVEA, cells, options, print_table, ratio_row, run


def milliseconds(args, dtype, *maps):
    answer = json.loads(run(FOVEA, "bench", "model", "--model", args.model, "--dtype", dtype, "--threads", args.threads,
                            "--json", *maps))
    return answer["milliseconds_per_image"], answer["maps"]


def rows(args):
    for dtype in args.dtypes.split(","):
        for maps in args.maps.split(","):
            pairs = []
            for _ in range(args.pairs):
                recorded, count = milliseconds(args, dtype, "--maps", maps)
                pairs.append((recorded, milliseconds(args, dtype)[0]))
            yield cells(ratio_row(f"{args.model}, {dtype}, {count} maps, {'rows of CLS' if maps == 'cls' else 'all rows'}", pairs))


def main():
    parser = options(__doc__, pairs=7)
    parser.add_argument("--model", default="vit_base_patch16_224")
    parser.add_argument("--maps", default="cls,all")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    args = parser.parse_args()
    print_table(args, [], ["case", "with maps ms", "without ms", "ratio (median)", "ratios"], rows(args))


if __name__ == "__main__":
    main()
