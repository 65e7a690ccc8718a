"""Ways to damage a file, and what is put in its place. Each answers what it did, precisely enough to do it again.

The directory's owner stays the owner of what is damaged; what takes a file's place belongs to whoever owns the directory.
"""

import os
import shutil
import stat

PAGE_BYTES = 4096


def flip_bit(path, dice):
    content = bytearray(path.read_bytes())
    at, bit = dice.randrange(len(content)), dice.randrange(8)
    content[at] ^= 1 << bit
    overwrite(path, content)
    return f"bit {bit} of byte {at} flipped"


def zero_page(path, dice):
    """A page of zeros where there was something else."""
    content = bytearray(path.read_bytes())
    used = [at for at in range(0, len(content), PAGE_BYTES) if any(content[at:at + PAGE_BYTES])]
    at = dice.choice(used)
    content[at:at + PAGE_BYTES] = bytes(len(content[at:at + PAGE_BYTES]))
    overwrite(path, content)
    return f"page at byte {at} zeroed"


def truncate(path, dice):
    length = dice.randrange(1, path.stat().st_size)
    os.truncate(path, length)
    return f"truncated to {length} bytes"


def cut_tail(path, dice):
    """The last bytes, up to a page of them."""
    size = path.stat().st_size
    length = size - dice.randrange(1, min(size, PAGE_BYTES))
    os.truncate(path, length)
    return f"truncated to {length} of {size} bytes"


def append_garbage(path, dice):
    count = dice.randrange(1, 5000)
    with open(path, "ab") as file:
        file.write(dice.randbytes(count))
    return f"{count} bytes of garbage appended"


def overwrite_with_garbage(path, dice):
    overwrite(path, dice.randbytes(path.stat().st_size))
    return "overwritten with garbage"


def empty(path, dice):
    os.truncate(path, 0)
    return "emptied"


def zero(path, dice):
    overwrite(path, bytes(path.stat().st_size))
    return "zeroed"


def delete(path, dice):
    remove(path)
    return "deleted"


def make_unreadable(path, dice):
    path.chmod(0)
    return "mode 000"


def give_to_root(path, dice):
    os.chown(path, 0, 0)
    return "owned by root"


def replace_by_directory(path, dice):
    remove(path)
    path.mkdir()
    return belong("a directory in its place", path)


def replace_by_file(path, dice):
    remove(path)
    path.write_bytes(dice.randbytes(100))
    return belong("a file in its place", path)


def replace_by_fifo(path, dice):
    remove(path)
    os.mkfifo(path, 0o600)
    return belong("a FIFO in its place", path)


def replace_by_device(path, dice):
    """/dev/zero, which never ends."""
    remove(path)
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    return belong("a device in its place", path)


def replace_by_link(path, dice):
    remove(path)
    path.symlink_to("/etc/passwd")
    return "a link to /etc/passwd in its place"


# What can happen to any file. Not to be read as a whole, each is named in a case of its own.
CONTENT = [flip_bit, zero_page, truncate, append_garbage, overwrite_with_garbage, empty, delete]
KIND = [replace_by_directory, replace_by_fifo, replace_by_device, replace_by_link]
RIGHTS = [make_unreadable, give_to_root]


def overwrite(path, content):
    """In place: owner and mode stay."""
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def belong(what, path):
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    return what
