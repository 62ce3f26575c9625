"""Take a defence out of the bastion for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from lib.deploy.bastion import files
from lib.edge.stage import Stage

# What home would serve if it passed on every path.
LOOSE_HOME = """
        location /metrics { proxy_pass http://engine; }
        location / { proxy_pass http://engine; }"""


@contextmanager
def without(stage: Stage, *removals: tuple[str, str, str]) -> Iterator[None]:
    """Take lines out of nginx's files, or change them, for a while: (gate or home, old, new)."""
    twins = {"gate": stage.gate, "home": stage.home}
    whole = {where: twins[where].path(files.NGINX).read_text() for where, _, _ in removals}
    text = dict(whole)
    for where, old, new in removals:
        assert old in text[where], f"{old} is not in the rendered file"
        text[where] = text[where].replace(old, new)
    try:
        for where, changed in text.items():
            twins[where].write(files.NGINX, changed)
            stage.reload(twins[where])
        yield
    finally:
        for where, kept in whole.items():
            twins[where].write(files.NGINX, kept)
            stage.reload(twins[where])
