"""Bring a model from Hugging Face over a slow line: every byte that arrived is kept, every file is compared by hash.

The hub's own client resumes inside one process only: a new attempt starts an interrupted file again
(https://github.com/huggingface/huggingface_hub/issues/4196, open on 2026-11-23; seen in its version 2.4). With 4 GB
a file and 30 Mbit/s that costs 18 minutes each time, so the transfer here is an HTTP range request into a file that
stays.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from lib.core import paths
from lib.core.errors import RunbookError
from lib.engine.models import manifest, store
from lib.engine.models.catalogue import Model, Repository

HUB = "https://huggingface.co"
PART = ".part"
CHUNK = 1 << 20
ATTEMPTS = 8
LONGEST_PAUSE_S = 60
PASSING = (408, 425, 429, 500, 502, 503, 504)
TIMEOUT = httpx.Timeout(30, connect=15)
REVISION = "revision"
MARGIN = 256 << 20


class Remote(NamedTuple):
    """One file as the hub describes it: LFS files by SHA-256, small files by their git blob id."""

    size: int
    sha256: str
    blob: str


class Listing(NamedTuple):
    """The files of a repository at one commit."""

    commit: str
    files: dict[str, Remote]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def bring(model: Model, source: Repository, work: Path, target: Path, report: store.Report) -> Path:
    """Make the model's folder inside `work` and return it, its manifest written; what `work` holds already is kept.

    Parameters
    ----------
    model, source : Model, Repository
        What to fetch. Without a pinned revision the first attempt resolves one and later attempts keep to it.
    work : Path
        Folder of this and earlier attempts.
    target : Path
        Where the model will lie. A damaged model there is moved to `work`, and only its damaged files are fetched.
    report : callable
        Receives one line a file.

    Raises
    ------
    RunbookError
        No network, no such repository, no space, or a file that arrived with another hash (that file is dropped).
    """
    made = work / "model"
    if target.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        target.rename(made)
    made.mkdir(parents=True, exist_ok=True)
    again = store.command("fetch", target)
    listing = look(source, _remembered(work))
    (work / REVISION).write_text(listing.commit)
    store.need_space(work, _missing(listing, made) + MARGIN, model.name)
    digests = _fetch_all(source, listing, made, report, again)
    _drop_strangers(listing, made)
    manifest.write(
        made,
        manifest.Manifest(
            model=model.name,
            origin={"repo": source.repo, "revision": listing.commit},
            verified=True,
            files=manifest.describe(made, digests),
        ),
    )
    return made


def look(source: Repository, revision: str = "") -> Listing:
    """Ask the hub which files a repository has, without those that the catalogue skips.

    Raises
    ------
    RunbookError
        The hub cannot be reached, or has no such repository or revision.
    """
    try:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
            commit = source.revision or revision or _newest(client, source)
            entries = [entry for page in _pages(client, source, commit) for entry in page if entry["type"] == "file"]
    except httpx.HTTPStatusError as error:
        # The hub answers 401 for a repository that does not exist: it does not tell private ones apart.
        absent = error.response.status_code in (401, 403, 404)
        why = "no such public repository or revision" if absent else f"the hub answers {error.response.status_code}"
        raise _unreachable(source, why) from error
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise _unreachable(source, str(error) or type(error).__name__) from error
    files = {
        entry["path"]: Remote(entry["size"], entry.get("lfs", {}).get("oid", ""), entry["oid"]) for entry in entries
    }
    return Listing(commit, {path: file for path, file in files.items() if not _skipped(path, source)})


def _newest(client: httpx.Client, source: Repository) -> str:
    return str(client.get(f"{_endpoint()}/api/models/{source.repo}").raise_for_status().json()["sha"])


def _pages(client: httpx.Client, source: Repository, commit: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of a repository's listing; a long one is split and linked."""
    url = f"{_endpoint()}/api/models/{source.repo}/tree/{commit}?recursive=true"
    while url:
        page = client.get(url).raise_for_status()
        yield page.json()
        url = page.links.get("next", {}).get("url", "")


