"""What a profile says of the living memory: what is remembered, by which model, how it is looked up."""

from pydantic import Field

from lib.core.sections.base import Section


class Hnsw(Section):
    """Chroma's index: higher finds more and takes longer. `benchmarks.memory_growth` shows both."""

    ef_construction: int = Field(default=200, ge=10, description="Candidates when a vector is put in")
    ef_search: int = Field(default=800, ge=10, description="Candidates when a question is answered")
    max_neighbors: int = Field(default=32, ge=4, description="Links of a vector")


class Candidate(Section):
    """An embedding model on trial: chapter 09 asks it the same questions and says whether it is better."""

    model: str = Field(default="", description="Catalogue name; empty: none is on trial")
    dimension: int = Field(default=0, ge=0, description="Numbers of a vector, where it is cut; 0: all")
    endpoint: str = Field(default="", description="Address of its server; empty: chapter 09 sees to it")


class MemorySearch(Section):
    """The memory of `lib/memory`: what is remembered, by which model, and how it is looked up."""

    folder: str = Field(default=".cache/memory", description="Where it is kept; relative to the repository or absolute")
    roots: dict[str, str] = Field(default={}, description="Name to folder: what is watched")
    ignore: list[str] = Field(
        default=[".*", "*~", "*.tmp", "*.swp", "*.part", "node_modules", "__pycache__"],
        description="Names, of files and folders, that are passed over",
    )
    model: str = Field(default="", description="Catalogue name of the embedding model; empty: no memory")
    dimension: int = Field(default=0, ge=0, description="Numbers of a vector, where the model allows a cut; 0: all")
    endpoint: str = Field(default="", description="Address of its server; empty: chapter 09 starts one")
    candidate: Candidate = Candidate()
    instruction: str = Field(default="", description="What the model is told about a question, as it was trained with")
    reranker: str = Field(default="", description="Catalogue name of a reranker; empty: none")
    reranker_endpoint: str = Field(default="", description="Address of its server")
    key_file: str = Field(default="", description="File with the bearer key of both servers; empty: they want none")
    chroma: str = Field(default="", description="Address of `chroma run`; empty: Chroma is embedded")
    hnsw: Hnsw = Hnsw()
    chunk_tokens: int = Field(default=200, ge=32, description="Longest chunk, tokens")
    candidates: int = Field(default=50, ge=10, description="Of each ranking, before they are joined")
    top: int = Field(default=8, ge=1, description="Chunks of an answer")
    context_tokens: int = Field(default=1500, ge=64, description="Of a prompt, for what was found")
    file_mib: int = Field(default=32, ge=1, description="Largest file that is read")
    text_mib: int = Field(default=16, ge=1, description="Most text of one file")
    read_seconds: float = Field(default=20, gt=0, description="Longest that a parser may take for one file")
    sweep_seconds: float = Field(default=30, gt=0, description="Between looks for what the watcher missed")
    opt_out: list[str] = Field(default=[], description="Clients whose chats are never stored")
    card_share: float = Field(
        default=0.25, gt=0, lt=1, description="Of the card, for the server that chapter 09 starts"
    )
    pages: int = Field(default=60, ge=20, description="Documents of the evaluation corpus")
    saves: int = Field(default=30, ge=5, description="Files saved to see how soon they are found")
    facts: int = Field(default=6, ge=0, description="Questions to the served model, with and without memory; 0: none")
    questions: str = Field(default="", description="The owner's questions: JSON lines with `question` and `path`")
