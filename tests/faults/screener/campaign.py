"""The frame of a campaign: its command line, its time, and the one line that it prints.

A campaign exits 0 only on PASS, 1 on FAIL, and 2 where this machine cannot run it.
"""

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class NotHere(Exception):
    """This machine cannot run the campaign."""


class Campaign:
    """One figure of SECURITY.md, such as `R2`: what was counted, what was wrong, how long it took.

    `figures` are printed in the order in which they were first counted. `fault` is called for whatever must not be:
    one is enough to fail. Threads may count at the same time.
    """

    def __init__(self, name, options):
        self.name, self.options = name, options
        self.dice = random.Random(options.seed)
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name.lower()}-"))
        self.figures, self.faults, self.began, self.lock = {}, 0, time.monotonic(), threading.Lock()

    def add(self, **counts):
        with self.lock:
            for figure, count in counts.items():
                self.figures[figure] = self.figures.get(figure, 0) + count

    def highest(self, **values):
        with self.lock:
            for figure, value in values.items():
                self.figures[figure] = max(self.figures.get(figure, value), value)

    def fault(self, sentence):
        with self.lock:
            self.faults += 1
            if self.faults <= self.options.tell:
                print(f"{self.name} {sentence}", file=sys.stderr, flush=True)

    def lose(self, when, sentences):
        """Each of the sentences tells of something that was answered and is not there."""
        for sentence in sentences:
            self.add(lost=1)
            self.fault(f"{when}: {sentence}")

    def rounds(self, count):
        """1, 2, … `count`, which threads may share, but none that would begin after the time limit: that is a FAIL."""
        return Rounds(self, count)

    def elapsed_s(self):
        return time.monotonic() - self.began

    def finish(self):
        """Prints the line, tidies up, and answers the exit code."""
        if self.options.keep:
            print(f"{self.name} left everything in {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        if self.faults > self.options.tell:
            print(f"{self.name} and {self.faults - self.options.tell} more", file=sys.stderr)
        shown = {name: f"{value:.2f}" if isinstance(value, float) else value for name, value in self.figures.items()}
        words = [f"{name}={value}" for name, value in shown.items()]
        verdict = "FAIL" if self.faults else "PASS"
        print(self.name, verdict, *words, f"seed={self.options.seed}", f"took_s={self.elapsed_s():.0f}", flush=True)
        return 1 if self.faults else 0


class Rounds:
    def __init__(self, campaign, count):
        self.campaign, self.count, self.number = campaign, count, 0

    def __iter__(self):
        return self

    def __next__(self):
        with self.campaign.lock:
            if self.number == self.count:
                raise StopIteration
            self.number += 1
            number, limit_s = self.number, self.campaign.options.limit_s
            is_late = self.campaign.elapsed_s() > limit_s
            if is_late:
                self.number = self.count
        if is_late:
            self.campaign.fault(f"stopped before round {number} of {self.count}: {limit_s:.0f} s are over")
            raise StopIteration
        return number


def parser(description, limit_s):
    """A command line with what every campaign takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seed", type=int, default=20261123)
    made.add_argument("--binary", type=Path, default=ROOT / "target/release/screener")
    made.add_argument("--limit-s", type=float, default=limit_s, help="fail when it is not done within this time")
    made.add_argument("--tell", type=int, default=20, help="so many faults one by one, of the others their number")
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
