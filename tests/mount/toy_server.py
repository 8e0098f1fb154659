"""The server of the toy store (tests/toy), which can hang, die and come back."""

from __future__ import annotations

import contextlib
import socket
import threading


class ToyServer:
    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.answers = threading.Event()  # while it is clear, questions are taken and nothing is answered
        self.answers.set()
        self.stuck: set[bytes] = set()  # keys for which that goes on for ever
        self.connections = 0  # so many were made
        self.listable = True  # else it refuses to tell its keys
        self.questions: list[bytes] = []
        self.expiries: dict[bytes, int] = {}
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"toy://127.0.0.1:{self.port}"

    def start(self) -> None:
        """At the same port as before, with the data it had."""
        self.listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listening.getsockname()[1]
        self.clients: list[socket.socket] = []
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def kill(self) -> None:
        for s in [self.listening, *self.clients]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listening.accept()[0]
                self.connections += 1
                self.clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            stream = client.makefile("rb")
            for line in stream:
                value = stream.read(int(line.rsplit(b" ", 1)[1])) if line.startswith(b"SET ") else None
                self.answers.wait()
                if line[4:-1] not in self.stuck:
                    client.sendall(self.answer(line.rstrip(b"\n")) if value is None else self.store(line, value))

    def store(self, line: bytes, value: bytes) -> bytes:
        self.data[line[4:].rsplit(b" ", 1)[0]] = value
        return b"OK\n"

    def answer(self, question: bytes) -> bytes:
        self.questions.append(question)
        if question == b"KEYS" and not self.listable:
            return b"NONE\n"
        if question.startswith(b"DEL "):
            return b"NONE\n" if self.data.pop(question[4:], None) is None else b"OK\n"
        if question.startswith(b"EXPIRE "):
            key, seconds = question[7:].rsplit(b" ", 1)
            self.expiries[key] = int(seconds)
            return b"OK\n" if key in self.data else b"NONE\n"
        if question == b"KEYS":
            return b"COUNT %d\n" % len(self.data) + b"".join(key + b"\n" for key in self.data)
        value = self.data.get(question.removeprefix(b"GET "))
        return b"NONE\n" if value is None else b"LEN %d\n" % len(value) + value
