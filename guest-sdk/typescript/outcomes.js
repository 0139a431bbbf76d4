// The two ways to decline an event.

export class Retry extends Error {
  constructor(reason, { afterMs, cause } = {}) {
    super(reason, { cause });
    this.name = "Retry";
    this.afterMs = afterMs;
  }
}

export class Reject extends Error {
  constructor(reason, { cause } = {}) {
    super(reason, { cause });
    this.name = "Reject";
  }
}

/** Whether the next attempt would meet the same error. */
export function isLasting(error) {
  return error instanceof Reject || error?.lasting === true;
}
