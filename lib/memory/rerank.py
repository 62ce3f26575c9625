"""An optional last look: a served reranker reads question and text together."""

from collections.abc import Sequence

import httpx

from lib.core.errors import RunbookError


class Reranker:
    """Asks a server's `/v1/rerank` (vLLM with a cross-encoder, such as Qwen3-Reranker)."""

    def __init__(self, url: str, model: str, key: str = "", timeout: float = 60) -> None:
        self.url, self.model = url.rstrip("/"), model
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(trust_env=False, timeout=timeout, headers=headers)

    def order(self, question: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Return places in `texts` with their relevance, best first.

        Raises
        ------
        RunbookError
            The server is gone or refuses.
        """
        if not texts:
            return []
        body = {"model": self.model, "query": question, "documents": list(texts)}
        try:
            response = self._http.post(f"{self.url}/v1/rerank", json=body)
            response.raise_for_status()
            told = [(int(item["index"]), float(item["relevance_score"])) for item in response.json()["results"]]
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise RunbookError(
                f"the reranker {self.model} does not answer: {type(error).__name__}",
                where=f"{self.url}/v1/rerank",
                fix="start it, or take memory.reranker out of the profile",
            ) from error
        valid = [(place, score) for place, score in told if 0 <= place < len(texts)]
        return sorted(valid, key=lambda pair: (-pair[1], pair[0]))

    def close(self) -> None:
        """Close connections."""
        self._http.close()
