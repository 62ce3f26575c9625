"""One tunable of a host: its value, the value that serves inference, why, and the edit that gets there."""

import re
from dataclasses import dataclass

from lib.core.evidence import Change, Check
from lib.host.probe import Host

SYSCTL = "/etc/sysctl.d/90-inference.conf"
TMPFILES = "/etc/tmpfiles.d/90-inference.conf"
SILENCED = "#90-inference# "  # tells our comments from the owner's own


@dataclass(frozen=True)
class Edit:
    """A change of one file: its lines before and after, the commands that do it and that take it back."""

    target: str
    before: str
    after: str
    command: str
    undo: str


@dataclass(frozen=True)
class Setting:
    """One tunable. `fine` is None where it cannot be judged; `fix` is for what no edit of a file can do."""

    name: str
    title: str
    now: str
    wanted: str
    fine: bool | None
    reason: str
    source: str = ""
    edit: Edit | None = None
    fix: str = ""

    def check(self) -> Check:
        """Return the verdict; a value that should change is a warning, for the host serves with it too."""
        edit = f"{self.edit.command}\nundo: {self.edit.undo}" if self.edit else ""
        return Check(
            name=self.name,
            title=self.title,
            status={True: "pass", False: "warn", None: "skip"}[self.fine],
            expected=f"{self.wanted}: {self.reason}" if self.reason else self.wanted,
            observed=self.now,
            fix=edit or self.fix,
            source=self.source,
        )

    def change(self) -> Change | None:
        """Return the planned change, or None where nothing is to change."""
        if self.fine is not False or self.edit is None:
            return None
        return Change(
            name=self.name,
            title=self.title,
            status="planned",
            target=self.edit.target,
            before=self.edit.before,
            after=self.edit.after,
            reason=f"{self.reason[0].upper()}{self.reason[1:]}.",
            source=self.source,
            command=self.edit.command,
            undo=self.edit.undo,
        )


def sysctl(host: Host, key: str, before: int, after: int) -> Edit:
    """Return the edit of a kernel parameter; another file that sets it too is silenced, for the last one wins."""
    pattern = re.escape(key)
    rivals = [path for path in _sysctl_files(host) if re.search(rf"^\s*{pattern}\s*=", host.read(path) or "", re.M)]
    silence = "".join(f"sudo sed -i 's/^ *{pattern} *=/{SILENCED}&/' {path}\n" for path in rivals)
    restore = "".join(f"\nsudo sed -i 's/^{SILENCED}//' {path}" for path in rivals)
    return Edit(
        target=SYSCTL,
        before=f"{key} = {before}" + "".join(f"  # {path}" for path in rivals),
        after=f"{key} = {after}",
        command=f"{silence}echo '{key} = {after}' | sudo tee -a {SYSCTL} && sudo sysctl -w {key}={after}",
        undo=f"sudo sed -i '/^{pattern} =/d' {SYSCTL} && sudo sysctl -w {key}={before}{restore}",
    )


def _sysctl_files(host: Host) -> list[str]:
    # 99-sysctl.conf is a link to /etc/sysctl.conf; sed would put a file in its place.
    found = [path for path in host.glob("/etc/sysctl.d/*.conf") if not path.endswith("/99-sysctl.conf")]
    return [path for path in [*found, "/etc/sysctl.conf"] if path != SYSCTL]


def sysfs(path: str, before: str, after: str) -> Edit:
    """Return the edit of a file in /sys, written at every boot by systemd-tmpfiles (which takes patterns)."""
    line = f"w {path} - - - - {after}"
    return Edit(
        target=TMPFILES,
        before=f"{path}: {before}",
        after=line,
        command=f"echo '{line}' | sudo tee -a {TMPFILES} && sudo systemd-tmpfiles --create {TMPFILES}",
        undo=f"sudo sed -i '\\|^w {re.escape(path)} |d' {TMPFILES} && echo {before} | sudo tee {path} >/dev/null",
    )


def text_file(path: str, before: str, content: str, then: str, undo: str, first: str = "") -> Edit:
    """Return the edit that writes a small file of its own and runs `then`.

    Taking it back runs `first`, removes the file and runs `undo`.
    """
    folder = path.rsplit("/", 1)[0]
    return Edit(
        target=path,
        before=before,
        after=content,
        command=f"sudo mkdir -p {folder} && sudo tee {path} >/dev/null <<'END'\n{content}\nEND\n{then}",
        undo=f"{first} && sudo rm {path} && {undo}" if first else f"sudo rm {path} && {undo}",
    )
