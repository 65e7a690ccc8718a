"""What is done to state directories, an area a module. A damage is a function of a `Scene`; each area lists its own."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Callable

from ..original import Original

READY, REFUSED = "ready", "refused"


@dataclass
class Scene:
    """A copy of a whole state directory, and what was done to it."""

    state: Path
    original: Original
    base: str
    dice: Random
    # What was done, precisely.
    done: str = ""
    # What a refusal must name.
    named: str = ""
    # The media file that was damaged, and its video.
    file: str | None = None
    video: str | None = None
    # The upload that was damaged can have come this far at most, in bytes.
    upload_ceiling: int | None = None
    # Whether what has come of the upload is no longer what was sent.
    is_upload_spoilt: bool = False

    def damage(self, name, how):
        """Damages the file `name` of the state directory."""
        self.named = self.named or str(self.state / name)
        self.done = f"{name}: {how(self.state / name, self.dice)}"

    def draw(self, things):
        return self.dice.choice(sorted(things))


@dataclass
class Case:
    """A way to damage a state directory, and how a start on it may end."""

    name: str
    damage: Callable[[Scene], None]
    outcomes: frozenset = frozenset({READY, REFUSED})
    base: str = "stopped"
    # Lists of the admin API that may tell something else afterwards.
    spared: frozenset = field(default_factory=frozenset)


def must(outcome):
    return frozenset({outcome})


def of_file(name, hows, outcomes=frozenset({READY, REFUSED}), **more):
    """A case for each way to damage one file."""
    return [Case(f"{name}: {words(how)}", partial(damage_file, name=name, how=how), outcomes, **more) for how in hows]


def damage_file(scene, name, how):
    scene.damage(name, how)


def words(how):
    return how.__name__.replace("_", " ")