def _endpoint() -> str:
    """Return where the hub is; `HF_ENDPOINT` names a mirror, as for the hub's own client."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def _skipped(path: str, source: Repository) -> bool:
    hidden = any(part.startswith(".") for part in Path(path).parts)
    return hidden or any(fnmatch(path, pattern) for pattern in source.skip)


def _remembered(work: Path) -> str:
    """Return the commit of an earlier attempt, or of the damaged model that is mended here."""
    path = work / REVISION
    if path.exists():
        return path.read_text().strip()
    known = manifest.read(work / "model")
    return known.origin.get("revision", "") if known else ""


def _missing(listing: Listing, made: Path) -> int:
    """Bytes that are still to come: complete and part-way files count as there."""
    there = (made / name if (made / name).exists() else made / f"{name}{PART}" for name in listing.files)
    return max(0, listing.size - sum(path.stat().st_size for path in there if path.exists()))


def _fetch_all(source: Repository, listing: Listing, made: Path, report: store.Report, again: str) -> dict[str, str]:
    """Fetch what is missing and return the SHA-256 of every file."""
    digests, done = {}, 0
    for name, remote in sorted(listing.files.items()):
        done += remote.size
        path = made / name
        if path.exists() and (digest := _matching(path, remote)):
            digests[name] = digest
            continue
        path.unlink(missing_ok=True)
        progress = f"{done / 1e9:.1f} of {listing.size / 1e9:.1f} GB"
        report(f"{source.repo}: {name}, {remote.size / 1e9:.2f} GB (then {progress})")
        part = path.with_name(f"{path.name}{PART}")
        part.parent.mkdir(parents=True, exist_ok=True)
        _download(_address(source, listing.commit, name), part, remote, again)
        digests[name] = _accept(part, path, remote, again)
    return digests


def _address(source: Repository, commit: str, name: str) -> str:
    return f"{_endpoint()}/{source.repo}/resolve/{commit}/{quote(name)}"


def _download(url: str, part: Path, remote: Remote, again: str) -> None:
    """Append to `part` until it is complete; give up after `ATTEMPTS` in a row that brought nothing."""
    part.touch()
    idle, problem = 0, ""
    while (have := part.stat().st_size) < remote.size:
        if idle == ATTEMPTS:
            raise _stopped(part, remote, again, problem)
        try:
            _append(url, part, have)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in PASSING:
                raise _stopped(part, remote, again, f"the hub answers {error.response.status_code}") from error
            problem = f"the hub answers {error.response.status_code}"
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
        except OSError as error:
            store.need_space(part.parent, remote.size - have, part.name)
            raise RunbookError(f"cannot write: {error.strerror}", where=paths.short(part)) from error
        if part.stat().st_size > have:
            idle = 0
        else:
            idle += 1
            time.sleep(pause(idle))


def pause(attempt: int) -> float:
    """Return the seconds to wait after so many attempts in a row that brought nothing: 1, 2, 4 … 60."""
    return float(min(2 ** (attempt - 1), LONGEST_PAUSE_S))


def _append(url: str, part: Path, have: int) -> None:
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        response.raise_for_status()
        # A server that ignores the range answers 200 and sends the file from its start.
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as file:
            for chunk in response.iter_raw():
                file.write(chunk)


def _stopped(part: Path, remote: Remote, again: str, problem: str) -> RunbookError:
    return RunbookError(
        f"the download of {part.name.removesuffix(PART)} stopped: {problem}",
        where=f"{part.stat().st_size:,} of {remote.size:,} bytes of this file are here and are kept",
        fix=f"check the line, then go on where it stopped: {again}",
    )


def _accept(part: Path, path: Path, remote: Remote, again: str) -> str:
    """Put a complete file in its place if its content is the publisher's; otherwise drop it."""
    digest = _matching(part, remote)
    if not digest:
        part.unlink()
        raise RunbookError(
            f"{path.name} arrived with other content than its publisher states; it was dropped",
            where=f"expected {remote.sha256 or 'git blob ' + remote.blob}",
            fix=f"fetch it again, the other files are kept: {again}",
        )
    part.rename(path)
    return digest


def _matching(path: Path, remote: Remote) -> str:
    """Return the SHA-256 of a file if it is what the hub describes, or else the empty string."""
    if path.stat().st_size != remote.size:
        return ""
    content, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % remote.size, usedforsecurity=False)
    for chunk in _chunks(path):
        content.update(chunk)
        if not remote.sha256:
            blob.update(chunk)
    same = content.hexdigest() == remote.sha256 if remote.sha256 else blob.hexdigest() == remote.blob
    return content.hexdigest() if same else ""


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _drop_strangers(listing: Listing, made: Path) -> None:
    """Remove files that are not the repository's, such as those of another revision."""
    for path in list(manifest.files(made)):
        if str(path.relative_to(made)) not in listing.files:
            path.unlink()


def _unreachable(source: Repository, why: str) -> RunbookError:
    return RunbookError(
        f"cannot list {source.repo}: {why}",
        where="Hugging Face",
        fix="check the network; with the model on a disk: python -m lib models import NAME FOLDER",
    )
