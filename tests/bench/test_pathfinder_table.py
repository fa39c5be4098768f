"""pathfinder_table.py trains in slices, measures, and writes its table."""
import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(os.environ["FOVEA_SOURCE"]) / "tests/bench/pathfinder_table.py"
BIN = Path(os.environ["FOVEA_BIN"])


def table(folder, *options):
    return subprocess.run([sys.executable, SCRIPT, "--results", folder / "results.json", "--page", folder / "page.md", "--mixers",
                           "s4", "--train", "320", "--test", "40", "--epochs", "1", *options],
                          capture_output=True, text=True, timeout=300)


def test_counts_are_those_of_the_formula():
    costs = json.loads(subprocess.run([BIN / "network_cost", "pixels"], check=True, capture_output=True, text=True).stdout)
    N, D, depth = 1024, 32, 4
    common = 3 * D * N + depth * N * 4 * D * D + 2 * D  # embed, MLPs, head
    projections = depth * N * 4 * D * D
    assert costs["dense"]["multiply_adds"] == common + projections + depth * 2 * N * N * D
    d = D // 2  # of a head
    linear = 2 * N * d * d + N * d  # per head: the sum over keys, its product with queries, the normaliser
    assert costs["linear"]["multiply_adds"] == common + projections + depth * 2 * linear
    k = 64
    assert costs["linformer"]["multiply_adds"] == common + projections + depth * (2 * N * k * D + 2 * N * k * D)
    assert costs["linear"]["multiply_adds"] < costs["window"]["multiply_adds"] < costs["dense"]["multiply_adds"] / 2
    assert costs["linformer"]["parameters"] - costs["dense"]["parameters"] == depth * 2 * k * N


def test_it_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "page.md").write_text("# Page\n")
    first = table(tmp_path, "--minutes", "0.03")  # measures, and stops within the first training or before
    assert first.returncode == 0 and first.stdout.endswith("stopped: run it again\n"), first.stderr
    again = table(tmp_path, "--write")
    assert again.returncode == 0 and again.stdout.endswith("complete\n"), again.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert 0 <= results["accuracy"]["s4"]["0"] <= 100
    assert all(value > 0 for value in results["cost"]["s4"].values())
    page = (tmp_path / "page.md").read_text()
    assert page.count("\n| s4 | ") == 1 and page.startswith("# Page\n\n## Pathfinder")
