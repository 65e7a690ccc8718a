"""The frame of a campaign: its command line, its time, and the one line that it prints.

A campaign exits 0 only on PASS, 1 on FAIL, and 2 where this machine cannot run it.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Faults that are told one by one; of the others the number.
FAULTS_TOLD = 20


class NotHere(Exception):
    """This machine cannot run the campaign."""


class Campaign:
    """One figure of SECURITY.md, such as `R2`: what was counted, what was wrong, how long it took.

    `figures` are printed in the order in which they were first counted. `fault` is called for whatever must not be:
    one is enough to fail.
    """

    def __init__(self, name, options):
        self.name, self.options = name, options
        self.dice = random.Random(options.seed)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name.lower()}-"))
        self.figures, self.faults, self.began = {}, 0, time.monotonic()

    def add(self, **counts):
        for figure, count in counts.items():
            self.figures[figure] = self.figures.get(figure, 0) + count

    def highest(self, **values):
        for figure, value in values.items():
            self.figures[figure] = max(self.figures.get(figure, value), value)

    def fault(self, sentence):
        self.faults += 1
        if self.faults <= FAULTS_TOLD:
            print(f"{self.name} {sentence}", file=sys.stderr, flush=True)

    def rounds(self, count):
        """1, 2, … `count`, but none that would begin after the time limit: not all of them is a FAIL."""
        for number in range(1, count + 1):
            if self.elapsed_s() > self.options.limit_s:
                self.fault(f"stopped before round {number} of {count}: {self.options.limit_s:.0f} s are over")
                return
            yield number

    def elapsed_s(self):
        return time.monotonic() - self.began

    def finish(self):
        """Prints the line, tidies up, and answers the exit code."""
        if self.options.keep:
            print(f"{self.name} left everything in {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.faults > FAULTS_TOLD:
            print(f"{self.name} and {self.faults - FAULTS_TOLD} more", file=sys.stderr)
        shown = {name: f"{value:.2f}" if isinstance(value, float) else value for name, value in self.figures.items()}
        words = [f"{name}={value}" for name, value in shown.items()]
        verdict = "FAIL" if self.faults else "PASS"
        print(self.name, verdict, *words, f"seed={self.options.seed}", f"took_s={self.elapsed_s():.0f}", flush=True)
        return 1 if self.faults else 0


def parser(description, limit_s):
    """A command line with what every campaign takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seed", type=int, default=20261123)
    made.add_argument("--binary", type=Path, default=ROOT / "target/release/screener")
    made.add_argument("--limit-s", type=float, default=limit_s, help="fail when it is not done within this time")
    made.add_argument("--keep", action="store_true", help="leave state and logs of the last round in place")
    return made


def run(name, options, work):
    """Runs `work(campaign)` and answers the exit code."""
    options.binary = options.binary.resolve()
    if not options.binary.exists():
        print(f"{name} NOT RUN: {options.binary} is not built; run cargo build --release", file=sys.stderr)
        return 2
    campaign = Campaign(name, options)
    try:
        work(campaign)
    except NotHere as why:
        print(f"{name} NOT RUN: {why}", file=sys.stderr)
        shutil.rmtree(campaign.directory, ignore_errors=True)
        return 2
    except Exception as error:  # noqa: BLE001 - whatever it was, the line must be printed
        campaign.fault(f"the campaign itself broke off: {error!r}")
    return campaign.finish()


def need_tools(*names):
    for name in names:
        if not shutil.which(name):
            raise NotHere(f"{name} is not installed")
