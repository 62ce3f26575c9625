"""Units of systemd: enabled or not, running or not, and started again when what they read is newer."""

from dataclasses import dataclass

from lib.deploy.resources.base import UNEXPLAINED, About, Scripted, quote


@dataclass(frozen=True)
class Unit(Scripted):
    """The state of one unit.

    Parameters
    ----------
    enabled, running : bool or None
        None leaves it as it is.
    reads : tuple of str
        Files that it reads when it starts; if one is newer, it is started again.
    needs : tuple of str
        What somebody else puts there, a model for example; as long as one is missing it is not started.
    """

    name: str
    enabled: bool | None = True
    running: bool | None = True
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    about: About = UNEXPLAINED

    @property
    def key(self) -> str:
        return f"unit {self.name}"

    @property
    def wanted(self) -> str:
        words = {True: ("enabled", "active"), False: ("disabled", "inactive"), None: ("any", "any")}
        return f"{words[self.enabled][0]} {words[self.running][1]}"

    @property
    def look(self) -> str:
        unit = quote(self.name)
        script = (
            f"e=any; a=any\n{self._enabled(unit) if self.enabled is not None else ''}"
            f"{self._active(unit) if self.running is not None else ''}"
        )
        if self.reads and self.running:
            files = " ".join(map(quote, self.reads))
            script += (
                f"since=$(systemctl show -p ActiveEnterTimestamp --value {unit})\n"
                'since=$(date -d "$since" +%s 2>/dev/null || echo 0)\n'
                f'if [ "$a" = active ]; then for f in {files}; do\n'
                '[ "$(stat -c %Z "$f" 2>/dev/null || echo 0)" -le "$since" ] || a=outdated\ndone; fi\n'
            )
        if self.needs and self.running:
            script += f"{self._complete} || a=active\n"
        return f'{script}echo "$e $a"'

    @property
    def _complete(self) -> str:
        return " && ".join(f"[ -e {quote(path)} ]" for path in self.needs)

    @staticmethod
    def _enabled(unit: str) -> str:
        # `static` and `indirect` cannot be enabled; that they are there is all that can be asked.
        return f"e=$(systemctl is-enabled {unit} 2>/dev/null || true)\ncase $e in enabled*) e=enabled;; esac\n"

    @staticmethod
    def _active(unit: str) -> str:
        return (
            f"a=$(systemctl is-active {unit} 2>/dev/null || true)\n"
            "case $a in active|activating|reloading) a=active;; *) a=inactive;; esac\n"
        )

    @property
    def record(self) -> str:
        unit = quote(self.name)
        return (
            f'systemctl is-enabled {unit} >"$R/enabled" 2>/dev/null || true\n'
            f'systemctl is-active {unit} >"$R/active" 2>/dev/null || true'
        )

    @property
    def restore(self) -> str:
        # Ended first, while its files are still there. What ran before is started again when all is back: see `settle`.
        unit = quote(self.name)
        return f"""case $(cat "$R/active") in
    active|activating|reloading) ;;
    *)
        [ "$(systemctl is-active {unit} || true)" = inactive ] || systemctl stop {unit}
        systemctl reset-failed {unit} 2>/dev/null || true  # one that has not failed is no fault
        ;;
esac
case $(cat "$R/enabled") in
    enabled) ;;
    *) case $(systemctl is-enabled {unit} 2>/dev/null || true) in enabled) systemctl -q disable {unit};; esac;;
esac"""

    @property
    def settle(self) -> str:
        unit = quote(self.name)
        start = f"systemctl restart {unit}" if self.reads else f"systemctl start {unit}"
        return f"""if ! {self._there}; then exit 0; fi
case $(cat "$R/enabled") in enabled) systemctl -q enable {unit};; masked) systemctl -q mask {unit};; esac
case $(cat "$R/active") in active|activating|reloading) {start};; esac"""

    @property
    def differs(self) -> str:
        unit = quote(self.name)
        return f"""if ! {self._there}; then exit 0; fi
was=$(cat "$R/enabled"); now=$(systemctl is-enabled {unit} 2>/dev/null || true)
[ "$was" = "$now" ] || echo "it is $now; it was $was"
running() {{ case $1 in active|activating|reloading) echo running;; *) echo "not running";; esac; }}
was=$(running "$(cat "$R/active")"); now=$(running "$(systemctl is-active {unit} || true)")
[ "$was" = "$now" ] || echo "it is $now; it was $was"
"""

    @property
    def _there(self) -> str:
        # One that came with a package or a file is gone when that was taken back.
        return f"systemctl cat {quote(self.name)} >/dev/null 2>&1"

    @property
    def commands(self) -> tuple[str, ...]:
        enable = {True: "enable", False: "disable"}
        start = {True: "restart", False: "stop"}
        lines = [f"systemctl -q {enable[self.enabled]} {self.name}"] if self.enabled is not None else []
        return (*lines, f"systemctl {start[self.running]} {self.name}") if self.running is not None else tuple(lines)

    @property
    def act(self) -> str:
        """Bring it about; a unit that runs and reads older files is restarted."""
        states = [line for line in self.commands if line.startswith("systemctl -q")]
        # One that came enabled with its package is left alone: enabling it again takes seconds where SysV has a script.
        known = f"{self._enabled(quote(self.name))}[ $e = {'enabled' if self.enabled else 'disabled'} ]"
        quiet = [f"{known} || {line.replace('systemctl -q', 'systemctl -q --no-reload')}" for line in states]
        change = "\n".join(self.commands[len(states) :])
        if self.needs and self.running:
            change = f"if {self._complete}; then {change}; fi"
        # Reading all units anew takes seconds; a new one is read when it is first asked for.
        fresh = f'[ "$(systemctl show -p NeedDaemonReload --value {quote(self.name)})" = no ]'
        return "\n".join((*quiet, f"{fresh} || systemctl daemon-reload", change))
