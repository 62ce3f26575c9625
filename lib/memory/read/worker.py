"""Parsers at arm's length: formats of strangers are read in a child process with little memory and little time.

A file that makes its parser run for ever or eat all memory costs that child, not the memory. The child is kept for the
next files; it gets bytes and gives back text, and opens nothing itself.
"""

import json
import os
import resource
import select
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Any

from lib.core import paths
from lib.memory.read import formats
from lib.memory.read.document import Block, Document, Limits, Refused, Torn

SIZE = struct.Struct(">I")
MEMORY_BYTES = 1 << 30
# Importing the parsers takes a moment the first time.
START_S = 20.0


class Reader:
    """Reads files: text here, formats that take a parser in the child. Safe to use from several threads."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, data: bytes, name: str) -> Document:
        """Read one file by its name.

        Raises
        ------
        Refused
            With the reason.
        """
        if not formats.parsed(name):
            return formats.read(data, name, self.limits)
        with self._lock:
            answer = self._ask(data, name)
        if "document" in answer:
            return _document(answer["document"])
        raise (Torn if answer.get("torn") else Refused)(str(answer["refused"]))

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _ask(self, data: bytes, name: str) -> dict[str, Any]:
        fresh = self._child is None or self._child.poll() is not None
        child = self._start() if fresh or self._child is None else self._child
        request = json.dumps({"name": name, "limits": self.limits._asdict()}).encode()
        deadline = time.monotonic() + self.limits.seconds + (START_S if fresh else 0)
        try:
            _send(child.stdin, request, data)
            answer = _receive(child.stdout, deadline)
        except TimeoutError:
            self._end()
            return {"refused": f"its parser was not done after {self.limits.seconds:g} s"}
        except (OSError, EOFError):
            self._end()
            return {"refused": "its parser died: it wanted more memory than it may have"}
        return dict(json.loads(answer))

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "lib.memory.read.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=paths.ROOT,
            start_new_session=True,
        )
        return self._child

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            try:
                if pipe:
                    pipe.close()
            except BrokenPipeError:
                continue
        self._child.wait()
        self._child = None


def serve(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """Answer requests until the other end closes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (head := stdin.read(SIZE.size)) and len(head) == SIZE.size:
        request = json.loads(stdin.read(*SIZE.unpack(head)))
        data = stdin.read(*SIZE.unpack(stdin.read(SIZE.size)))
        _send(stdout, json.dumps(_answer(data, request["name"], Limits(**request["limits"]))).encode())


def _answer(data: bytes, name: str, limits: Limits) -> dict[str, Any]:
    try:
        return {"document": formats.read(data, name, limits)}
    except Refused as refused:
        return {"refused": refused.reason, "torn": isinstance(refused, Torn)}
    except MemoryError:
        return {"refused": "its parser wanted more memory than it may have"}
    except RecursionError:
        return {"refused": "nested too deep"}
    except Exception as error:  # a parser may fail in any way on a hostile file
        return {"refused": f"its parser failed: {type(error).__name__}"}


def _document(fields: list[Any]) -> Document:
    title, text, blocks, encoding, offset, tags, links = fields
    placed = [Block(start, end, tuple(heading)) for start, end, heading in blocks]
    return Document(title, text, placed, encoding, offset, tuple(tags), tuple(links))


def _send(pipe: IO[bytes] | None, *parts: bytes) -> None:
    if pipe is None:
        raise EOFError
    for part in parts:
        pipe.write(SIZE.pack(len(part)) + part)
    pipe.flush()


def _receive(pipe: IO[bytes] | None, deadline: float) -> bytes:
    """Read one message from a pipe by its descriptor; nothing may stay in a buffer that `select` does not see."""
    if pipe is None:
        raise EOFError
    (length,) = SIZE.unpack(_exactly(pipe.fileno(), SIZE.size, deadline))
    return _exactly(pipe.fileno(), length, deadline)


def _exactly(descriptor: int, length: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    while length:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError
        piece = os.read(descriptor, min(length, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
