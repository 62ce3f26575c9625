"""Files, folders, and secrets that are made on the host and never leave it."""

import base64
import hashlib
from dataclasses import dataclass

from lib.deploy.resources.base import NOTE_PACKAGE, UNEXPLAINED, WENT_WITH_PACKAGE, About, Scripted, quote

# What lies in the place of a file until it is whole; a name that no service reads.
FRESH = ".inference-new"


def _stat(path: str) -> str:
    return f"stat -c '%a %U %G' {path}"


def _then(commands: tuple[str, ...]) -> str:
    return "".join(f"\n{command}" for command in commands)


def _noticed(command: str) -> str:
    """Return the same for taking back: the unit or the program that should notice may have gone with its package."""
    words = command.split()
    if words[0] == "systemctl" and len(words) > 2:
        return f"if systemctl cat {words[-1]} >/dev/null 2>&1; then {command}; fi"
    return command if words[0] == "systemctl" else f"if command -v {words[0]} >/dev/null; then {command}; fi"


def _saved(path: str) -> str:
    """Return the script that saves a file or a link with all that it has."""
    return f'if [ -e {path} ] || [ -L {path} ]; then\ncp -a {path} "$R/before"\n{NOTE_PACKAGE.format(path=path)}\nfi'


def _not_as_saved(path: str) -> str:
    """Return the script that prints how a file differs from the saved one."""
    about = "stat -c '%F, mode %a, %U:%G'"
    return f"""if [ -e "$R/before" ] || [ -L "$R/before" ]; then
    if {WENT_WITH_PACKAGE.format(path=path)}; then exit 0; fi
    was=$({about} "$R/before"); now=$({about} {path} 2>/dev/null || echo absent)
    if [ "$was" != "$now" ]; then echo "it is $now; it was $was"
    elif [ -L "$R/before" ]; then [ "$(readlink "$R/before")" = "$(readlink {path})" ] || echo "it leads elsewhere"
    else cmp -s "$R/before" {path} || echo "its content is not what it was"; fi
elif [ -e {path} ] || [ -L {path} ]; then echo "it is still there"; fi"""


class _Saved(Scripted):
    """What is saved whole before it is changed, a link as a link."""

    path: str

    @property
    def record(self) -> str:
        return _saved(quote(self.path))

    @property
    def restore(self) -> str:
        path, fresh = quote(self.path), quote(self.path + FRESH)
        return (
            f'if [ -e "$R/before" ] || [ -L "$R/before" ]; then cp -a "$R/before" {fresh} && mv -T {fresh} {path}\n'
            f"else rm -f {path}; fi"
        )

    @property
    def differs(self) -> str:
        return _not_as_saved(quote(self.path))


@dataclass(frozen=True)
class File(_Saved):
    """A text file with its mode and owner.

    Parameters
    ----------
    then : tuple of str
        Commands that make what reads the file notice; they run after a change and after it is taken back.
    private : bool
        The content is shown to nobody.
    """

    path: str
    content: str
    mode: str = "644"
    owner: str = "root"
    group: str = "root"
    then: tuple[str, ...] = ()
    private: bool = False
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"file {self.path}"

    @property
    def wanted(self) -> str:
        digest = hashlib.sha256(self.content.encode()).hexdigest()
        return f"file {self.mode} {self.owner} {self.group} {digest}"

    @property
    def look(self) -> str:
        path = quote(self.path)
        return (
            f"if [ -L {path} ]; then echo link $(readlink {path})\n"
            f"elif [ -f {path} ]; then echo file $({_stat(path)}) $(sha256sum <{path} | cut -d' ' -f1)\n"
            f"elif [ -e {path} ]; then echo other; else echo absent; fi"
        )

    @property
    def settle(self) -> str:
        return "\n".join(map(_noticed, self.then))

    @property
    def commands(self) -> tuple[str, ...]:
        return (f"install -m {self.mode} -o {self.owner} -g {self.group} FILE {self.path}", *self.then)

    @property
    def act(self) -> str:
        # Whole or not at all: a full disk or a power cut never leaves half a file in its place.
        content = base64.b64encode(self.content.encode()).decode()
        path, fresh = quote(self.path), quote(self.path + FRESH)
        return (
            f"fresh={fresh}\ntrap 'rm -f \"$fresh\"' EXIT\n(umask 077; echo {content} | base64 -d >{fresh})\n"
            f"chown {self.owner}:{self.group} {fresh}\nchmod {self.mode} {fresh}\nsync {fresh}\nmv -T {fresh} {path}"
            f"{_then(self.then)}"
        )


