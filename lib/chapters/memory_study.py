"""Chapter 09's own memory, and what must hold of it."""

import shutil
from pathlib import Path

from lib.chapters.memory_servers import Servers
from lib.core import paths
from lib.core.chapter import Chapter
from lib.core.evidence import Check, Measurement
from lib.core.profile import change
from lib.memory.embed import Embedder, Vectors
from lib.memory.evaluate import corpus, hostile
from lib.memory.evaluate.corpus import Corpus, Question
from lib.memory.evaluate.trial import Trial
from lib.memory.retrieve import Method
from lib.memory.service import Memory

INGEST_SHARE = 0.9
NOTES = "notes"


class Study:
    """The chapter's own memory, in a folder that is made anew; the owner's is not touched."""

    def __init__(self, chapter: Chapter, servers: Servers) -> None:
        self.chapter, self.servers = chapter, servers
        self.folder = paths.CACHE / "chapters" / "memory"
        self.corpus: Corpus | None = None
        self.questions: list[Question] = []
        self.memory: Memory | None = None
        self.ratio = 0.0
        self.values: dict[Method, dict[str, list[float]]] = {}
        self.candidate: Embedder | None = None
        self.trial: Trial | None = None
        self._vectors: list[Vectors] = []

    def open(self) -> None:
        """Open an empty memory on the embedding server that runs; without one, a check has said why."""
        if not self.servers.embedding_url:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("corpus", NOTES):
            (self.folder / name).mkdir(parents=True)
        own = change(self.chapter.profile, "memory", folder=str(self.folder / "store"), roots={}, sweep_seconds=600.0)
        self.memory = Memory.open(own, endpoint=self.servers.embedding_url)
        self.corpus = corpus.load(self.chapter.profile.memory.pages)
        self.questions = self.corpus.write(self.folder / "corpus")

    def close(self) -> None:
        """Close the memory and delete its folder."""
        for opened in (self.memory, self.candidate):
            if opened:
                opened.close()
        self.memory = self.candidate = None
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def all_questions(self) -> list[Question]:
        """The corpus's questions, and the owner's own where the profile names a file of them."""
        named = self.chapter.profile.memory.questions
        return [*self.questions, *(corpus.questions(paths.ROOT / Path(named).expanduser()) if named else [])]

    def vectors(self) -> list[Vectors]:
        """Return the questions' vectors by the profile's model; embedded once."""
        asked = self.memory.embedder if self.memory else None
        if not self._vectors and asked:
            with self.chapter.engine_time("questions"):
                self._vectors = [asked.query(question.text) for question in self.all_questions]
        return self._vectors

    def record(self, *records: Measurement) -> None:
        """Record measurements of the memory's own model."""
        self.chapter.record(*records, model=self.chapter.profile.memory.model, weights="real")


def verify(study: Study) -> list[Check]:
    """Check that what is kept agrees with itself, that hostile files are refused, and that forgetting deletes."""
    memory, chapter = study.memory, study.chapter
    if memory is None:
        return chapter.checks("memory.")
    wrong = memory.store.disagreements()
    gone = _forget(study, memory)
    refused = _refusals(study, memory)
    chapter.record(
        Check(
            name="memory.agreement",
            title="Manifest, Chroma and lexical index hold the same chunks",
            status="fail" if wrong else "pass",
            expected="no difference",
            observed="; ".join(wrong) or f"{len(memory.store.manifest.ids())} chunks in each",
            fix="python -m lib memory verify" if wrong else "",
        ),
        Check(
            name="memory.refusal",
            title="Links out of the folder, bombs and binaries are refused with a reason",
            status="pass" if all(refused.values()) else "fail",
            expected=", ".join(refused),
            observed="; ".join(f"{name}: {reason or 'taken'}" for name, reason in refused.items()),
        ),
        Check(
            name="memory.forgetting",
            title="What is forgotten is in no file of the memory",
            status="fail" if gone else "pass",
            expected="not one byte of it",
            observed=", ".join(gone) or "none of its words in any file",
        ),
        Check(
            name="memory.ingest",
            title="Ingest keeps up with the embedding server",
            status="pass" if study.ratio >= INGEST_SHARE else "warn",
            expected=f"at least {INGEST_SHARE} of the server's own throughput",
            observed=f"{study.ratio:.2f}",
            fix="measure again on a quiet machine; on a CPU both share the same cores",
        ),
    )
    return chapter.checks("memory.")


def _forget(study: Study, memory: Memory) -> list[str]:
    word = "xylophonist"
    path = study.folder / "corpus" / "secret.md"
    path.write_text(f"# Secret\n\nThe {word} lives at the harbour.\n")
    memory.add(path)
    if not any(hit.path == "corpus/secret.md" for hit in memory.search(word).hits):
        return ["it was never found"]
    memory.forget("corpus/secret.md")
    path.unlink()
    files = [path for path in memory.folder.rglob("*") if path.is_file()]
    return [path.name for path in files if word.encode() in path.read_bytes().lower()]


def _refusals(study: Study, memory: Memory) -> dict[str, str]:
    folder = study.folder / "hostile"
    made = hostile.write(folder)
    report = memory.add(folder)
    memory.store.drop(memory.store.manifest.sources("hostile"))
    reasons = dict(report.refused)
    return {name: reasons.get(f"hostile/{file}", "") for name, file in made.items()}
