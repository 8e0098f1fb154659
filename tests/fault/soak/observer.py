"""
A process that looks at a mount until a given moment, or until it is killed, and writes a line of JSON for each thing it saw. Arguments: the plan,
a seed, where to write, and what to do (see Observer.DOES). It only tells: the model judges.
"""

import collections
import ctypes
import errno
import hashlib
import json
import mmap
import os
import random
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
EXTENSION = {"arrow": ".arrow", "npy": ".npy", "msgpack": ".msgpack", "json": ".json", "meta": ".json"}
VIEWS = ("", "raw", "frame", "arrow", "npy", "msgpack", "json")
ATTRIBUTES = ("key", "size.frame", "size.payload", "expires", "ttl")
now = time.monotonic


def name_of_error(e):
    return errno.errorcode.get(e.errno, str(e.errno))


Name = collections.namedtuple("Name", "name")


class Observer:
    def __init__(self, plan, seed, log, does):
        with open(plan) as file:
            self.plan = json.load(file)
        self.top, self.keys, self.until = self.plan["mount"], self.plan["keys"], self.plan["until"]
        self.rng = random.Random(seed)
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.does = does
        self.lost = False  # the server, it seems

    def tell(self, **seen):
        """One write, so that whoever is killed leaves whole lines, but for the last."""
        self.lost = seen.get("error") == "ECONNREFUSED"
        os.write(self.log, json.dumps(seen).encode() + b"\n")

    def run(self):
        does, weights = zip(*self.DOES[self.does].items())
        while now() < self.until:
            getattr(self, self.rng.choices(does, weights)[0])()
            time.sleep(0.02 if self.lost else self.rng.choice([0, 0, 0.003]))  # writers want to write as well

    def pick(self, views=None):
        """A key, a view of it, and one of its names there."""
        rng = self.rng
        # Some keys are looked at more often, as their writer changes them more often.
        number = min(rng.randrange(len(self.keys)), rng.randrange(len(self.keys)))
        key = self.keys[number]
        view = rng.choice(views or (key["views"] if rng.random() < 0.9 else VIEWS))
        name = key["hash"] if key["hash"] and rng.random() < 0.2 else key["name"]
        path = os.path.join(self.top, view, name)
        if rng.random() < 0.8:
            path += EXTENSION.get(view, "")
        return {"k": number, "v": view, "n": name}, path, key

    # --- opening

    def whole(self):
        """Open a file, and read or map all of it."""
        what, path, key = self.pick()
        step = self.rng.choice([4096, 65536, 1 << 20, 1 << 20])
        mapped = key["mapped"] and self.rng.random() < 0.2
        begin = opened = now()
        at = "open"
        try:
            fd = os.open(path, os.O_RDONLY)
            try:
                opened, at = now(), "read"
                size = os.fstat(fd).st_size
                content = self.mapping(fd, size) if mapped and size else self.contents(fd, step)
            finally:
                os.close(fd)
        except OSError as e:
            end = now()
            self.tell(o="whole", **what, t=[begin, opened if at == "read" else end, end], at=at, error=name_of_error(e))
            return
        told = {"size": size, "length": len(content), "digest": hashlib.blake2b(content, digest_size=16).hexdigest()}
        self.tell(o="whole", **what, t=[begin, opened, now()], **told, head=content[:48].hex(), tail=content[-24:].hex(), mapped=mapped)

    @staticmethod
    def contents(fd, step):
        pieces = []
        while piece := os.read(fd, step):
            pieces.append(piece)
        return b"".join(pieces)

    @staticmethod
    def mapping(fd, size):
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
            return m[:]

    def windows(self):
        """Hold some files open, and read here and there in them for a while."""
        files = []
        for _ in range(self.rng.randrange(1, 80)):
            what, path, _ = self.pick()
            begin = now()
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError as e:
                end = now()
                self.tell(o="windows", **what, t=[begin, end, end], at="open", error=name_of_error(e))
                continue
            opened = now()
            if self.rng.random() < 0.5:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)  # nothing is read ahead
            files.append([what, fd, [begin, opened], []])
        until = now() + self.rng.choice([0.1, 0.5, 1.5])
        while files and now() < until:
            file = self.rng.choice(files)
            if not self.window(*file):
                files.remove(file)
            time.sleep(self.rng.uniform(0, 0.003))
        for what, fd, t, windows in files:
            size = os.fstat(fd).st_size
            os.close(fd)
            self.tell(o="windows", **what, t=[*t, now()], size=size, windows=windows[-20:])

    def window(self, what, fd, t, windows):
        size = os.fstat(fd).st_size
        n = self.rng.choice([1, 16, 300])
        at = self.rng.choice([0, max(0, size - n), self.rng.randrange(size + 1), self.rng.randrange(size + 1)])
        try:
            windows.append([at, n, os.pread(fd, n, at).hex()])
            return True
        except OSError as e:
            os.close(fd)
            self.tell(o="windows", **what, t=[*t, now()], at="read", error=name_of_error(e))
            return False

    def meta(self):
        what, path, _ = self.pick(["meta"])
        begin = now()
        try:
            with open(path, "rb") as file:
                end = now()
                told = json.load(file)
        except OSError as e:
            self.tell(o="meta", **what, t=[begin, now()], error=name_of_error(e))
            return
        self.tell(o="meta", **what, t=[begin, end], size=told["size"]["frame"], expires=told["expires"])

    # --- by path

    def stat(self):
        what, path, _ = self.pick()
        self.stat_of(what, path)

    def stat_of(self, what, path):
        begin = now()
        try:
            st = os.stat(path)
        except OSError as e:
            self.tell(o="stat", **what, t=[begin, now()], error=name_of_error(e))
            return
        self.tell(o="stat", **what, t=[begin, now()], size=st.st_size, blocks=st.st_blocks)

    def xattr(self):
        what, path, _ = self.pick(["", "raw", "frame"])
        name = self.rng.choice(ATTRIBUTES)
        begin = now()
        try:
            value = os.getxattr(path, f"user.ckfs.{name}").decode()
        except OSError as e:
            self.tell(o="xattr", **what, t=[begin, now()], name=name, error=name_of_error(e))
            return
        self.tell(o="xattr", **what, t=[begin, now()], name=name, value=value)

    # --- listings

    def list(self):
        """With small buffers, as other C libraries have them, with the usual one, and with the attributes of all."""
        directory = self.rng.choice([*VIEWS, "meta"])
        path = os.path.join(self.top, directory)
        how = self.rng.choice([self.entries, self.small])
        begin = now()
        try:
            entries = how(path)
        except OSError as e:
            self.tell(o="list", d=directory, t=[begin, now()], how=how.__name__, error=name_of_error(e))
            return
        self.tell(o="list", d=directory, t=[begin, now()], how=how.__name__, names=[entry.name for entry in entries])
        if how == self.entries:
            self.stat_some(entries, directory)

    def entries(self, path):
        with os.scandir(path) as listing:
            return list(listing)

    def stat_some(self, entries, directory):
        numbers = {name: number for number, key in enumerate(self.keys) for name in (key["name"], key["hash"]) if name}
        for entry in self.rng.sample(entries, min(8, len(entries))):
            name = entry.name.removesuffix(EXTENSION.get(directory, ""))
            if name in numbers and directory != "meta":
                self.stat_of({"k": numbers[name], "v": directory, "n": name}, entry.path)

    def small(self, path):
        names, size = [], 350 if self.rng.random() < 0.05 else self.rng.choice([1500, 4000, 10_000])
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            buffer = ctypes.create_string_buffer(size)
            while n := LIBC.getdents64(fd, buffer, size):
                if n < 0:
                    raise OSError(ctypes.get_errno(), "getdents64")
                at = 0
                while at < n:
                    length = int.from_bytes(buffer.raw[at + 16 : at + 18], sys.byteorder)
                    names.append(Name(os.fsdecode(buffer.raw[at + 19 : at + length].split(b"\0", 1)[0])))
                    at += length
        finally:
            os.close(fd)
        return [entry for entry in names if entry.name not in (".", "..")]

    DOES = {
        "read": {"whole": 1},
        "look": {"whole": 4, "meta": 1, "stat": 4, "xattr": 3},
        "list": {"list": 1},
        "hold": {"windows": 1},
    }


if __name__ == "__main__":
    os.nice(5)  # writers come first: what changes is worth a look
    Observer(*sys.argv[1:]).run()
