"""Calls handlers natively: no component, no host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

import qx_guest
from qx_guest.http import HttpError, Response
from qx_guest.sql import SqlError


@dataclass(frozen=True)
class Sent:
    """A request that a handler sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | bytes | None
    timeout: float | None


def answer(
    status: int = 200, *, json: Any = None, body: str | bytes = "", headers: Mapping[str, str] | None = None
) -> Response:
    """What a server says in a test."""
    content = body if json is None else _dumps(json)
    return Response(status, [(name.lower(), value) for name, value in (headers or {}).items()], content)


_dumps = json.dumps


@dataclass
class Seen:
    """What a handler did. State and events are empty unless it is done."""

    outcome: str = "done"
    """`done`, `retry`, `reject` or `raised`."""
    reason: str = ""
    after: float | None = None
    error: BaseException | None = None
    emitted: list[tuple[str, int, Any]] = field(default_factory=list)
    """Name, version and payload of each event."""
    keys: list[str | None] = field(default_factory=list)
    """The ordering key of each event, in the same order."""
    dues: list[int | str | None] = field(default_factory=list)
    """When each leaves: after so many milliseconds, at a time, or at once."""
    state: dict[str, Any] = field(default_factory=dict)
    logs: list[tuple[str, str]] = field(default_factory=list)
    requests: list[Sent] = field(default_factory=list)
    """What it sent, whatever became of it."""
    statements: list[tuple[str, list[Any]]] = field(default_factory=list)
    """The statements that it ran, with their parameters, whatever became of it."""


class _Host:
    secrets: dict[str, str] = {}
    answers: Callable[[Sent], Response | None] = staticmethod(lambda sent: None)
    database: Callable[[str, list[Any]], list[dict[str, Any]] | int | None] = staticmethod(lambda *asked: None)

    def __init__(self, seen: Seen, state: dict[str, Any], config: dict[str, str]):
        self.seen = seen
        self.texts = {key: json.dumps(value) for key, value in state.items()}
        self.config = config
        self.written: dict[str, str | None] = {}

    def state_get(self, key: str) -> str | None:
        return self.written[key] if key in self.written else self.texts.get(key)

    def state_set(self, key: str, value: str) -> None:
        self.written[key] = value

    def state_delete(self, key: str) -> None:
        self.written[key] = None

    def emit(self, name: str, version: int, payload: str, key: str | None, due: int | str | None) -> str:
        self.seen.emitted.append((name, version, json.loads(payload)))
        self.seen.keys.append(key)
        self.seen.dues.append(due)
        return f"emitted-{len(self.seen.emitted)}"

    def config_get(self, key: str) -> str | None:
        return self.config.get(key)

    def log(self, level: str, message: str) -> None:
        self.seen.logs.append((level, message))

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise qx_guest.Retry(f"the test has no secret `{name}`")
        return self.secrets[name]

    def http_send(self, method, url, headers, body, timeout):
        sent = Sent(method, url, dict(headers), body, None if timeout is None else timeout / 1000)
        self.seen.requests.append(sent)
        answered = self.answers(sent)
        if answered is None:
            raise HttpError("denied", "the test has no answer")
        return answered.status, answered.headers, answered.body

    def sql_query(self, statement: str, values: list[Any]) -> list[str]:
        answered = self._asked(statement, values)
        return [json.dumps(row) for row in answered] if isinstance(answered, list) else []

    def sql_execute(self, statement: str, values: list[Any]) -> int:
        answered = self._asked(statement, values)
        return len(answered) if isinstance(answered, list) else answered

    def _asked(self, statement: str, values: list[Any]) -> list[dict[str, Any]] | int:
        self.seen.statements.append((statement, values))
        answered = self.database(statement, values)
        if answered is None:
            raise SqlError("refused", f"the test gives no answer to `{statement}`", "58000")
        return answered


def deliver(
    name: str,
    payload: Any,
    *,
    version: int = 1,
    attempt: int = 1,
    tenant_id: str | None = None,
    state: dict[str, Any] | None = None,
    config: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    http: Callable[[Sent], Response | None] | None = None,
    sql: Callable[[str, list[Any]], list[dict[str, Any]] | int | None] | None = None,
) -> Seen:
    """Gives an event to the handler that takes it.

    `http` stands for the servers, `sql` for the database: it returns rows, or how many
    were changed, or raises an `SqlError`.
    """
    seen = Seen()
    host = _Host(seen, state or {}, config or {})
    host.secrets = secrets or {}
    if http is not None:
        host.answers = http
    if sql is not None:
        host.database = sql
    qx_guest.host = host
    try:
        qx_guest.deliver(
            name,
            version,
            json.dumps(payload),
            id="6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
            occurred_at="2026-03-01T10:00:00Z",
            attempt=attempt,
            tenant_id=tenant_id,
        )
    except qx_guest.Reject as error:
        seen.outcome, seen.reason = "reject", str(error)
    except qx_guest.Retry as error:
        seen.outcome, seen.reason, seen.after = "retry", str(error), error.after
        if getattr(error, "lasting", False):
            seen.outcome, seen.after = "reject", None
    except Exception as error:
        seen.outcome, seen.reason, seen.error = "raised", str(error), error
    finally:
        qx_guest.host = None
    if seen.outcome != "done":
        seen.emitted, seen.keys, seen.dues = [], [], []
        return seen
    for key, text in host.written.items():
        try:
            seen.state[key] = None if text is None else json.loads(text)
        except ValueError:
            seen.state[key] = text  # Written with `set_text`.
    return seen
