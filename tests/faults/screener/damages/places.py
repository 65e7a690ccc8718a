"""The directory itself: its format, its lock, its rights and owners, and what else lies in it."""

import os

from .. import harm
from ..original import copy
from . import READY, REFUSED, Case, must, of_file, words


def cases():
    made = [Case(f"format: {words(how)}", of_format(how), must(REFUSED))
            for how in [*harm.CONTENT, *harm.KIND, *harm.RIGHTS, later_version]]
    made += of_file("lock", [harm.delete, harm.append_garbage], must(READY))
    made += of_file("lock", [*harm.KIND, *harm.RIGHTS])
    made += [Case(f"last-backup: {words(how)}", last_backup(how), must(READY))
             for how in [harm.flip_bit, harm.overwrite_with_garbage, harm.empty, *harm.KIND, *harm.RIGHTS]]
    made += [Case(f"admin.sock: {words(how)}", socket(how), must(READY))
             for how in [harm.replace_by_file, harm.replace_by_fifo, harm.replace_by_link, harm.give_to_root]]
    made.append(Case("admin.sock: replace by directory", socket(harm.replace_by_directory)))
    made += of_file("incoming", [harm.delete], must(READY))
    made += of_file("incoming", [harm.replace_by_file, harm.replace_by_fifo, *harm.RIGHTS])
    made.append(Case("incoming: strangers", left_in_incoming, must(READY)))
    made += of_file("media", [harm.replace_by_file, harm.replace_by_fifo, *harm.RIGHTS])
    made.append(Case("orphaned: a file, where something is to be set aside", orphaned))
    made += [Case(f"state directory: mode {mode:04o}", of_mode(mode), must(REFUSED)) for mode in [0o755, 0o750, 0o701, 0]]
    made.append(Case("state directory: owned by root, without its files", owned_by_root, must(REFUSED)))
    made.append(Case("state directory: unpacked by root", unpacked_by_root, must(REFUSED)))
    made.append(Case("state directory: copied while it was written to", copied, must(READY), base="copied"))
    return made


def of_format(how):
    """A refusal names the directory of which it is the format."""
    def damage(scene):
        scene.named = str(scene.state)
        scene.damage("format", how)
    return damage


def later_version(path, dice):
    harm.overwrite(path, b"screener state 2\n")
    return "of a later version"


def last_backup(how):
    def damage(scene):
        path = scene.state / "last-backup"
        path.write_text("1795702424330\n")
        harm.belong("", path)
        scene.damage("last-backup", how)
    return damage


def socket(how):
    def damage(scene):
        (scene.state / "admin.sock").touch()
        scene.damage("admin.sock", how)
    return damage


def left_in_incoming(scene):
    incoming = scene.state / "incoming"
    hows = [harm.replace_by_directory, harm.replace_by_fifo, harm.replace_by_link, harm.replace_by_file]
    for number, how in enumerate(hows):
        (incoming / str(number)).touch()
        how(incoming / str(number), scene.dice)
    scene.done = "incoming: a directory, a FIFO, a link and a file left behind"


def orphaned(scene):
    path = scene.state / "media" / "00000000-0000-4000-8000-000000000000"
    path.write_bytes(b"nobody's")
    harm.belong("", path)
    (scene.state / "orphaned").touch()
    scene.damage("orphaned", harm.replace_by_file)


def of_mode(mode):
    def damage(scene):
        scene.state.chmod(mode)
        scene.done, scene.named = f"state directory: mode {mode:04o}", str(scene.state)
    return damage


def owned_by_root(scene):
    os.chown(scene.state, 0, 0)
    scene.done, scene.named = "state directory: owned by root", str(scene.state)


def unpacked_by_root(scene):
    """As `tar` leaves it that root runs where the user has another number."""
    for path in [scene.state, *scene.state.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)
    scene.done, scene.named = "state directory: it and all its files owned by root", str(scene.state)


def copied(scene):
    scene.done = "state directory: copied with cp -r while keys were made and revoked"
