"""Accounts of services and of people."""

from dataclasses import dataclass

from lib.deploy.resources.base import UNEXPLAINED, About, Scripted


@dataclass(frozen=True)
class Account(Scripted):
    """A user with a group of the same name; no password opens it.

    Parameters
    ----------
    groups : tuple of str
        Further groups that it is in.
    """

    name: str
    home: str
    system: bool = True
    login: str = "/usr/sbin/nologin"
    groups: tuple[str, ...] = ()
    create_home: bool = False
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"account {self.name}"

    @property
    def wanted(self) -> str:
        return f"{self.home} {self.login} {' '.join(sorted({self.name, *self.groups}))}"

    @property
    def look(self) -> str:
        # A group that the account is in beside the wanted ones is none of ours.
        wanted = "|".join((self.name, *self.groups))
        return (
            f"if getent passwd {self.name} >/dev/null; then\n"
            f"echo $(getent passwd {self.name} | cut -d: -f6,7 | tr : ' ') "
            f"$(id -nG {self.name} | tr ' ' '\\n' | grep -xE '{wanted}' | sort)\nelse echo absent; fi"
        )

    @property
    def record(self) -> str:
        # getent says 2 where there is no such account; any other failure is not the same as absent.
        return f"""getent passwd {self.name} >"$R/passwd" || [ $? -eq 2 ]
if [ -s "$R/passwd" ]; then id -nG {self.name} >"$R/groups"; fi"""

    @property
    def restore(self) -> str:
        remove = "-r " if self.create_home else ""
        return f"""if [ -s "$R/passwd" ]; then
    IFS=: read -r name _ _ _ _ home shell <"$R/passwd"
    groups=$(tr ' ' '\\n' <"$R/groups" | grep -vx "$(id -gn {self.name})" | paste -sd,)
    usermod -d "$home" -s "$shell" -G "$groups" "$name"
elif getent passwd {self.name} >/dev/null; then
    userdel {remove}{self.name} 2>/dev/null || {{ pkill -KILL -u {self.name} || true; userdel {remove}{self.name}; }}
    if getent group {self.name} >/dev/null; then groupdel {self.name}; fi
fi"""

    @property
    def differs(self) -> str:
        return f"""now=$(getent passwd {self.name} || true)
[ "$now" = "$(cat "$R/passwd")" ] || echo "it is ${{now:-absent}}; it was $(cat "$R/passwd" | grep . || echo absent)"
if [ -s "$R/passwd" ] && [ "$(id -nG {self.name})" != "$(cat "$R/groups")" ]; then
    echo "its groups are $(id -nG {self.name}); they were $(cat "$R/groups")"
fi"""

    @property
    def commands(self) -> tuple[str, ...]:
        system = " --system" if self.system else ""
        groups = f" --groups {','.join(self.groups)}" if self.groups else ""
        home = " --create-home" if self.create_home else ""
        return (f"useradd{system}{home} --home-dir {self.home} --shell {self.login} --user-group{groups} {self.name}",)

    @property
    def act(self) -> str:
        extra = f"usermod -a -G {','.join(self.groups)} {self.name}" if self.groups else ":"
        return f"""if getent passwd {self.name} >/dev/null; then
    usermod -d {self.home} -s {self.login} {self.name}
    {extra}
else
    {self.commands[0]}
fi"""
