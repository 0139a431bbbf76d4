// Secrets of the operator. In a module of its own: who does not use them does not
// ask for the right to.
import { theHost } from "./host.js";
import { Retry } from "./outcomes.js";

export const secrets = {
  get(name) {
    const { value, denied } = theHost().secret(String(name));
    // An operator can grant it while the event waits.
    if (denied !== undefined) throw new Retry(denied);
    return value;
  },
};
