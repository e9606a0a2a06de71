"""Anthropic's batches and files, and Cohere's rerank, as strict as the services."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types.messages.batch_create_params import BatchCreateParams

from tests.fakes import anthropic_rules
from tests.fakes.anthropic import KEY
from tests.fakes.cohere import KEY as COHERE_KEY
from tests.fakes.forms import form_of
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.fakes.shape import problems

_COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
_TIME = "2026-11-21T00:00:00Z"


class StrictBatches(Server):
    """A server of `/v1/messages/batches` and `/v1/files`."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.stored_objects: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        headers = request.headers
        x_api_key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        if x_api_key != self.key:
            return await _refuse(out, 401, "authentication_error", "invalid x-api-key")
        if "anthropic-version" not in headers:
            return await _refuse(
                out, 400, "invalid_request_error", "anthropic-version: header is required"
            )
        batches, files = "/v1/messages/batches", "/v1/files"
        if request.path.startswith(batches):
            return await self._batches(request, out, request.path.removeprefix(batches).strip("/"))
        if not request.path.startswith(files):
            return await _refuse(out, 404, "not_found_error", "Not Found")
        return await self._files(request, out, request.path.removeprefix(files).strip("/"))

    async def _batches(
        self, request_body: RecordedRequest, out: ResponseWriter, subpath: str
    ) -> bool:
        if request_body.method == "POST" and not subpath:
            found_problems = problems(request_body.body, BatchCreateParams)
            for request in request_body.body.get("requests", []) if not found_problems else []:
                if request["params"]["model"] not in anthropic_rules.MODELS:
                    return await _refuse(out, 404, "not_found_error", "model: unknown")
            if found_problems:
                message = f"{found_problems[0].dotted()}: {found_problems[0].detail}"
                return await _refuse(out, 400, "invalid_request_error", message)
            await out.reply(
                200, self._stored_object(f"msgbatch_{len(self.stored_objects) + 1:08d}")
            )
            return True
        if request_body.method == "GET" and not subpath:
            return await self._list(out, "msgbatch_")
        id_, _, action = subpath.partition("/")
        if id_ not in self.stored_objects:
            return await _refuse(out, 404, "not_found_error", "batch not found")
        if action == "results":
            line = {"custom_id": "1", "result": {"type": "canceled"}}
            body = json.dumps(line).encode() + b"\n"
            await out.reply(200, body, {"content-type": "application/x-jsonl"})
        elif request_body.method == "DELETE":
            del self.stored_objects[id_]
            await out.reply(200, {"id": id_, "type": "message_batch_deleted"})
        else:
            if action == "cancel":
                self.stored_objects[id_]["processing_status"] = "canceling"
            await out.reply(200, self.stored_objects[id_])
        return True

    def _stored_object(self, id_: str) -> dict[str, Any]:
        times = dict.fromkeys(("archived_at", "cancel_initiated_at"))
        times |= dict.fromkeys(("created_at", "ended_at", "expires_at"), _TIME)
        url = f"https://api.anthropic.com/v1/messages/batches/{id_}/results"
        fields = {"id": id_, "type": "message_batch", "processing_status": "ended", **times}
        self.stored_objects[id_] = {**fields, "request_counts": _COUNTS, "results_url": url}
        return self.stored_objects[id_]

    async def _files(self, request: RecordedRequest, out: ResponseWriter, subpath: str) -> bool:
        if request.method == "POST" and not subpath:
            name, kind, data = form_of(request)["file"]
            id_ = f"file_{len(self.stored_objects) + 1:08d}"
            self.contents[id_] = data
            stored_file = {"id": id_, "type": "file", "filename": name, "mime_type": kind}
            self.stored_objects[id_] = {
                **stored_file,
                "size_bytes": len(data),
                "created_at": _TIME,
                "downloadable": True,
            }
            await out.reply(200, self.stored_objects[id_])
            return True
        if request.method == "GET" and not subpath:
            return await self._list(out, "file_")
        id_, _, action = subpath.partition("/")
        if id_ not in self.stored_objects:
            return await _refuse(out, 404, "not_found_error", f"File not found: {id_}")
        if action == "content":
            await out.reply(200, self.contents[id_], {"content-type": "text/plain"})
        elif request.method == "DELETE":
            del self.stored_objects[id_]
            await out.reply(200, {"id": id_, "type": "file_deleted"})
        else:
            await out.reply(200, self.stored_objects[id_])
        return True

    async def _list(self, out: ResponseWriter, prefix: str) -> bool:
        rows = [
            stored_object
            for id_, stored_object in self.stored_objects.items()
            if id_.startswith(prefix)
        ]
        edges = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {}
        edges = edges or {"first_id": None, "last_id": None}
        await out.reply(200, {"data": rows, "has_more": False, **edges})
        return True


class StrictRerank(Server):
    """A server of Cohere's `/v2/rerank`."""

    def __init__(self, key: str = COHERE_KEY) -> None:
        super().__init__()
        self.key = key

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        known_fields = {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority"}
        body = request.body
        if request.headers.get("authorization") != f"Bearer {self.key}":
            await out.reply(401, {"id": "1", "message": "invalid api token"})
        elif (request.method, request.path) != ("POST", "/v2/rerank"):
            await out.reply(404, {"id": "1", "message": "404 page not found"})
        elif not isinstance(body, dict) or body.keys() - known_fields or not body.get("documents"):
            await out.reply(400, {"id": "1", "message": "invalid request: list of documents"})
        elif body.get("model") != "rerank-v3.5":
            await out.reply(404, {"id": "1", "message": f"model '{body.get('model')}' not found"})
        else:
            order = sorted(range(len(body["documents"])), key=lambda n: -len(body["documents"][n]))
            rows = [
                {"index": n, "relevance_score": 1 / (1 + index)} for index, n in enumerate(order)
            ]
            meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
            await out.reply(200, {"id": "r-1", "results": rows[: body.get("top_n")], "meta": meta})
        return True


async def _refuse(out: ResponseWriter, status: int, kind: str, message: str) -> bool:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_up"}
    await out.reply(status, body)
    return True
