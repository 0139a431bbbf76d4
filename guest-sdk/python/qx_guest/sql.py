"""SQL in the host's PostgreSQL, as a role that the component is granted.

    from qx_guest import sql

    sql.execute("INSERT INTO seen (event_id) VALUES ($1)", [event.id])
    row = sql.query_one("SELECT sum(stars)::bigint AS stars FROM stars")

Parameters stand for `$1`, `$2`. All statements of a call are one transaction, which
sees what it did before and commits with state and emitted events, or not at all.

In a module of its own: who does not import it does not ask for the right to.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from json import loads
from typing import Any, Literal, Sequence
from uuid import UUID

import qx_guest

_INTEGERS = range(-(2**63), 2**63)
"""What the contract takes as a whole number; others go as text, which is as exact."""


class SqlError(qx_guest.Retry):
    """A statement was not done. Nothing of it is kept, what was done before is, and the
    handler may catch it and go on.

    Nobody catches it: `limit` rejects the event, `refused` is tried again.
    """

    def __init__(self, kind: Literal["refused", "limit"], message: str, sqlstate: str | None = None):
        super().__init__(f"sql: {message}" if sqlstate is None else f"sql: {message} ({sqlstate})")
        self.kind = kind
        self.sqlstate = sqlstate
        """Five characters to go by, of what the database refused."""
        self.lasting = kind == "limit"

    @property
    def is_duplicate(self) -> bool:
        """Whether a key that must be unique is there already: `23505`."""
        return self.sqlstate == "23505"


def _value(given: Any, position: int) -> Any:
    if given is None or isinstance(given, (bool, float, str, bytes)):
        return given
    if isinstance(given, int):
        return given if given in _INTEGERS else str(given)
    if isinstance(given, (bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, (datetime, date, time)):
        return given.isoformat()
    if isinstance(given, (Decimal, UUID)):
        return str(given)
    raise qx_guest.Reject(f"sql: parameter ${position} is no value of SQL; JSON is a text, made with json.dumps")


def _values(parameters: Sequence[Any]) -> list[Any]:
    if isinstance(parameters, (str, bytes)):
        raise qx_guest.Reject("sql: parameters are a list, also when there is one")
    return [_value(given, position) for position, given in enumerate(parameters, 1)]


def query(statement: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of one statement, each with a member for each column."""
    return [loads(row) for row in qx_guest._host().sql_query(statement, _values(parameters))]


def query_one(statement: str, parameters: Sequence[Any] = ()) -> dict[str, Any] | None:
    """The first row, if there is one."""
    return next(iter(query(statement, parameters)), None)


def execute(statement: str, parameters: Sequence[Any] = ()) -> int:
    """Runs one statement. How many rows it changed."""
    return qx_guest._host().sql_execute(statement, _values(parameters))
