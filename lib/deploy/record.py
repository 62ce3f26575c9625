"""What a host was like before: kept on the host itself, so that it can be restored from there alone.

Below `/var/lib/inference-runbook`, which only root can read::

    state          which digest and profile, and how far: applying, applied
    steps/0001/    one thing that was changed: key, done, what was there before; restore.sh, settle.sh, differs.sh
    restored/0001/ the same once it was taken back, until everything was seen to be as it was
    undo.sh        restores everything, newest first, and compares; works without the runbook
"""

from collections.abc import Iterator, Sequence

from lib.core.errors import RunbookError
from lib.deploy.resources.base import Resource, quote
from lib.deploy.target import Target

PLACE = "/var/lib/inference-runbook"
LOCK = "/run/inference-runbook.lock"


def begin(target: Target, digest: str, profile: str) -> None:
    """Open the record, or the one that is there again; what an undo did not see to its end counts as applied."""
    target.run(
        f"set -e\numask 077\nmkdir -p {PLACE}/steps\nrm -rf {PLACE}/steps/*.new\n"
        f'for s in {PLACE}/restored/*/; do [ ! -d "$s" ] || mv "$s" {PLACE}/steps/; done\n'
        f"cat >{PLACE}/undo.sh.new <<'END'\n{UNDO}END\nmv {PLACE}/undo.sh.new {PLACE}/undo.sh\n"
        + _state("applying", digest, profile)
    )


def finish(target: Target, digest: str, profile: str) -> None:
    """Note that everything was applied; a record of no change is no record."""
    target.run(
        f'set -e\nif [ -z "$(ls {PLACE}/steps)" ]; then rm -rf {PLACE}; exit 0; fi\n'
        + _state("applied", digest, profile)
    )


def _state(status: str, digest: str, profile: str) -> str:
    text = f"status={status}\ndigest={digest}\nprofile={profile}\n"
    return (
        f"printf %s {quote(text)} >{PLACE}/state.new\necho time=$(date -u +%FT%TZ) >>{PLACE}/state.new\n"
        f"sync {PLACE}/state.new\nmv {PLACE}/state.new {PLACE}/state\n"
    )


def state(target: Target) -> dict[str, str]:
    """Return what the record says of itself; empty where there is none."""
    lines = target.run(f"[ ! -e {PLACE}/state ] || cat {PLACE}/state").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def unfinished(target: Target) -> list[str]:
    """Return the keys of changes that were begun and not seen to their end."""
    script = f'for s in {PLACE}/steps/*/; do [ ! -e "$s/key" ] || [ -f "$s/done" ] || cat "$s/key" || exit 1; done'
    return [line for line in target.run(script).splitlines() if line]


def keys(target: Target) -> list[str]:
    """Return the keys of everything that was changed, oldest first."""
    script = f'for s in {PLACE}/steps/*/; do [ ! -e "$s/key" ] || cat "$s/key" || exit 1; done'
    return [line for line in target.run(script).splitlines() if line]


def change(target: Target, resource: Resource) -> str:
    """Save what is there, then bring about what is wanted; return what is there now.

    What is there is saved once and for all: an earlier apply's record stays, so that taking back leads to before it.
    """
    if resource.act:
        return next(iter(change_all(target, [resource])))
    folder = target.run(f'{_open(resource)}\necho "$R"').strip()
    note = resource.do(target)
    return target.run(f"set -e\nR={folder}\n{note}\n{_close(resource)}").strip()


def change_all(target: Target, resources: Sequence[Resource]) -> Iterator[str]:
    """Do the same for several in one go, one after the other up to the first that fails; yield what is there now.

    Raises
    ------
    RunbookError
        The script of one failed; the ones before it are done.
    """
    parts = [
        _PART.format(script=f"{_open(item)}\n{_close(item)}", wanted=quote(item.wanted), mark=f"{_MARK}{number}")
        for number, item in enumerate(resources)
    ]
    said = target.run("\n".join(["log=$(mktemp -p /run)", "trap 'rm -f \"$log\"' EXIT", *parts]))
    for block in ("\n" + said).split(f"\n{_MARK}")[1:]:
        first, _, text = block.partition("\n")
        number, code = first.split()
        if code != "0":
            raise target.failed(resources[int(number)].key, text)
        yield text.strip()


_MARK = "@@changed "
# One after the other, each in a shell of its own, up to the first that fails or does not become as wanted.
_PART = """now=$(
(
{script}
) 2>"$log"
)
code=$?
echo "{mark} $code"
echo "$now"
[ "$code" = 0 ] || cat "$log"
[ "$code" = 0 ] && [ "$now" = {wanted} ] || exit 0
"""


