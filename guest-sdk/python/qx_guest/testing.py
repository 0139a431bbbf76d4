"""Calls handlers natively: no component, no host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import qx_guest


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


class _Host:
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


def deliver(
    name: str,
    payload: Any,
    *,
    version: int = 1,
    attempt: int = 1,
    tenant_id: str | None = None,
    state: dict[str, Any] | None = None,
    config: dict[str, str] | None = None,
) -> Seen:
    """Gives an event to the handler that takes it."""
    seen = Seen()
    host = _Host(seen, state or {}, config or {})
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
