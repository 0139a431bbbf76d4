// What `reviews` does, in TypeScript: its handlers are functions of the module, which take
// the types of `reviews.wit`. What is named with hyphens there is named in camelCase here.
import { emit, log, state } from "qx-guest";

import type { Association, Context, ReviewComment, Status } from "../target/qx/world.js";

const NEWCOMERS: Association[] = ["first-time-contributor", "first-timer"];

export function onReviewComment({ comment, repository }: ReviewComment, context: Context): void {
  const key = `comments/${repository.fullName}/${comment.path}`;
  const comments = (state.get<number>(key) ?? 0) + 1;
  state.set(key, comments);
  if (NEWCOMERS.includes(comment.authorAssociation)) {
    emit("review.newcomer", { login: comment.user.login, repository: repository.fullName, event: context.id });
  }
  const line = comment.line === null ? "" : `:${comment.line}`;
  log.info(`${comment.path}${line} has ${comments} comments`);
}

export function onStatus({ context, state, branches, repository }: Status): void {
  const main = branches.filter((branch) => branch.protected).map((branch) => branch.name);
  if ((state !== "error" && state !== "failure") || main.length === 0) return;
  emit("build.broken", { repository: repository.fullName, check: context, branches: main });
  log.warn(`${context} failed on ${main.join(", ")}`);
}
