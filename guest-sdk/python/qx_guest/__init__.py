"""Event handlers for Qx Host in Python.

    from qx_guest import Event, Reject, emit, handler, log, state

    @handler("github.star.created")
    def count_star(event: Event):
        repository = event.payload["repository"]["full_name"]
        stars = state.get(repository, 0) + 1
        state.set(repository, stars)
        emit("repo.starred", {"repository": repository, "stars": stars})
        log.info(f"{repository} has {stars} stars")

When a handler returns, its state and its emitted events are committed: once, or not
at all. When it raises, nothing is kept: `Retry` is tried again, `Reject` is a dead
letter at once, and anything else is tried again with its traceback in the log.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Callable, Generic, Iterable, Literal, TypeVar, Union

__all__ = ["Event", "Reject", "Retry", "config", "emit", "handler", "log", "state"]

T = TypeVar("T")


class Retry(Exception):
    """It may work later. Not sooner than `after` seconds; without it the host decides."""

    def __init__(self, reason: str, *, after: float | None = None):
        super().__init__(reason)
        self.after = after


class Reject(Exception):
    """It will never work: a dead letter at once."""


@dataclass(frozen=True)
class Event(Generic[T]):
    """An event, as its producer recorded it."""

    id: str
    """A UUID, the same on every attempt: the idempotency key for effects elsewhere."""
    name: str
    version: int
    occurred_at: str
    """ISO 8601, as the producer wrote it."""
    payload: T
    """What the JSON says, or the dataclass that the handler's annotation names."""
    payload_text: str
    """The payload byte for byte as it arrived."""
    attempt: int = 1
    correlation_id: str | None = None
    causation_id: str | None = None
    tenant_id: str | None = None
    actor_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


# --- Which events a handler takes -------------------------------------------------


@dataclass
class _Handler:
    patterns: tuple[str, ...]
    versions: Union[frozenset[int], Literal["any"]]
    function: Callable[[Event[Any]], None]
    payload: Any

    def takes_version(self, version: int) -> bool:
        return self.versions == "any" or version in self.versions


_handlers: list[_Handler] = []

_Function = TypeVar("_Function", bound=Callable[..., Any])


def handler(
    *events: str, versions: Iterable[int] | Literal["any"] = (1,)
) -> Callable[[_Function], _Function]:
    """Takes the events of these names, or patterns: `order.*`, `order.>`.

    With the annotation `event: Event[Order]`, where `Order` is a dataclass, the
    payload is read as that; one that does not fit is rejected with the path.
    """
    if not events or not all(isinstance(event, str) for event in events):
        raise TypeError('handler takes names of events: @handler("order.placed")')
    chosen: Any = "any" if versions == "any" else frozenset(versions)

    def register(function: _Function) -> _Function:
        _handlers.append(_Handler(events, chosen, function, _payload_type(function)))
        return function

    return register


def _payload_type(function: Callable[..., Any]) -> Any:
    try:
        hints = typing.get_type_hints(function)
    except NameError:
        return Any  # A name that only a type checker knows.
    hints.pop("return", None)
    for hint in hints.values():
        if typing.get_origin(hint) is Event:
            return typing.get_args(hint)[0]
    return Any


def routes() -> str:
    """What the host reads of a component: one line for each pattern."""

    def versions(one: _Handler) -> str:
        return "*" if one.versions == "any" else ",".join(map(str, sorted(one.versions)))

    lines = [f"handler\t{pattern}\t{versions(one)}\n" for one in _handlers for pattern in one.patterns]
    return "".join(lines)


def _takes(pattern: str, name: str) -> bool:
    """`*` stands for one word, `>` at the end for one or more."""
    want, have = pattern.split("."), name.split(".")
    if want[-1] == ">" and len(have) >= len(want):
        del have[len(want) - 1 :], want[-1]
    return len(want) == len(have) and all(w in ("*", h) for w, h in zip(want, have))


def _handler_for(name: str, version: int) -> _Handler | None:
    """The one with the event's own name, else the first whose pattern takes it."""
    fits = [one for one in _handlers if one.takes_version(version)]
    exact = (one for one in fits if name in one.patterns)
    loose = (one for one in fits if any(_takes(pattern, name) for pattern in one.patterns))
    return next(exact, None) or next(loose, None)


def deliver(name: str, version: int, payload_text: str, **rest: Any) -> None:
    """Calls the handler of an event, whose payload is still text."""
    found = _handler_for(name, version)
    if found is None:
        raise Reject(f"no handler of this component takes {name} version {version}")
    try:
        payload = _fit(json.loads(payload_text), found.payload, "")
    except ValueError as error:
        raise Reject(f"the payload does not fit: {error}") from error
    found.function(Event(name=name, version=version, payload=payload, payload_text=payload_text, **rest))


# --- A payload as a dataclass --------------------------------------------------------

_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", int: "a whole number", float: "a number"}


def _misfit(path: str, expected: str, value: Any) -> ValueError:
    found = "null" if value is None else _WORDS.get(type(value), type(value).__name__)
    return ValueError(f"{path or 'payload'}: expected {expected}, found {found}")


