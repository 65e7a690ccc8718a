"""The master key and the certificate: another key is never made over what only the right one opens."""

import os

from .. import harm
from . import READY, REFUSED, Case, must, of_file


def cases():
    wrong = [("another key", lambda key, dice: dice.randbytes(32).hex() + "\n"), ("half of it", lambda key, _: key[:32]),
             ("a digit short", lambda key, _: key[:63]), ("a digit too many", lambda key, _: key[:64] + "0\n"),
             ("no digit", lambda key, _: "g" + key[1:]), ("two keys", lambda key, _: key * 2),
             ("a space before it", lambda key, _: " " + key)]
    right = [("no line end", lambda key, _: key.strip()), ("another line end", lambda key, _: key + "\n"),
             ("a line end of DOS", lambda key, _: key.strip() + "\r\n"), ("in capitals", lambda key, _: key.upper())]
    made = [Case(f"master.key: {name}", rewritten(name, text), must(REFUSED)) for name, text in wrong]
    made += [Case(f"master.key: {name}", rewritten(name, text), must(READY)) for name, text in right]
    made += [Case(f"master.key: mode {mode:04o}", of_mode(mode), must(REFUSED)) for mode in [0o644, 0o640, 0o604, 0o622]]
    made += [Case("master.key: mode 0400", of_mode(0o400), must(READY))]
    made += of_file("master.key", [*harm.CONTENT, *harm.KIND, *harm.RIGHTS], must(REFUSED))
    for name in ["certificate.pem", "key.pem", "names", "ca.pem"]:
        made += of_file(f"tls/{name}", [*harm.CONTENT, *harm.KIND, *harm.RIGHTS])
    made += of_file("tls", [harm.delete], must(READY))
    return made + of_file("tls", [harm.replace_by_file, harm.replace_by_fifo, *harm.RIGHTS])


def rewritten(name, text):
    def damage(scene):
        path = scene.state / "master.key"
        harm.overwrite(path, text(path.read_text(), scene.dice).encode())
        scene.done, scene.named = f"master.key: {name}", str(path)
    return damage


def of_mode(mode):
    def damage(scene):
        path = scene.state / "master.key"
        os.chmod(path, mode)
        scene.done, scene.named = f"master.key: mode {mode:04o}", str(path)
    return damage
