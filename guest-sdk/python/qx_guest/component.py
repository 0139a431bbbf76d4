"""The component's side: the imports of the contract, the export `handler` or those of a
world of the project's own, and what the interpreter needs to know before it is frozen."""

import ast
import contextlib
import functools
import importlib
import logging
import os
import sys
import traceback

import wit_world
from componentize_py_types import Err
from wit_world.imports import config, emit, log, state, types

import qx_guest

# There where the handlers import them: the build looks, and asks for no more.
try:
    from wit_world.imports import secrets as _secrets
except ImportError:
    _secrets = None
try:
    from wit_world.imports import http as _http
    from qx_guest.http import HttpError
except ImportError:
    _http = None
try:
    from wit_world.imports import sql as _sql
    from qx_guest.sql import SqlError
except ImportError:
    _sql = None

# Modules that handlers import late and the standard library imports later still.
import datetime, decimal, encodings.idna, random, re, uuid  # noqa: E401, F401

_FRAMES_LOGGED = 15
_FRAMES_IN_REASON = 3

_LEVELS = {
    "trace": log.Level.TRACE,
    "debug": log.Level.DEBUG,
    "info": log.Level.INFO,
    "warn": log.Level.WARN,
    "error": log.Level.ERROR,
}


class _Host:
    def state_get(self, key):
        return state.get(key)

    def state_set(self, key, value):
        try:
            state.set(key, value)
        except Err as error:
            raise qx_guest.Reject(f"state: {error.value.value}") from None

    def state_delete(self, key):
        state.delete(key)

    def emit(self, name, version, payload, key, due):
        if isinstance(due, int):
            due = emit.Due_After(due)
        elif due is not None:
            due = emit.Due_At(due)
        try:
            return emit.emit(emit.NewEvent(name, version, payload, key, due))
        except Err as error:
            raise qx_guest.Reject(f"emit: {error.value.value}") from None

    def config_get(self, key):
        return config.get(key)

    def log(self, level, message):
        log.log(_LEVELS[level], message)

    def secret(self, name):
        try:
            return _secrets.get(name)
        except Err as error:
            raise qx_guest.Retry(error.value.value) from None

    def http_send(self, method, url, headers, body, timeout):
        if body is not None:
            body = _http.Body_Text(body) if isinstance(body, str) else _http.Body_Bytes(bytes(body))
        headers = [_http.Header(name, value) for name, value in headers]
        try:
            answer = _http.send(_http.Request(method, url, headers, body, timeout))
        except Err as error:
            kind = type(error.value).__name__.removeprefix("Error_").lower()
            raise HttpError(kind, error.value.value) from None
        return answer.status, [(header.name, header.value) for header in answer.headers], answer.body.value

    def sql_query(self, statement, values):
        return _sql_asked(_sql.query, statement, values)

    def sql_execute(self, statement, values):
        return _sql_asked(_sql.execute, statement, values)


def _sql_asked(call, statement, values):
    try:
        return call(statement, [_sql_value(value) for value in values])
    except Err as error:
        if isinstance(error.value, _sql.Error_Refused):
            refusal = error.value.value
            raise SqlError("refused", refusal.message, refusal.sqlstate) from None
        raise SqlError("limit", error.value.value) from None


def _sql_value(value):
    if value is None:
        return _sql.Value_Null()
    kinds = {bool: _sql.Value_Boolean, int: _sql.Value_Integer, float: _sql.Value_Number, bytes: _sql.Value_Bytes}
    # A subclass, such as an enum of texts, is what it is made of.
    kind = next((kind for base, kind in kinds.items() if isinstance(value, base)), _sql.Value_Text)
    return kind(value)


class _LogHandler(logging.Handler):
    """The module `logging`, into the component's log."""

    def emit(self, record):
        levels = [(logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info")]
        level = next((name for number, name in levels if record.levelno >= number), "debug")
        for line in self.format(record).splitlines():
            qx_guest.log._line(level, line)


def _frames(error):
    """Where it happened, innermost first, without this package."""
    here = os.path.dirname(__file__)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(here)]
    return [f"{frame.name} ({os.path.basename(frame.filename)}:{frame.lineno})" for frame in reversed(own)]


def _unexpected(error):
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    what = lines[-1] if lines else type(error).__name__
    frames = _frames(error)
    for line in lines:
        qx_guest.log.error(line)
    for frame in frames[:_FRAMES_LOGGED]:
        qx_guest.log.error(f"    at {frame}")
    where = " < ".join(frames[:_FRAMES_IN_REASON])
    return f"{what} (at {where})" if where else what


def _retry(reason, after=None):
    milliseconds = None if after is None else max(0, round(after * 1000))
    return Err(types.Failure_Retry(types.Retry(reason, milliseconds)))


@contextlib.contextmanager
def _declining():
    """What a handler raises, as the contract has it."""
    try:
        yield
    except qx_guest.Reject as error:
        raise Err(types.Failure_Reject(str(error))) from None
    except qx_guest.Retry as error:
        if getattr(error, "lasting", False):
            raise Err(types.Failure_Reject(str(error))) from None
        raise _retry(str(error), error.after) from None
    except BaseException as error:  # `sys.exit` in a handler as well.
        if isinstance(error, Err) and isinstance(error.value, (types.Failure_Retry, types.Failure_Reject)):
            raise
        raise _retry(_unexpected(error)) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class Handler:
    def handle(self, event):
        with _declining():
            qx_guest.deliver(
                event.name,
                event.version,
                event.payload,
                id=event.id,
                occurred_at=event.occurred_at,
                attempt=event.attempt,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                tenant_id=event.tenant_id,
                actor_id=event.actor_id,
                traceparent=event.traceparent,
                tracestate=event.tracestate,
            )


def typed(world):
    """The class with the functions that a world of the project's own exports."""

    def declining(function):
        @functools.wraps(function)
        def call(*given):
            with _declining():
                function(*given)

        return call

    for name, function in list(vars(world).items()):
        if callable(function) and not name.startswith("_"):
            setattr(world, name, declining(function))
    return world


def _import_what_functions_import():
    """Only what is imported before the interpreter is frozen is in the component, so
    that an import inside a function is done here once."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if not file.endswith(".py") or file.startswith(("/python", os.path.dirname(__file__))):
            continue
        try:
            with open(file, encoding="utf-8") as source:
                tree = ast.parse(source.read())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in names:
                try:
                    importlib.import_module(name)
                except Exception:  # It fails where it stands, then, or is never reached.
                    pass


routes = None


def seal():
    """Last before the interpreter is frozen."""
    global routes
    _import_what_functions_import()
    qx_guest.host = _Host()
    logging.basicConfig(level=logging.DEBUG, format="%(message)s", handlers=[_LogHandler()])
    # Where the build finds the routes. Put together here, so that the marks stand side
    # by side in no other place of the memory.
    mark = "qx:routes:{}\n".format
    routes = (mark("begin") + qx_guest.routes() + mark("end")).encode()
