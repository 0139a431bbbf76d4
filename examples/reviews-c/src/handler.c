/* What `reviews` does, in C: its handlers are the functions that `reviews.wit` exports,
 * with the names and the types that the build gives them in C.
 */
#include "qx_typed.h"

static bool is_newcomer(examples_reviews_events_association_t association) {
  return association == EXAMPLES_REVIEWS_EVENTS_ASSOCIATION_FIRST_TIME_CONTRIBUTOR ||
         association == EXAMPLES_REVIEWS_EVENTS_ASSOCIATION_FIRST_TIMER;
}

static qx_outcome commented(const examples_reviews_events_review_comment_t *review, const char *event) {
  const char *repository = qx_text_of(review->repository.full_name);
  const char *path = qx_text_of(review->comment.path);
  const char *key = qx_format("comments/%s/%s", repository, path);
  int64_t comments = qx_state_get_int(key, 0) + 1;
  qx_state_set_int(key, comments);
  if (is_newcomer(review->comment.author_association)) {
    const char *login = qx_text_of(review->comment.user.login);
    qx_emit("review.newcomer", "{\"login\": %j, \"repository\": %j, \"event\": %j}", login, repository, event);
  }
  const char *line = review->comment.line.is_some ? qx_format(":%u", review->comment.line.val) : "";
  qx_info("%s%s has %lld comments", path, line, (long long)comments);
  return qx_done();
}

static qx_outcome checked(const examples_reviews_events_status_t *status) {
  const char *repository = qx_text_of(status->repository.full_name), *check = qx_text_of(status->context);
  bool failed = status->state == EXAMPLES_REVIEWS_EVENTS_CHECK_STATE_ERROR ||
                status->state == EXAMPLES_REVIEWS_EVENTS_CHECK_STATE_FAILURE;
  const char *names = NULL, *quoted = "";
  for (size_t i = 0; i < status->branches.len; i++) {
    if (!status->branches.ptr[i].protected_) continue;
    const char *name = qx_text_of(status->branches.ptr[i].name);
    quoted = qx_format("%s%s%j", quoted, names == NULL ? "" : ", ", name);
    names = names == NULL ? name : qx_format("%s, %s", names, name);
  }
  if (!failed || names == NULL) return qx_done();
  qx_emit("build.broken", "{\"repository\": %j, \"check\": %j, \"branches\": [%s]}", repository, check, quoted);
  qx_warn("%s failed on %s", check, names);
  return qx_done();
}

bool exports_component_on_review_comment(component_review_comment_t *review, component_context_t *context,
                                         component_failure_t *failure) {
  return qx_answer(commented(review, qx_text_of(context->id)), failure);
}

bool exports_component_on_status(component_status_t *status, component_failure_t *failure) {
  return qx_answer(checked(status), failure);
}
