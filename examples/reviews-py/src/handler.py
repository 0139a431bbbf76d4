"""What `reviews` does, in Python: its handlers take the types of `reviews.wit`, which the
build turns into classes."""

import json

import wit_world
from wit_world.imports import emit, log, state
from wit_world.imports.events import Association, CheckState, ReviewComment, Status
from wit_world.imports.types import Context

NEWCOMERS = (Association.FIRST_TIME_CONTRIBUTOR, Association.FIRST_TIMER)


class WitWorld(wit_world.WitWorld):
    def on_review_comment(self, comment: ReviewComment, context: Context) -> None:
        repository, comment = comment.repository.full_name, comment.comment
        key = f"comments/{repository}/{comment.path}"
        comments = int(state.get(key) or 0) + 1
        state.set(key, str(comments))
        if comment.author_association in NEWCOMERS:
            tell("review.newcomer", login=comment.user.login, repository=repository, event=context.id)
        line = "" if comment.line is None else f":{comment.line}"
        log.log(log.Level.INFO, f"{comment.path}{line} has {comments} comments")

    def on_status(self, status: Status) -> None:
        branches = [branch.name for branch in status.branches if branch.protected]
        if status.state in (CheckState.ERROR, CheckState.FAILURE) and branches:
            repository = status.repository.full_name
            tell("build.broken", repository=repository, check=status.context, branches=branches)
            log.log(log.Level.WARN, f"{status.context} failed on {', '.join(branches)}")


def tell(name: str, **payload) -> None:
    emit.emit(emit.NewEvent(name, 1, json.dumps(payload), None, None))