@dataclass(frozen=True)
class Folder(Scripted):
    """A folder with its mode and owner.

    Parameters
    ----------
    with_contents : bool
        Taking it back removes what has come to lie in it too; False leaves a folder that is not empty.
    """

    path: str
    mode: str = "755"
    owner: str = "root"
    group: str = "root"
    with_contents: bool = False
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"folder {self.path}"

    @property
    def wanted(self) -> str:
        return f"folder {self.mode} {self.owner} {self.group}"

    @property
    def look(self) -> str:
        path = quote(self.path)
        return (
            f"if [ -d {path} ]; then echo folder $({_stat(path)}); elif [ -e {path} ]; then echo other; "
            "else echo absent; fi"
        )

    @property
    def record(self) -> str:
        path = quote(self.path)
        return f'if [ -d {path} ]; then\n{_stat(path)} >"$R/stat"\n{NOTE_PACKAGE.format(path=path)}\nfi'

    @property
    def restore(self) -> str:
        path = quote(self.path)
        remove = f"rm -rf --one-file-system {path}" if self.with_contents else f"rmdir {path} 2>/dev/null || true"
        return (
            f'if [ -f "$R/stat" ]; then read -r mode owner group <"$R/stat"; '
            f'chown "$owner:$group" {path}; chmod "$mode" {path}\nelse {remove}; fi'
        )

    @property
    def differs(self) -> str:
        path = quote(self.path)
        still = "true" if self.with_contents else f'[ -z "$(ls -A {path})" ]'
        return f"""if [ -f "$R/stat" ]; then
    if {WENT_WITH_PACKAGE.format(path=path)}; then exit 0; fi
    now=$({_stat(path)} 2>/dev/null || echo absent)
    [ "$now" = "$(cat "$R/stat")" ] || echo "it is $now; it was $(cat "$R/stat")"
elif [ -d {path} ] && {still}; then echo "it is still there"; fi"""

    @property
    def commands(self) -> tuple[str, ...]:
        return (f"install -d -m {self.mode} -o {self.owner} -g {self.group} {self.path}",)

    @property
    def act(self) -> str:
        return self.commands[0]


@dataclass(frozen=True)
class Secret(_Saved):
    """A random secret, made on the host the first time and then kept; its content never travels.

    Parameters
    ----------
    make : str
        The command that prints it.
    """

    path: str
    mode: str = "600"
    owner: str = "root"
    group: str = "root"
    make: str = "head -c 32 /dev/urandom | base64 -w0"
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"secret {self.path}"

    @property
    def wanted(self) -> str:
        return f"secret {self.mode} {self.owner} {self.group}"

    @property
    def look(self) -> str:
        path = quote(self.path)
        return f"if [ -s {path} ]; then echo secret $({_stat(path)}); else echo absent; fi"

    @property
    def commands(self) -> tuple[str, ...]:
        return (f"(umask 077; {self.make} >{self.path})  # on the host; nobody else sees it",)

    @property
    def act(self) -> str:
        path, fresh = quote(self.path), quote(self.path + FRESH)
        return (
            f"if ! [ -s {path} ]; then\n(umask 077; {self.make} >{fresh})\n[ -s {fresh} ]\nsync {fresh}\n"
            f"mv -T {fresh} {path}\nfi\nchown {self.owner}:{self.group} {path}\nchmod {self.mode} {path}"
        )
