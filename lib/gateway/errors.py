"""Refusals as OpenAI's clients expect them: a status, and `{"error": {"message", "type", "param", "code"}}`."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.responses import Response


class RefusalError(Exception):
    """A request that the gateway itself answers with an error.

    Parameters
    ----------
    status : int
        HTTP status.
    message : str
        What is wrong, for a person.
    kind, param, code
        `type`, `param` and `code` of OpenAI's error; by default as vLLM fills them.
    retry_after : int
        Seconds after which the same request may succeed; 0: not told.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "",
        param: str | None = None,
        code: str | int | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
        self.kind = kind or HTTPStatus(status).phrase
        self.param, self.code = param, status if code is None else code

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        told = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": told}, ensure_ascii=False).encode()

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the whole answer."""
        more = {"retry-after": str(self.retry_after)} if self.retry_after else {}
        more |= {"www-authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return Response(
            self.body, status_code=self.status, headers={**(headers or {}), **more}, media_type="application/json"
        )


def unknown_model(name: object, known: Sequence[str]) -> RefusalError:
    """Return OpenAI's answer to a model that is not there, with those that are."""
    listed = ", ".join(known) or "none"
    return RefusalError(
        404,
        f"The model `{name}` does not exist or you do not have access to it. Known here: {listed}",
        kind="NotFoundError",
        param="model",
        code="model_not_found",
    )


def no_key(presented: bool) -> RefusalError:
    """Return OpenAI's answer to a wrong key, or to none."""
    told = "Incorrect API key provided." if presented else "You didn't provide an API key: Authorization: Bearer KEY."
    return RefusalError(401, told, kind="invalid_request_error", code="invalid_api_key")


def too_many(message: str, seconds: float) -> RefusalError:
    """Return the answer to more requests than there is room for."""
    return RefusalError(429, message, kind="rate_limit_error", code="rate_limit_exceeded", retry_after=_whole(seconds))


def unavailable(message: str, seconds: float) -> RefusalError:
    """Return the answer while a model cannot be served."""
    return RefusalError(503, message, kind="server_error", code="unavailable", retry_after=_whole(seconds))


def no_answer(message: str) -> RefusalError:
    """Return the answer when an engine said nothing in time."""
    return RefusalError(504, message, kind="server_error", code="timeout")


def _whole(seconds: float) -> int:
    return max(1, round(seconds))
