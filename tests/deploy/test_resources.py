"""Resources against real files: each is brought about once, recorded once, and taken back byte for byte."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.core.errors import RunbookError
from lib.deploy import record
from lib.deploy.plan import look
from lib.deploy.resources import File, Folder, Kernel, Resource, Secret, Unit, packages
from lib.deploy.target import Target
from tests.deploy import here
from tests.deploy.here import as_root

pytestmark = as_root


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    yield from here.target(tmp_path, monkeypatch)


def carried_out(target: Target, *resources: Resource) -> None:
    record.begin(target, "digest", "profile")
    for item in resources:
        assert record.change(target, item) == item.wanted
    record.finish(target, "digest", "profile")


def state(path: Path) -> tuple[str, int, int, bytes] | None:
    if path.is_symlink():
        return "link", 0, 0, str(path.readlink()).encode()
    if not path.exists():
        return None
    seen = path.stat()
    return f"{seen.st_uid}:{seen.st_gid}", stat.S_IMODE(seen.st_mode), seen.st_mtime_ns, path.read_bytes()


@pytest.mark.parametrize("before", ["absent", "text", "bytes", "link"])
def test_a_file_is_replaced_and_comes_back_byte_for_byte(target: Target, tmp_path: Path, before: str) -> None:
    path = tmp_path / "a file.conf"
    if before == "text":
        path.write_text("old\n")
        path.chmod(0o4711)
        os.chown(path, 1, 2)
    elif before == "bytes":
        path.write_bytes(bytes(range(256)))
    elif before == "link":
        path.symlink_to("/etc/hostname")
    was = state(path)
    item = File(str(path), "new 'text' with $HOME and \\ \nsecond\n", mode="640", group="daemon")
    carried_out(target, item)
    assert path.read_text() == item.content
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(record.undo(target)) == [item.key]
    assert state(path) == was
    assert not Path(record.PLACE).exists()


def test_what_was_there_before_the_first_apply_is_what_comes_back(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("owner's\n")
    carried_out(target, File(str(path), "first\n"))
    carried_out(target, File(str(path), "second\n"))
    assert record.keys(target) == [f"file {path}"]
    record.undo(target)
    assert path.read_text() == "owner's\n"


def test_later_changes_are_taken_back_first(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    carried_out(target, Folder(str(folder), "750"), File(str(folder / "x"), "x\n"))
    assert list(record.undo(target)) == [f"file {folder / 'x'}", f"folder {folder}"]
    assert not folder.exists()


def test_a_folder_with_somebodys_files_stays(target: Target, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    carried_out(target, Folder(str(folder)))
    (folder / "model").write_text("100 GiB")
    record.undo(target)
    assert (folder / "model").exists()


def test_a_secret_is_made_here_kept_and_never_printed(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    item = Secret(str(path))
    carried_out(target, item)
    made = path.read_text()
    assert len(made) == 44
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    carried_out(target, item)
    assert path.read_text() == made
    assert made not in "".join(look(target, [item])) + str(item)
    record.undo(target)
    assert not path.exists()


def test_a_value_of_the_kernel_is_set_and_set_back(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "swappiness"
    path.write_text("60\n")
    carried_out(target, Kernel(str(path), "10"))
    assert path.read_text() == "10\n"
    record.undo(target)
    assert path.read_text() == "60\n"


def test_the_word_in_brackets_counts(target: Target, tmp_path: Path) -> None:
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    assert look(target, [Kernel(str(tmp_path / "enabled"), "madvise")]) == ["madvise"]


def test_a_kernel_without_the_file_needs_no_change(target: Target, tmp_path: Path) -> None:
    assert look(target, [Kernel(str(tmp_path / "none"), "x")]) == ["x"]


def test_a_change_that_fails_is_on_record_and_can_be_taken_back(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old\n")
    record.begin(target, "digest", "profile")
    fault = tmp_path / "fault"
    fault.touch()
    broken = File(str(path), "new\n", then=(f"test ! -e {fault}",))
    with pytest.raises(RunbookError, match=f"{broken.key} failed on host 'here'"):
        record.change(target, broken)
    assert record.unfinished(target) == [broken.key]
    assert record.state(target)["status"] == "applying"
    fault.unlink()
    record.undo(target)
    assert path.read_text() == "old\n"


def test_a_full_disk_leaves_the_old_file_and_one_clear_error(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old\n")
    record.begin(target, "digest", "profile")
    full = File(str(path), "new\n", then=())
    target.run(f"mkdir -p {tmp_path}/full && mount -t tmpfs -o size=4k tmpfs {tmp_path}/full")
    try:
        target.run(f"cat /dev/zero >{tmp_path}/full/fill 2>/dev/null || true")
        inside = File(f"{tmp_path}/full/x", "new\n" * 2000)
        with pytest.raises(RunbookError, match="host 'here' has no space left"):
            record.change(target, inside)
        assert sorted(p.name for p in (tmp_path / "full").iterdir()) == ["fill"]
    finally:
        target.run(f"umount {tmp_path}/full")
    assert record.change(target, full) == full.wanted


def test_undo_may_be_interrupted_and_started_again(target: Target, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    carried_out(target, File(str(first), "1\n"), File(str(second), "2\n"))
    step = Path(record.PLACE) / "steps" / "0001"
    restore = (step / "restore.sh").read_text()
    (step / "restore.sh").write_text("echo broken on purpose >&2; exit 1\n")
    with pytest.raises(RunbookError, match="cannot be restored: broken on purpose"):
        record.undo(target)
    assert first.exists()
    assert not second.exists()
    (step / "restore.sh").write_text(restore)
    assert list(record.undo(target)) == [f"file {first}"]
    assert not first.exists()


def test_a_half_written_step_counts_for_nothing(target: Target, tmp_path: Path) -> None:
    carried_out(target, File(str(tmp_path / "x"), "1\n"))
    torn = Path(record.PLACE) / "steps" / "0002.new"
    torn.mkdir()
    (torn / "restore.sh").write_text("exit 1\n")
    assert list(record.undo(target)) == [f"file {tmp_path / 'x'}"]


def test_what_does_not_take_it_back_is_a_failure_and_may_be_tried_again(target: Target, tmp_path: Path) -> None:
    path, fault = tmp_path / "x", tmp_path / "fault"
    path.write_text("old\n")
    carried_out(target, File(str(path), "new\n", then=(f"test ! -e {fault}",)), File(str(tmp_path / "y"), "y\n"))
    fault.touch()
    with pytest.raises(RunbookError, match=f"host 'here' is not as it was: file {path}"):
        record.undo(target)
    assert path.read_text() == "old\n", "the files are back all the same"
    assert record.keys(target) == []
    fault.unlink()
    assert list(record.undo(target)) == []
    assert not Path(record.PLACE).exists()


def test_an_apply_after_half_an_undo_keeps_the_first_record(target: Target, tmp_path: Path) -> None:
    path, fault = tmp_path / "x", tmp_path / "fault"
    path.write_text("owner's\n")
    item = File(str(path), "new\n", then=(f"test ! -e {fault}",))
    carried_out(target, item)
    fault.touch()
    with pytest.raises(RunbookError, match="is not as it was"):
        record.undo(target)
    fault.unlink()
    carried_out(target, item)
    assert list(record.undo(target)) == [item.key]
    assert path.read_text() == "owner's\n"


@pytest.mark.parametrize("kind", ["content", "mode", "link", "made", "kernel", "folder"])
def test_undo_ends_well_only_if_everything_is_as_it_was(target: Target, tmp_path: Path, kind: str) -> None:
    """Something changes what was restored while the undo still goes on: here the step that is taken back last."""
    path = tmp_path / ("made" if kind == "made" else "x")
    if kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "folder":
        path.mkdir()
    elif kind != "made":
        path.write_text("60\n")
    others: dict[str, Resource] = {"kernel": Kernel(str(path), "10"), "folder": Folder(str(path), "700")}
    item = others.get(kind, File(str(path), "new\n"))
    damage = {
        "content": f"echo other >{path}",
        "mode": f"chmod 600 {path}",
        "link": f"ln -sf /etc/passwd {path}",
        "made": f"echo new >{path}",
        "kernel": f"echo 30 >{path}",
        "folder": f"chmod 711 {path}",
    }
    carried_out(target, File(str(tmp_path / "first"), "1\n"), item)
    step = Path(record.PLACE) / "steps" / "0001" / "restore.sh"
    good = step.read_text()
    step.write_text(f"{good}\n{damage[kind]}\n")
    with pytest.raises(RunbookError, match=f"host 'here' is not as it was: {item.key}: it"):
        record.undo(target)
    assert Path(record.PLACE).exists()
    with pytest.raises(RunbookError, match="is not as it was"):
        record.undo(target)


def test_of_several_the_first_that_fails_ends_it_and_is_named(target: Target, tmp_path: Path) -> None:
    names = ["first", "second", "third"]
    items = [File(str(tmp_path / name), f"{name}\n", then=("false",) if name == "second" else ()) for name in names]
    record.begin(target, "digest", "profile")
    states = record.change_all(target, items)
    assert next(states) == items[0].wanted
    with pytest.raises(RunbookError, match=f"{items[1].key} failed on host 'here'"):
        next(states)
    assert record.keys(target) == [item.key for item in items[:2]]
    assert record.unfinished(target) == [items[1].key]
    assert not (tmp_path / "third").exists()


def test_what_does_not_become_as_wanted_ends_it(target: Target, tmp_path: Path) -> None:
    first = File(str(tmp_path / "x"), "x\n", then=(f"echo other >{tmp_path / 'x'}",))
    record.begin(target, "digest", "profile")
    states = list(record.change_all(target, [first, File(str(tmp_path / "y"), "y\n")]))
    assert len(states) == 1
    assert states[0] != first.wanted
    assert not (tmp_path / "y").exists()


def test_a_unit_waits_for_what_somebody_else_puts_there(target: Target, tmp_path: Path) -> None:
    model = tmp_path / "model"
    unit = Unit("nobodys.service", enabled=None, needs=(str(model),))
    assert look(target, [unit]) == [unit.wanted]
    model.mkdir()
    assert look(target, [unit]) == ["any inactive"]
    assert f"if [ -e {model} ]; then systemctl restart nobodys.service; fi" in unit.act


@pytest.mark.parametrize("owners", [False, True])
def test_what_a_package_leaves_behind_goes_and_what_the_owner_put_there_stays(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owners: bool
) -> None:
    page = tmp_path / "www" / "html" / "index.html"
    monkeypatch.setattr(packages, "LITTER", {"bash": str(page)})
    # Only these two scripts: the rest would touch this machine's own packages.
    target.run(f"set -eu\nR={tmp_path}\n{packages.note_litter(['bash', 'nano'])}")
    page.parent.mkdir(parents=True)
    page.write_text("Welcome\n")
    if owners:
        (page.parent / "site.html").write_text("mine\n")
    target.run(f"set -eu\nR={tmp_path}\n{packages.REMOVE_LITTER}")
    assert not page.exists()
    assert (tmp_path / "www").exists() == owners


@pytest.mark.parametrize(("gone", "said"), [("tunnel", ""), ("python", "python is no longer installed")])
def test_packages_of_two_steps_are_compared_together(target: Target, tmp_path: Path, gone: str, said: str) -> None:
    """The tunnel came with the first step and goes with it; it was there before the second, which brought the proxy."""
    lists = {"0001": ("python\n", "python\ntunnel\n"), "0002": ("python\ntunnel\n", "proxy\npython\ntunnel\n")}
    for step, (before, after) in lists.items():
        (tmp_path / step).mkdir()
        (tmp_path / step / "before").write_text(before)
        (tmp_path / step / "after").write_text(after)
    stand_in = tmp_path / "bin" / "dpkg-query"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\necho 'ii |{'python' if gone == 'tunnel' else 'bash'}'\n")
    stand_in.chmod(0o755)
    asked = packages.Packages(("proxy", "python", "tunnel")).differs
    script = f"set -u\nPATH={stand_in.parent}:$PATH\nR={tmp_path}/0002\n{asked}"
    assert target.run(script).strip() == said


def test_packages_do_not_start_what_is_set_up_later(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(packages, "_POLICY", str(policy))
    asked = "".join(f"{policy} {name} start; echo $?\n" for name in ("nginx.service", "nginx", "ssh.service"))
    # As apt asks while it installs; then as somebody asks for whom the run that died is long gone.
    assert target.run(f"{packages.starts_later(['nginx.service'])}\n{asked}").split() == ["101", "101", "0"]
    assert target.run(asked).split() == ["0", "0", "0"]
    target.run(packages.starts_again())
    assert not policy.exists()


def test_somebody_elses_rule_of_what_packages_start_stays(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    monkeypatch.setattr(packages, "_POLICY", str(policy))
    target.run(f"{packages.starts_later(['nginx.service'])}\n{packages.starts_again()}")
    assert policy.read_text() == "#!/bin/sh\nexit 101\n"


@pytest.mark.parametrize("name", ["known.service", "new.service"])
def test_a_unit_that_is_enabled_is_not_enabled_again(target: Target, tmp_path: Path, name: str) -> None:
    """A stand-in for systemctl says which is enabled, and writes down what else it is asked."""
    stand_in = tmp_path / "systemctl"
    answer = "enabled" if name == "known.service" else "disabled"
    stand_in.write_text(f'#!/bin/sh\n[ "$1" = is-enabled ] && echo {answer} || echo "$*" >>{tmp_path}/asked\n')
    stand_in.chmod(0o755)
    target.run(f"PATH={tmp_path}:$PATH\n{Unit(name, running=None).act}")
    assert ("enable" in (tmp_path / "asked").read_text()) is (name == "new.service")
