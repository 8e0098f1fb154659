"""A proxy before a server that garbles what it replies: by a table, or at random."""

from __future__ import annotations

import collections
import contextlib
import random
import socket
import threading

from redis_server import Proxy, in_front_of_the_server

ERRORS = [b"MOVED 1 127.0.0.1:1", b"ASK 1 127.0.0.1:1", b"MOVED", b"LOADING", b"NOPERM", b"WRONGTYPE", b"ERR unknown command", b"", b"\xff" * 300]
NUMBERS = [b"-1", b"-2", b"-9223372036854775808", b"9223372036854775807", b"18446744073709551616", b"0", b"1", b"512", b"513", b"65536", b"65537", b"-", b"", b"1e3", b"00000000000000000001"]
HEADS = [kind + number for kind in (b"$", b"*", b":", b"%", b">", b"~", b"#") for number in NUMBERS] + [b"_", b"+OK", b"+", b"-", b"(1", b",1.5", b"="]


def read_reply(stream) -> bytes:
    """One reply, whole."""
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    kind, rest = line[:1], line[1:-2]
    if kind == b"$" and int(rest) >= 0:
        return line + stream.read(int(rest) + 2)
    count = int(rest) * (2 if kind == b"%" else 1) if kind in b"*>%" else 0
    return line + b"".join(read_reply(stream) for _ in range(count))


def read_command(stream) -> list[bytes]:
    words = []
    for _ in range(int(stream.readline()[1:])):
        words.append(stream.read(int(stream.readline()[1:])))
        stream.readline()
    return words


class Garbler(Proxy):
    """
    `change(words, reply)` says what is sent instead of the reply to a command (words: None: what was not asked for): bytes, or a list of pieces,
    of which None is the end.
    """

    def __init__(self, server):
        self.change = None
        super().__init__(server)

    def serve(self, client: socket.socket) -> None:
        asked: collections.deque[list[bytes]] = collections.deque()
        with self.connect() as upstream:
            threading.Thread(target=self._pass_on, args=(client, upstream, asked), daemon=True).start()
            replies = upstream.makefile("rb")
            while True:
                try:
                    reply = read_reply(replies)
                except (EOFError, ValueError):
                    return
                words = asked.popleft() if reply[:1] != b">" and asked else None
                if self.change:
                    reply = self.change(words, reply)
                for piece in reply if isinstance(reply, list) else [reply]:
                    if piece is None:
                        return
                    client.sendall(piece)

    def _pass_on(self, client: socket.socket, upstream: socket.socket, asked: collections.deque) -> None:
        commands = client.makefile("rb")
        try:
            while True:
                words = read_command(commands)
                asked.append(words)
                upstream.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        except (OSError, ValueError):
            with contextlib.suppress(OSError):
                upstream.shutdown(socket.SHUT_RDWR)


garbler = in_front_of_the_server(Garbler)


class Random:
    """A change for Garbler: one reply of `rarity` is garbled."""

    def __init__(self, seed: int, rarity: int):
        self.random, self.rarity, self.lock = random.Random(seed), rarity, threading.Lock()
        self.count = 0

    def __call__(self, words, reply: bytes):
        with self.lock:
            if self.random.randrange(self.rarity):
                return reply
            self.count += 1
            return self.random.choice([self.head, self.error, self.bytes, self.cut, self.twice, self.nothing, self.longer])(reply)

    def head(self, reply: bytes) -> bytes:
        """One of its lines is another one. Not all lines are heads: a value may have some."""
        lines = reply.split(b"\r\n")
        at = self.random.randrange(min(len(lines), 200))
        lines[at] = self.random.choice(HEADS)
        return b"\r\n".join(lines)

    def error(self, reply: bytes) -> bytes:
        return b"-" + self.random.choice(ERRORS) + b"\r\n"

    def bytes(self, reply: bytes) -> bytes:
        changed = bytearray(reply)
        for _ in range(self.random.randint(1, 4)):
            changed[self.random.randrange(min(len(changed), 64))] = self.random.randrange(256)
        return bytes(changed)

    def cut(self, reply: bytes):
        return [reply[: self.random.randrange(len(reply))], *self.random.choice([[], [None]])]

    def twice(self, reply: bytes) -> bytes:
        return reply + reply

    def nothing(self, reply: bytes):
        return self.random.choice([[None], b""])

    def longer(self, reply: bytes) -> bytes:
        at = self.random.randrange(len(reply))
        return reply[:at] + self.random.randbytes(self.random.randint(1, 40)) + reply[at:]
