// In a component whose handlers use `http`.
import * as hostHttp from "qx:events/http@1.0.0";

import { addHost } from "./host.js";

addHost({
  httpSend({ method, url, headers, body, timeoutMs }) {
    const tagged =
      body === undefined ? undefined : typeof body === "string" ? { tag: "text", val: body } : { tag: "bytes", val: body };
    const timeout = timeoutMs === undefined ? undefined : Math.max(1, Math.round(timeoutMs));
    try {
      const answer = hostHttp.send({ method, url, headers, body: tagged, timeout });
      return { status: answer.status, headers: answer.headers, body: answer.body.val };
    } catch (error) {
      const { tag, val } = error?.payload ?? {};
      return { error: { kind: tag ?? "protocol", message: val ?? String(error) } };
    }
  },
});
