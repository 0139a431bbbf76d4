// In a component whose handlers use `secrets`.
import * as hostSecrets from "qx:events/secrets@1.0.0";

import { addHost } from "./host.js";

addHost({
  secret(name) {
    try {
      return { value: hostSecrets.get(name) };
    } catch (error) {
      return { denied: error?.payload?.val ?? String(error) };
    }
  },
});
