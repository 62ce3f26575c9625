"""Raw files: digests are compared, small texts travel along, nothing outside the run is read."""

from pathlib import Path

from lib.core import evidence, paths
from lib.core.evidence import Artifact, Check, Provenance
from lib.report import raw


def record(*artifacts: Artifact) -> Check:
    return Check(name="a.b", status="pass", provenance=Provenance(artifacts=list(artifacts)))


def stored(run: Path, name: str, content: bytes) -> Artifact:
    path = run / "artifacts" / "05_x" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Artifact(path=str(path.relative_to(run)), sha256=evidence.sha256(path))


def test_small_text_is_embedded_and_the_rest_is_named(tmp_path: Path) -> None:
    small, large = stored(tmp_path, "a.json", b"{}"), stored(tmp_path, "b.log", b"x" * (raw.EMBED_EACH + 1))
    binary = stored(tmp_path, "c.bin", b"\xff\x00")
    stored(tmp_path, "not-cited.txt", b"found anyway")
    stored(tmp_path, ".ipynb_checkpoints/left-out.txt", b"an editor's own")
    files = raw.collect(tmp_path, [record(small, large, binary)])
    assert [file.text for file in files] == ["{}", None, None, "found anyway"]
    assert [file.integrity for file in files] == ["intact", "intact", "intact", "unrecorded"]
    assert len({file.anchor for file in files}) == 4


def test_a_changed_and_a_missing_file_are_told(tmp_path: Path) -> None:
    changed, missing = stored(tmp_path, "a.txt", b"1"), stored(tmp_path, "b.txt", b"2")
    (tmp_path / changed.path).write_text("tampered")
    (tmp_path / missing.path).unlink()
    files = raw.collect(tmp_path, [record(changed, missing)])
    assert [file.integrity for file in files] == ["changed", "missing"]
    assert files[0].sha256 != changed.sha256


def test_the_document_does_not_grow_without_bound(tmp_path: Path) -> None:
    artifacts = [stored(tmp_path, f"{number:02}.txt", b"x" * raw.EMBED_EACH) for number in range(40)]
    files = raw.collect(tmp_path, [record(*artifacts)])
    embedded = sum(file.size for file in files if file.text is not None)
    assert embedded == raw.EMBED_TOTAL
    assert files[-1].text is None


def test_a_path_out_of_the_run_is_not_followed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "artifacts").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (run / "artifacts" / "link.txt").symlink_to(tmp_path / "secret.txt")
    digest = evidence.sha256(tmp_path / "secret.txt")
    cited = [Artifact(path="../secret.txt", sha256=digest), Artifact(path="artifacts/link.txt", sha256=digest)]
    files = raw.collect(run, [record(*cited)])
    assert [(file.integrity, file.text) for file in files] == [("missing", None), ("missing", None)]


def test_this_machines_folders_do_not_travel(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "engine.log").write_text(f"{paths.ROOT}/.venv/lib/module.py:24: warning\n")
    (file,) = raw.collect(tmp_path, [])
    assert file.text == ".venv/lib/module.py:24: warning\n"
