// Tells a chat which packages came out, and what became of the protection of branches:
// one message for each event, and `chat.told` when the chat has taken it.
//
// The message is no part of the commit: an event that is handled again sends it again,
// with the same idempotency key, by which the chat can tell.

import { type Event, Reject, config, emit, handler, http, secrets, state } from "qx-guest";

interface Change {
  action: string;
  repository: { full_name: string };
  sender: { login: string };
}

interface RuleChange extends Change {
  rule: { name: string };
  changes?: Record<string, unknown>;
}

interface Published extends Change {
  package: { name: string; package_type: string; package_version: { version: string } };
}

handler("github.package.published", ({ id, payload }: Event<Published>) => {
  const { name, package_type: type, package_version: { version } } = payload.package;
  tell(id, payload.repository.full_name, `${payload.sender.login} published ${name} ${version} (${type})`);
});

handler("github.branch_protection_rule.*", ({ id, payload }: Event<RuleChange>) => {
  const { action, rule, changes = {}, repository, sender } = payload;
  switch (action) {
    case "created":
      return tell(id, repository.full_name, `${sender.login} protected the branch ${rule.name}`);
    case "edited": {
      const what = Object.keys(changes).sort().join(", ");
      return tell(id, repository.full_name, `${sender.login} changed how the branch ${rule.name} is protected: ${what}`);
    }
    case "deleted":
      return tell(id, repository.full_name, `${sender.login} took the protection from the branch ${rule.name}`);
    default:
      throw new Reject(`what is \`${action}\`?`);
  }
});

function tell(eventId: string, repository: string, text: string) {
  const chat = config.get("chat") ?? "https://chat.example.com";
  const channel = config.get("channel") ?? "#general";
  // What `ensureOk` throws is a retry for 429 and 5xx, not before the chat's
  // `retry-after`, and a dead letter for other statuses.
  const { id } = http
    .post(`${chat}/api/messages`, {
      headers: { authorization: `Bearer ${secrets.get("chat_token")}` },
      idempotencyKey: eventId,
      json: { channel, text: `${repository}: ${text}` },
    })
    .ensureOk()
    .json<{ id: string }>();
  const key = `told/${repository}`;
  state.set(key, (state.get<number>(key) ?? 0) + 1);
  emit("chat.told", { repository, message: id });
  console.info(`${channel} knows of it: ${repository}: ${text}`);
}