def _open(resource: Resource) -> str:
    return _OPEN.format(
        key=quote(resource.key),
        place=PLACE,
        record=resource.record,
        restore=resource.restore,
        settle=resource.settle,
        differs=resource.differs,
        act=resource.act or ":",
    )


def _close(resource: Resource) -> str:
    """Return the script that looks again, and notes the step as done if all is as wanted."""
    return (
        f"now=$(\n(\n{resource.look}\n) 2>/dev/null </dev/null)\n"
        f'if [ "$now" = {quote(resource.wanted)} ]; then : >"$R/done"; sync -f "$R"; fi\necho "$now"'
    )


# Sets R, the step's folder. Written aside and renamed, so that a step is either whole or not there.
_OPEN = """set -e
umask 077
R=
for s in {place}/steps/*/; do
    [ "$(cat "$s/key" 2>/dev/null)" = {key} ] || continue
    R=${{s%/}}
    rm -f "$R/done"
done
if [ -z "$R" ]; then
    last=$(ls {place}/steps | grep -v new | tail -n1)
    number=$(printf %04d $(( 1${{last:-0000}} - 10000 + 1 )))
    R={place}/steps/$number.new
    mkdir "$R"
{record}
    cat >"$R/restore.sh" <<'END-OF-RESTORE'
{restore}
END-OF-RESTORE
    cat >"$R/settle.sh" <<'END-OF-SETTLE'
{settle}
END-OF-SETTLE
    cat >"$R/differs.sh" <<'END-OF-DIFFERS'
{differs}
END-OF-DIFFERS
    printf '%s\\n' {key} >"$R/key"
    sync -f "$R"
    mv "$R" "{place}/steps/$number"
    R={place}/steps/$number
fi
umask 022
{{
{act}
}} >&2
"""


def undo(target: Target, timeout: int = 900) -> Sequence[str]:
    """Restore everything, newest first, compare it with the record, and remove that; return what was restored.

    Raises
    ------
    RunbookError
        Something could not be restored, or is not as it was; the record stays, so that it can be tried again.
    """
    script = f'[ ! -f {PLACE}/undo.sh ] || sh {PLACE}/undo.sh 2>&1\necho "{_ENDED}$?"'
    said = target.run(script, timeout=timeout).splitlines()
    wrong = [line.removeprefix(_WRONG) for line in said if line.startswith(_WRONG)]
    if not wrong and said[-1] != f"{_ENDED}0":
        wrong = said[-2:-1] or [said[-1]]
    if wrong:
        raise RunbookError(
            f"host '{target.name}' is not as it was: {wrong[0]}",
            where="; ".join(wrong[1:]) or target.place,
            fix=f"mend that, then the same command again; the record is still there: {PLACE}",
        )
    return [line.removeprefix(_BACK) for line in said if line.startswith(_BACK)]


_BACK, _WRONG, _ENDED = "restored: ", "error: ", "ended: "
UNDO = f"""#!/bin/sh
# Takes back everything that was applied to this host, newest first: sh {PLACE}/undo.sh
# It may be interrupted and started again. It ends well only if everything is as it was.
set -eu
cd {PLACE}
mkdir -p restored
log={PLACE}/undo.log
wrong=0
for step in $(ls -r steps); do
    case $step in *.new) rm -rf "steps/$step"; continue;; esac
    R={PLACE}/steps/$step
    export R
    if ! sh -eu "$R/restore.sh" >"$log" 2>&1 </dev/null; then
        echo "{_WRONG}$(cat "$R/key") cannot be restored: $(tail -n1 "$log")"
        exit 1
    fi
    echo "{_BACK}$(cat "$R/key")"
    mv "steps/$step" "restored/$step"
done
systemctl daemon-reload
for step in $(ls restored); do
    R={PLACE}/restored/$step
    export R
    [ -s "$R/settle.sh" ] || continue
    if ! sh -eu "$R/settle.sh" >"$log" 2>&1 </dev/null; then
        echo "{_WRONG}$(cat "$R/key"): $(tail -n1 "$log")"
        wrong=1
    fi
done
for step in $(ls restored); do
    R={PLACE}/restored/$step
    export R
    [ -f "$R/differs.sh" ] || continue
    sh -u "$R/differs.sh" >"$log" 2>&1 </dev/null || echo "it cannot be compared" >>"$log"
    if [ -s "$log" ]; then
        echo "{_WRONG}$(cat "$R/key"): $(tail -n1 "$log")"
        wrong=1
    fi
done
[ "$wrong" = 0 ] || exit 1
cd /
rm -rf {PLACE}
"""
