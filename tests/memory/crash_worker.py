"""Works on a memory until it is killed: `crash_worker.py FOLDER FILES URL`, then one seed a line on its input.

For each seed it starts a process of its own by fork, so that imports are paid once, and says its number. That process
saves, changes, deletes, renames and forgets files at random, and renews the index, as fast as it can; what it answered
for it writes to `FOLDER-told`.
"""

import os
import random
import sys
from pathlib import Path

from lib.core import profile as profiles
from lib.memory.service import Memory


def main(folder: str, files: str, url: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(folder, files, url, line.strip())
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


def work(folder: str, files: str, url: str, seed: str) -> None:
    told = os.open(f"{folder}-told", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(line: str) -> None:
        os.write(told, f"{line}\n".encode())

    chance = random.Random(int(seed))
    fields = {"model": "words", "folder": folder, "endpoint": url}
    profile = profiles.load("embedded", {f"memory.{key}": value for key, value in fields.items()})
    memory = Memory.open(profile)
    root = Path(files)
    memory.add(root)
    say("open")
    for number in range(10**6):
        present = sorted(root.glob("*.md"))
        what = chance.choice(["save", "save", "save", "change", "delete", "rename", "forget", "renew"])
        if what == "save" or not present:
            path = root / f"f{seed}-{number}.md"
            path.write_text(body(chance, f"w{seed}x{number}"))
        elif what == "change":
            path = chance.choice(present)
            path.write_text(body(chance, f"w{seed}x{number}"))
        elif what == "delete":
            path = chance.choice(present)
            path.unlink()
        elif what == "rename":
            chance.choice(present).rename(root / f"r{seed}-{number}.md")
        elif what == "forget" and number % 3 == 0:
            known = sorted(memory.store.manifest.sources(root.name))
            if known:
                say("forget")
                memory.forget(chance.choice(known))
        elif what == "renew" and number % 5 == 0:
            memory.renew()
        memory.sweep()
        if what == "save":
            say(f"saved {path.name} w{seed}x{number}")


def body(chance: random.Random, word: str) -> str:
    paragraphs = [" ".join(f"t{chance.randrange(500)}" for _ in range(60)) for _ in range(chance.randrange(1, 8))]
    return f"# {word}\n\n" + "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
