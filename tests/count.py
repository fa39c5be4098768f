#!/usr/bin/env python3
"""Adds up the results of a ctest run: `count.py RESULTS` prints "N passed, N failed, N skipped" as its last line.

ctest.xml lists what ran. A program that wrote its own cases as RESULTS/<name>.xml is counted case by case, any other
as one. A program that failed without naming a failed case (it crashed, or timed out) counts as one failed.
Exits non-zero when a case failed or none ran.
"""
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

CANNOT_RUN = ("Unable to find executable", "Failed test dependencies", "Fixture dependency failed")


def verdict(case):
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed"
    skipped = case.find("skipped")
    if skipped is None and case.get("status") not in ("notrun", "disabled"):
        return "passed"
    # ctest also calls a program that could not be started "skipped".
    return "failed" if skipped is not None and skipped.get("message", "").startswith(CANNOT_RUN) else "skipped"


def cases_of(path):
    try:
        return [verdict(case) for case in ElementTree.parse(path).iter("testcase")]
    except (OSError, ElementTree.ParseError):
        return []


def count(results):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for entry in ElementTree.parse(results / "ctest.xml").iter("testcase"):
        program = verdict(entry)
        cases = cases_of(results / f"{entry.get('name')}.xml")
        if program == "failed" and "failed" not in cases:
            cases.append("failed")
            print(f"no result: {entry.get('name')} ended before it could name the case that failed")
        for case in cases or [program]:
            total[case] += 1
    return total


def main():
    try:
        total = count(Path(sys.argv[1]))
    except (OSError, ElementTree.ParseError) as error:
        print(f"no result: {error}")
        total = {"passed": 0, "failed": 1, "skipped": 0}
    print(", ".join(f"{number} {name}" for name, number in total.items()))
    return 0 if total["failed"] == 0 and total["passed"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
