"""Watches the rules that protect branches, and says which of them got weaker,
`branch.weakened`.

Payloads as dataclasses, `logging`, a retry, and standard library that is imported late.
"""

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from qx_guest import Event, Reject, Retry, config, emit, handler, state


@dataclass
class Repository:
    full_name: str


@dataclass
class Rule:
    id: int
    name: str
    required_approving_review_count: int | None = None
    allow_force_pushes_enforcement_level: str = "off"
    required_status_checks: list[str] = field(default_factory=list)


@dataclass
class Change:
    """Of a rule that was created, edited or deleted."""

    action: str
    rule: Rule
    repository: Repository
    changes: dict[str, Any] | None = None


def reviews(rule: Rule) -> int:
    return rule.required_approving_review_count or 0


@handler("github.branch_protection_rule.created")
def note(event: Event[Change]):
    remember(event.payload)
    logging.info("%s of %s is protected", event.payload.rule.name, event.payload.repository.full_name)


@handler("github.branch_protection_rule.edited")
def compare(event: Event[Change]):
    change = event.payload
    before = state.get(f"rule/{change.rule.id}")
    if before is None and event.attempt < 3:
        # Its creation may still be on the way.
        raise Retry(f"nothing is known of rule {change.rule.id} yet", after=0.05)
    wanted = int(config.get("reviews", "1"))
    weaker = []
    if reviews(change.rule) < max(wanted, (before or {}).get("reviews", 0)):
        weaker.append("reviews")
    if (before or {}).get("checks") and not change.rule.required_status_checks:
        weaker.append("checks")
    remember(change)
    if weaker:
        warn(change, weaker)


@handler("github.branch_protection_rule.deleted")
def forget(event: Event[Change]):
    change = event.payload
    if change.rule.name in config.get("untouchable", "").split(","):
        raise Reject(f"nobody may delete the protection of {change.rule.name}")
    state.delete(f"rule/{change.rule.id}")
    warn(change, ["everything"])


def remember(change: Change):
    checks = sorted(change.rule.required_status_checks)
    state.set(f"rule/{change.rule.id}", {"reviews": reviews(change.rule), "checks": checks})


def warn(change: Change, weaker: list[str]):
    from textwrap import shorten  # In the component although it is imported late.

    name = shorten(change.rule.name, 40)
    weakened = {"repository": change.repository.full_name, "branch": name, "weaker": weaker}
    emit("branch.weakened", weakened, key=f"rule/{change.rule.id}", after=timedelta(milliseconds=20))
    print(f"{name} of {change.repository.full_name} is weaker: {', '.join(weaker)}")
