"""What `reviews` does, in Python: its handlers take the types of `reviews.wit`, which the
build turns into classes."""

import wit_world
from qx_guest import emit, log, state
from wit_world.imports.events import Association, CheckState, ReviewComment, Status
from wit_world.imports.types import Context

NEWCOMERS = (Association.FIRST_TIME_CONTRIBUTOR, Association.FIRST_TIMER)


class WitWorld(wit_world.WitWorld):
    def on_review_comment(self, comment: ReviewComment, context: Context) -> None:
        repository, comment = comment.repository.full_name, comment.comment
        key = f"comments/{repository}/{comment.path}"
        comments = state.get(key, 0) + 1
        state.set(key, comments)
        if comment.author_association in NEWCOMERS:
            newcomer = {"login": comment.user.login, "repository": repository, "event": context.id}
            emit("review.newcomer", newcomer)
        line = "" if comment.line is None else f":{comment.line}"
        log.info(f"{comment.path}{line} has {comments} comments")

    def on_status(self, status: Status) -> None:
        branches = [branch.name for branch in status.branches if branch.protected]
        if status.state in (CheckState.ERROR, CheckState.FAILURE) and branches:
            repository = status.repository.full_name
            emit("build.broken", {"repository": repository, "check": status.context, "branches": branches})
            log.warn(f"{status.context} failed on {', '.join(branches)}")
