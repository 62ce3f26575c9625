"""A file with a secret in it that is made on the host: what travels, and what is compared, has a mark in its place."""

from dataclasses import dataclass

from lib.deploy.resources import File
from lib.deploy.resources.base import quote

MARK = "@SECRET@"


@dataclass(frozen=True)
class Filled(File):
    """A text file whose `MARK` is replaced on the host.

    Parameters
    ----------
    secret : str
        File of the secret there: letters, digits, `-` and `_` only.
    """

    secret: str = ""

    @property
    def look(self) -> str:
        """Compare with the mark where the secret stands; without a secret nothing can be as it should be."""
        path, secret = quote(self.path), quote(self.secret)
        digest = f's=$(cat {secret}); sed "s/$s/{MARK}/g" {path} | sha256sum | cut -d" " -f1'
        return (
            f"if [ -f {path} ] && [ -s {secret} ]; then echo file $(stat -c '%a %U %G' {path}) $({digest})\n"
            "else echo absent; fi"
        )

    @property
    def act(self) -> str:
        """Write it as any file, whole or not at all, with the secret in its place before it gets its name."""
        filled = f'base64 -d | sed "s/{MARK}/$(cat {quote(self.secret)})/g" >'
        return super().act.replace("base64 -d >", filled, 1)
