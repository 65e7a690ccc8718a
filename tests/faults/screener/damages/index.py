"""The index (sled): never a reason not to start, and never believed when it says something else than the journal."""

from .. import harm
from ..original import copy
from . import READY, Case, Scene, must

# How often each is drawn, of all that happen to an index: sled hangs on one flipped bit in eight.
FLIPS, PAGES = 5, 3


def cases():
    made = []
    for base in ["stopped", "killed", "many"]:
        made += [ready(f"flipped bit in db ({base})", database(harm.flip_bit), base)] * FLIPS
        made += [ready(f"zeroed page of db ({base})", database(harm.zero_page), base)] * PAGES
        made += [ready(f"truncated db ({base})", database(harm.truncate), base)] * 2
        made += [ready(f"db cut at its end ({base})", database(harm.cut_tail), base)]
        for how in [harm.append_garbage, harm.empty, harm.delete, harm.overwrite_with_garbage]:
            made.append(ready(f"db: {how.__name__} ({base})", database(how), base))
    for how in [harm.flip_bit, harm.overwrite_with_garbage, harm.empty, harm.delete, *harm.RIGHTS]:
        made.append(ready(f"conf: {how.__name__}", configuration(how)))
    for how in [harm.flip_bit, harm.truncate, harm.empty, harm.delete, harm.append_garbage]:
        made.append(ready(f"snapshot: {how.__name__}", snapshot(how)))
    made += [ready(f"snapshot left unfinished, {how}", left_over(how)) for how in ["empty", "half", "garbage"]]
    for how in [harm.delete, harm.replace_by_file, harm.replace_by_fifo, harm.replace_by_link, *harm.RIGHTS]:
        made.append(ready(f"directory: {how.__name__}", whole(how)))
    made += [ready("of an older state", older), ready("set aside before", set_aside)]
    # It knows of changes that this journal lacks: which of the two is wrong, nobody can tell.
    return [*made, Case("index: of another store, further on", foreign)]


def ready(name, damage, base="stopped"):
    return Case(f"index: {name}", damage, must(READY), base)


def database(how):
    return lambda scene: scene.damage("index/db", how)


def configuration(how):
    return lambda scene: scene.damage("index/conf", how)


def whole(how):
    return lambda scene: scene.damage("index", how)


def snapshot(how):
    return lambda scene: scene.damage(f"index/{snapshot_of(scene).name}", how)


def snapshot_of(scene: Scene):
    return next(path for path in sorted((scene.state / "index").iterdir()) if path.name.startswith("snap."))


def left_over(what):
    def damage(scene):
        good = snapshot_of(scene).read_bytes()
        content = {"empty": b"", "half": good[:len(good) // 2], "garbage": scene.dice.randbytes(500)}[what]
        path = scene.state / "index" / f"snap.{scene.dice.randrange(1 << 40):016X}.generating"
        path.write_bytes(content)
        scene.done = harm.belong(f"index/{path.name}: {what}", path)
    return damage


def older(scene):
    copy(scene.original.bases["older"] / "index", scene.state / "index")
    scene.done = "index: the one from before the revocations"


def foreign(scene):
    """Of the same program, with records of its own, and further on than this journal is."""
    copy(scene.original.bases["copied"] / "index", scene.state / "index")
    scene.done = "index: one that has applied more than the journal holds"


def set_aside(scene):
    for number in range(1, 4):
        path = scene.state / f"index.set-aside-{number}"
        path.mkdir()
        harm.belong("", path)
    scene.damage("index/conf", harm.overwrite_with_garbage)
