// Tells a server of a release, with a secret.
import { config, handler, http, secrets } from "qx-guest";

handler<{ version: string }>("release.published", ({ id, payload }) => {
  const told = http.post(config.get("hook")!, {
    headers: { authorization: `Bearer ${secrets.get("hook_token")}` },
    json: { version: payload.version },
    idempotencyKey: id,
  });
  told.ensureOk();
});
