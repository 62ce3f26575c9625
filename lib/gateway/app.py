"""The gateway's routes: OpenAI's surface, health and metrics. FastAPI describes them; `Relay` answers."""

import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from lib.gateway.errors import RefusalError
from lib.gateway.front import CHAT, Front, local
from lib.gateway.relay import Relay

POSTS = (CHAT, "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank")


def make(front: Front) -> FastAPI:
    """Return the application of a gateway."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await front.open()
        try:
            yield
        finally:
            await front.close()

    app = FastAPI(title="Inference gateway", version="1", lifespan=life, docs_url=None, redoc_url=None)
    app.state.front = front
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(Exception, _fault)
    if front.settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=front.settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    for path in POSTS:
        app.add_api_route(
            path, _poster(front, path), methods=["POST"], response_class=JSONResponse, openapi_extra=_described(path)
        )

    @app.get("/v1/models", responses=_REFUSALS)
    async def models(request: Request) -> JSONResponse:
        """List what this key may ask for."""
        names = front.roles.names(front.who(request))
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    @app.get("/health", responses={503: {"description": "No engine can be used"}})
    async def health() -> Response:
        """Answer 200 with an empty body while at least one engine can be used."""
        usable = [name for name in front.engines if not front.scheduler.down(name)]
        return Response(status_code=HTTPStatus.OK if usable else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics", responses=_REFUSALS)
    async def metrics(request: Request) -> Response:
        """Return counters in Prometheus's format: to this machine, or to any key."""
        if not local(request):
            front.who(request)
        return Response(front.metrics.text(), media_type="text/plain; version=0.0.4")

    return app


def _poster(front: Front, path: str) -> Any:
    async def post(request: Request) -> Response:
        return Relay(front, await front.asked(request, path))

    post.__name__ = path.strip("/").replace("/", "_")
    post.__doc__ = f"Pass a request on to the engine of its model, as vLLM's `{path}` takes it."
    return post


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return error.response()


async def _fault(_: Request, error: Exception) -> Response:
    """Answer what should never happen: the log has the trace, and no word of the request."""
    return RefusalError(500, f"The gateway failed: {type(error).__name__}", kind="server_error").response()


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "inference-runbook"}


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
_TOLD = {"content": {"application/json": {"schema": _ERROR}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": HTTPStatus(status).phrase, **_TOLD} for status in (400, 401, 404, 413, 422, 429, 503, 504)
}
_FIELDS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": {"type": "array", "items": {"type": "object"}}},
    "/v1/completions": {"prompt": {}},
    "/v1/responses": {"input": {}},
    "/v1/embeddings": {"input": {}},
    "/v1/rerank": {"query": {}, "documents": {"type": "array"}},
}


def _described(path: str) -> dict[str, Any]:
    """Return the description of a request; what else the engine takes is the engine's to describe."""
    fields = {"model": {"type": ["string", "null"]}, **_FIELDS[path]}
    schema = {"type": "object", "properties": fields, "required": list(_FIELDS[path])}
    responses: dict[int | str, Any] = {**_REFUSALS, 200: {"description": "The engine's answer"}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {str(status): told for status, told in responses.items()},
    }
