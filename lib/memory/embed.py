"""Embeddings from the served model, and from nowhere else."""

import base64
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from lib.core.errors import RunbookError

Vectors = NDArray[np.float32]
BATCH = 32
TRIES = 5
FIRST_WAIT_S = 0.2
BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.BAD_GATEWAY)
# Shorter than this, a text that the server calls too long is refused for another reason.
SHORTEST_HALF = 16


class EndpointError(RunbookError):
    """The embedding server does not give what is needed: gone, refusing, or another model."""


class Embedder:
    """Asks one server for embeddings of one model. Safe to use from several threads.

    Parameters
    ----------
    url, model : str
        Base address of the server, and the name that it serves the model by.
    instruction : str
        What the model is told about a query: Qwen3-Embedding is trained with it. Documents have none.
    key : str
        Bearer key, where the server wants one.
    cut : int
        Keep so many numbers of a vector, the first; models trained for it lose little by that. 0: all.
    """

    def __init__(
        self, url: str, model: str, instruction: str = "", key: str = "", timeout: float = 120, *, cut: int = 0
    ) -> None:
        self.url, self.model, self.instruction, self.cut = url.rstrip("/"), model, instruction, cut
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Proxies of the environment are not for the loopback.
        self._http = httpx.Client(trust_env=False, timeout=timeout, headers=headers)
        self._lock = threading.Lock()
        self._dimension = 0

    @property
    def dimension(self) -> int:
        """Length of a vector; asked from the server once."""
        with self._lock:
            if not self._dimension:
                self._dimension = self._ask(["dimension"]).shape[1]
        return self._dimension

    @property
    def space(self) -> str:
        """Name of the space that its vectors lie in: model and length."""
        return f"{self.model}/{self.dimension}"

    def documents(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length one for each text, in order: shape (texts, dimension).

        Raises
        ------
        EndpointError
            The server is gone, refuses, or gives vectors of another length than before.
        """
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return np.concatenate([self._batch(batch) for batch in _batches(texts)])

    def query(self, text: str) -> Vectors:
        """Return the vector of a question: shape (dimension,)."""
        asked = f"Instruct: {self.instruction}\nQuery:{text}" if self.instruction else text
        vector: Vectors = self._batch([asked])[0]
        return vector

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _batch(self, texts: Sequence[str]) -> Vectors:
        try:
            return self._ask(texts)
        except _TooLongError as error:
            if len(texts) > 1:
                return np.concatenate([self._batch([text]) for text in texts])
            return self._halves(texts[0], error)

    def _halves(self, text: str, error: EndpointError) -> Vectors:
        """Embed what the model cannot take at once in two parts, and weigh them by length; nothing is cut away."""
        if len(text) < SHORTEST_HALF:
            raise error
        middle = text.rfind(" ", 1, len(text) // 2 + 1)
        middle = middle if middle > len(text) // 4 else len(text) // 2
        parts = [text[:middle], text[middle:]]
        vectors = np.concatenate([self._batch([part]) for part in parts])
        return _unit(np.average(vectors, axis=0, weights=[len(part) for part in parts])[None, :])

    def _ask(self, texts: Sequence[str]) -> Vectors:
        body = {"model": self.model, "input": list(texts), "encoding_format": "base64"}
        response = self._post(body)
        if response.status_code != httpx.codes.OK:
            raise self._refusal(response)
        data = sorted(response.json()["data"], key=lambda item: int(item["index"]))
        if len(data) != len(texts):
            raise self._error(f"{len(texts)} texts were sent and {len(data)} vectors came back")
        vectors = np.stack([_vector(item["embedding"]) for item in data])
        if not np.isfinite(vectors).all():
            raise self._error("a vector is not a number")
        if self.cut > vectors.shape[1]:
            raise self._error(f"vectors of {vectors.shape[1]} numbers cannot be cut at {self.cut}")
        vectors = vectors[:, : self.cut] if self.cut else vectors
        if self._dimension and vectors.shape[1] != self._dimension:
            raise self._error(f"vectors of {vectors.shape[1]} numbers instead of {self._dimension}")
        return _unit(vectors)

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        wait = FIRST_WAIT_S
        for left in reversed(range(TRIES)):
            try:
                response = self._http.post(f"{self.url}/v1/embeddings", json=body)
            except httpx.TransportError as error:
                if not left:
                    raise self._error(f"no answer: {type(error).__name__}") from error
            else:
                if response.status_code not in BUSY or not left:
                    return response
            time.sleep(wait)
            wait *= 2
        raise AssertionError("unreachable")

    def _refusal(self, response: httpx.Response) -> EndpointError:
        try:
            told = response.json()
            message = str(told.get("error", told).get("message", told))
        except (ValueError, AttributeError):
            message = response.text[:300]
        length = any(word in message for word in ("maximum context length", "max_model_len", "too long", "longer than"))
        if response.status_code == httpx.codes.BAD_REQUEST and length:
            return _TooLongError(message, where=self.url)
        return self._error(f"{response.status_code}: {message}")

    def _error(self, what: str) -> EndpointError:
        return EndpointError(
            f"the embedding server does not serve {self.model}: {what}",
            where=f"{self.url}/v1/embeddings",
            fix=f"start vLLM with --runner pooling and {self.model}, and name its address in memory.endpoint",
        )


class _TooLongError(EndpointError):
    """The text is longer than the model's context."""


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), BATCH):
        yield texts[start : start + BATCH]


def _vector(told: str | list[float]) -> Vectors:
    if isinstance(told, str):
        return np.frombuffer(base64.b64decode(told), dtype="<f4")
    return np.asarray(told, np.float32)


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return unit
