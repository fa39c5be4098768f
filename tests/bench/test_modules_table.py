"""modules_table.py trains, measures, goes on where it stopped, and writes its table."""
import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(os.environ["FOVEA_SOURCE"]) / "tests/bench/modules_table.py"
BIN = Path(os.environ["FOVEA_BIN"])


def table(folder, *options):
    return subprocess.run([sys.executable, SCRIPT, "--results", folder / "results.json", "--page", folder / "page.md", "--names",
                           "none,simam", "--seeds", "2", "--train", "64", "--test", "40", "--pairs", "1", *options],
                          capture_output=True, text=True, timeout=300)


def rows(folder):
    return {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
            for line in (folder / "page.md").read_text().splitlines() if line.startswith("| ") and "slot" not in line}


def test_counts_are_exact():
    costs = json.loads(subprocess.run([BIN / "network_cost", "slots"], check=True, capture_output=True, text=True).stdout)
    shipped = {row["name"]: row for row in json.loads(
        subprocess.run([BIN / "fovea", "models", "--json"], check=True, capture_output=True, text=True).stdout)}
    assert len(costs) > 29 and list(costs)[0] == "none"
    plain = costs["none"]
    # Gates of eca: three kernels of 3 and 5 weights, one product a channel and weight.
    assert costs["eca"]["parameters"] - plain["parameters"] == 3 + 5 + 5
    assert costs["eca"]["multiply_adds"] - plain["multiply_adds"] == 64 * 3 + 128 * 5 + 192 * 5
    assert costs["simam"] == plain
    for name in ("se", "cbam"):
        ours = shipped[f"fovea_{name}resnet_fashion"]
        assert costs[name] == {key: ours[key] for key in ("parameters", "multiply_adds")}


def test_a_training_that_diverges_is_said(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import modules_table
    cost = {"parameters": 2000, "multiply_adds": 3_300_000}
    results = {"accuracy": {"x": {"0": None, "1": 40.0, "2": 60.0}, "y": {"0": None}, "z": {"0": 40.0, "1": 60.0}},
               "ratio": {"x": 1.5}}
    plain = {"parameters": 1000, "multiply_adds": 3_000_000}
    assert modules_table.row("x", results, cost, plain, 3) == "| x | 50.00 ± 14.14, 1 diverged | 2.0 k | 3.30 M (+10.0 %) | 1.50 |"
    assert modules_table.row("y", results, cost, plain, 1) == "| y | –, 1 diverged | 2.0 k | 3.30 M (+10.0 %) | – |"
    assert modules_table.row("z", results, cost, plain, 1) == "| z | 40.00 | 2.0 k | 3.30 M (+10.0 %) | – |"


def test_it_goes_on_where_it_stopped_and_writes_its_section(tmp_path):
    (tmp_path / "page.md").write_text("# Page\n\ntext\n\n## The slots on Fashion-MNIST\n\nold\n\n## After\n\nlast\n")
    first = table(tmp_path, "--minutes", "0.0001")
    assert first.returncode == 0 and "stopped" in first.stdout, first.stderr
    known = json.loads((tmp_path / "results.json").read_text())
    assert len(known["accuracy"].get("none", {})) <= 1
    again = table(tmp_path, "--write")
    assert again.returncode == 0 and again.stdout.endswith("complete\n"), again.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(len(results["accuracy"][name]) == 2 for name in ("none", "simam"))
    written = rows(tmp_path)
    assert list(written) == ["none", "simam"]
    assert written["none"][3] == "1.00" and " ± " in written["simam"][0] and "(+0.0 %)" in written["simam"][2]
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("# Page\n\ntext\n\n## The slots") and page.endswith("\n\n## After\n\nlast\n") and "old" not in page
    before = (tmp_path / "results.json").read_bytes()
    once_more = table(tmp_path, "--write")
    assert once_more.stdout == "complete\n" and (tmp_path / "results.json").read_bytes() == before
    assert (tmp_path / "page.md").read_text() == page
    other = table(tmp_path, "--epochs", "3")
    assert other.returncode == 1 and "was made with" in other.stderr