def _fit(value: Any, wanted: Any, path: str) -> Any:
    """The value as this type; an error names the path to what does not fit."""
    if wanted is Any or isinstance(wanted, TypeVar):
        return value
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if dataclasses.is_dataclass(wanted):
        return _fit_dataclass(value, wanted, path)
    if origin in (Union, types.UnionType):
        return _fit_union(value, args, path)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{path}: expected one of {', '.join(map(repr, args))}, found {value!r}")
        return value
    if (origin or wanted) is list:
        if not isinstance(value, list):
            raise _misfit(path, "a list", value)
        one = args[0] if args else Any
        return [_fit(each, one, f"{path}[{index}]") for index, each in enumerate(value)]
    if (origin or wanted) is dict:
        if not isinstance(value, dict):
            raise _misfit(path, "an object", value)
        one = args[1] if args else Any
        return {key: _fit(each, one, _below(path, key)) for key, each in value.items()}
    if wanted is float and type(value) is int:
        return float(value)
    if wanted in _WORDS and type(value) is not wanted:
        raise _misfit(path, _WORDS[wanted], value)
    if wanted is type(None) and value is not None:
        raise _misfit(path, "null", value)
    return value


def _fit_union(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    if value is None and type(None) in choices:
        return None
    error: ValueError | None = None
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _fit(value, choice, path)
        except ValueError as other:
            error = other
    raise error or _misfit(path, "null", value)


def _fit_dataclass(value: Any, wanted: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise _misfit(path, "an object", value)
    hints, given = typing.get_type_hints(wanted), {}
    for field in dataclasses.fields(wanted):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if field.name in value:
            given[field.name] = _fit(value[field.name], hints[field.name], _below(path, field.name))
        elif not has_default:
            raise ValueError(f"{_below(path, field.name)}: missing")
    return wanted(**given)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- State, events, settings, log ------------------------------------------------------

host: Any = None
"""Stands for the host: set by `component`, or by `testing`."""


def _host() -> Any:
    if host is None:
        raise RuntimeError("there is no host: state, emit, config and log are for handlers, not for the top of a module")
    return host


def _json(value: Any, what: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_as_json)
    except (TypeError, ValueError) as error:
        raise Reject(f"{what} has no form in JSON: {error}") from error


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has none")


class _State:
    """Values of this component and this tenant, as JSON. A limit that is hit is a `Reject`."""

    def get(self, key: str, default: Any = None) -> Any:
        text = _host().state_get(key)
        if text is None:
            return default
        try:
            return json.loads(text)
        except ValueError as error:
            raise Reject(f"the state at `{key}` is no JSON") from error

    def set(self, key: str, value: Any) -> None:
        _host().state_set(key, _json(value, f"the value for the state at `{key}`"))

    def get_text(self, key: str) -> str | None:
        return _host().state_get(key)

    def set_text(self, key: str, text: str) -> None:
        _host().state_set(key, text)

    def delete(self, key: str) -> None:
        _host().state_delete(key)


state = _State()


def emit(
    name: str,
    payload: Any,
    *,
    version: int = 1,
    key: str | None = None,
    after: float | timedelta | None = None,
    at: str | datetime | None = None,
) -> str:
    """An event that leaves with the commit, or later. Returns its id.

    Events of one `key` are handled one after the other where a component asks for it;
    it is not inherited. `after` (seconds, or a timedelta, at most 366 days) and `at` (a
    datetime with its offset, or ISO 8601) say when it leaves; that holds over restarts.
    """
    text = _json(payload, f"the payload of {name}")
    return _host().emit(name, version, text, key, _due(name, after, at))


def _due(name: str, after: float | timedelta | None, at: str | datetime | None) -> int | str | None:
    """Milliseconds to wait, or a time as text, or neither."""
    if after is not None and at is not None:
        raise Reject(f"{name} is due after a pause or at a time, not both")
    if after is not None:
        seconds = after.total_seconds() if isinstance(after, timedelta) else after
        if not 0 <= seconds < math.inf:
            raise Reject(f"{name} cannot be due after {seconds} s")
        return round(seconds * 1000)
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise Reject(f"{name} cannot be due at {at.isoformat()}: it has no offset from UTC")
        return at.isoformat()
    return at


class _Config:
    """Settings from the component's `<name>.toml`."""

    def get(self, key: str, default: str | None = None) -> str | None:
        value = _host().config_get(key)
        return default if value is None else value


config = _Config()


class _Log:
    """Lines of the component's log. `print` and `logging` write there as well."""

    def _line(self, level: str, message: object) -> None:
        _host().log(level, str(message))

    def trace(self, message: object) -> None:
        self._line("trace", message)

    def debug(self, message: object) -> None:
        self._line("debug", message)

    def info(self, message: object) -> None:
        self._line("info", message)

    def warning(self, message: object) -> None:
        self._line("warn", message)

    warn = warning

    def error(self, message: object) -> None:
        self._line("error", message)


log = _Log()
