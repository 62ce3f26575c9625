"""Values of the running kernel: /proc/sys and /sys. What sets them at boot is a file beside them."""

from dataclasses import dataclass

from lib.deploy.resources.base import UNEXPLAINED, About, Scripted, quote


@dataclass(frozen=True)
class Kernel(Scripted):
    """One value of the running kernel; of a file such as ``always [madvise] never`` the word in brackets counts.

    Parameters
    ----------
    path : str
        Its file below /proc/sys or /sys. A kernel without it is left as it is.
    """

    path: str
    value: str
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"kernel {self.path}"

    @property
    def wanted(self) -> str:
        return self.value

    @property
    def look(self) -> str:
        path = quote(self.path)
        return f"if [ -e {path} ]; then {self._read}; else echo {quote(self.value)}; fi"

    @property
    def _read(self) -> str:
        return rf"sed -e 's/.*\[\(.*\)\].*/\1/' -e 's/[[:space:]][[:space:]]*/ /g' {quote(self.path)}"

    @property
    def record(self) -> str:
        return f'{self._read} >"$R/value"'

    @property
    def restore(self) -> str:
        return f'cat "$R/value" >{quote(self.path)}'

    @property
    def differs(self) -> str:
        return f'now=$({self._read})\n[ "$now" = "$(cat "$R/value")" ] || echo "it is $now; it was $(cat "$R/value")"'

    @property
    def commands(self) -> tuple[str, ...]:
        return (f"echo {quote(self.value)} >{self.path}",)

    @property
    def act(self) -> str:
        return self.commands[0]
