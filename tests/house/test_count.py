"""The last line of `make test` tells the truth, also about programs that crashed."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = Path(os.environ["FOVEA_SOURCE"]) / "tests/count.py"
PASSED = '<testcase name="{}" status="run"/>'
FAILED = '<testcase name="{}" status="fail"><failure message=""/></testcase>'
SKIPPED = '<testcase name="{}" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>'
MISSING = '<testcase name="{}" status="notrun"><skipped message="Unable to find executable"/></testcase>'
CASES = {
    "two cases": ([PASSED], '<testsuites><testcase name="x"/><testcase name="y"/></testsuites>', 2, 0, 0),
    "a failed case": ([FAILED], '<testsuites><testcase name="x"/><testcase name="y"><failure/></testcase></testsuites>', 1, 1, 0),
    "an error outside a case": ([FAILED], '<testsuites><testcase name="x"><error/></testcase></testsuites>', 0, 1, 0),
    "a skipped case": ([PASSED], '<testsuites><testcase name="x"><skipped/></testcase><testcase name="y"/></testsuites>', 1, 0, 1),
    "a crash without results": ([FAILED], None, 0, 1, 0),
    "a crash after results": ([FAILED], '<testsuites><testcase name="x"/></testsuites>', 1, 1, 0),
    "results cut short": ([FAILED], '<testsuites><testcase name="x"/>', 0, 1, 0),
    "no program": ([PASSED, MISSING], None, 1, 1, 0),
    "a skipped program": ([PASSED, SKIPPED], None, 1, 0, 1),
    "nothing ran": ([], None, 0, 0, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_count(tmp_path, name):
    programs, results, passed, failed, skipped = CASES[name]
    entries = "".join(entry.format(f"program{index}") for index, entry in enumerate(programs))
    (tmp_path / "ctest.xml").write_text(f"<testsuite>{entries}</testsuite>")
    if results is not None:
        (tmp_path / "program0.xml").write_text(results)
    run = subprocess.run([sys.executable, COUNT, tmp_path], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == f"{passed} passed, {failed} failed, {skipped} skipped"
    assert run.returncode == (0 if failed == 0 and passed > 0 else 1)


def test_no_results_at_all(tmp_path):
    run = subprocess.run([sys.executable, COUNT, tmp_path], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"
    assert run.returncode == 1
