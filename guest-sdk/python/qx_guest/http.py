"""Requests to where the component is granted to send them.

    from qx_guest import http

    http.post("https://hooks.example.com/x", json={"stars": 1}, idempotency_key=event.id).ensure_ok()

A request waits for its answer. Redirects are answers like any other. What it changes
elsewhere can happen more than once: the event's id is the key to tell by.

In a module of its own: who does not import it does not ask for the right to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from json import loads
from typing import Any, Literal, Mapping

import qx_guest

Kind = Literal["denied", "invalid", "limit", "timeout", "connect", "tls", "protocol", "status"]

_PASSING = (408, 425, 429)
"""Statuses that may be others the next time."""


class HttpError(qx_guest.Retry):
    """There is no answer, or not the one that `ensure_ok` wants.

    Nobody catches it: `invalid`, `limit` and most 4xx reject the event, everything
    else is tried again.
    """

    def __init__(self, kind: Kind, message: str, *, status: int | None = None, after: float | None = None):
        super().__init__(message, after=after)
        self.kind = kind
        self.status = status
        refused = status is not None and status < 500 and status not in _PASSING
        self.lasting = kind in ("invalid", "limit") or refused


@dataclass(frozen=True)
class Response:
    """What the server answered."""

    status: int
    headers: list[tuple[str, str]] = field(repr=False)
    """Names in lower case."""
    body: str | bytes = field(repr=False)
    """Text where it is UTF-8."""
    _where: str = field(repr=False, default="")

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """The values of this name."""
        own = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(own) if own else None

    @property
    def text(self) -> str:
        if isinstance(self.body, str):
            return self.body
        raise qx_guest.Reject(f"the answer of {self._where} is no text")

    @property
    def content(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body

    def json(self) -> Any:
        try:
            return loads(self.text)
        except ValueError as error:
            raise qx_guest.Reject(f"the answer of {self._where} is no JSON: {error}") from error

    def ensure_ok(self) -> Response:
        """Raises an `HttpError` unless the status is from 200 to 299."""
        if self.ok:
            return self
        after = self.header("retry-after") or ""
        raise HttpError(
            "status",
            f"{self._where} answered {self.status}",
            status=self.status,
            after=float(after) if after.isdecimal() else None,
        )


def _place(method: str, url: str) -> str:
    """Method and host: what is behind it may be a secret."""
    found = re.match(r"[a-zA-Z]+://([^/?#\\]*)", url)
    return f"{method} {found.group(1).rpartition('@')[2]}" if found else method


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: str | bytes | None = None,
    json: Any = None,
    timeout: float | None = None,
    idempotency_key: str | None = None,
) -> Response:
    """Sends a request. `timeout` is in seconds, at most what the call has left."""
    method, sent = method.upper(), dict(headers or {})
    names, where = {name.lower() for name in sent}, _place(method, url)
    if json is not None:
        body = qx_guest._json(json, f"the body of {where}")
        if "content-type" not in names:
            sent["content-type"] = "application/json"
    if idempotency_key is not None and "idempotency-key" not in names:
        sent["idempotency-key"] = idempotency_key
    milliseconds = None if timeout is None else max(1, round(timeout * 1000))
    try:
        status, answered, content = qx_guest._host().http_send(method, url, list(sent.items()), body, milliseconds)
    except HttpError as error:
        raise HttpError(error.kind, f"{where}: {error}") from None
    return Response(status, answered, content, where)


def get(url: str, **options: Any) -> Response:
    """As `request`."""
    return request("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """As `request`."""
    return request("POST", url, **options)
