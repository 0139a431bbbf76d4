// Throws dice and looks at the clock: one line of JSON for each event.
import { handler } from "qx-guest";

let calls = 0;

handler("dice.thrown", () => {
  calls += 1;
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(8)));
  const dice = [String(Math.random()), crypto.randomUUID(), bytes.join("-")];
  console.log(JSON.stringify({ call: calls, dice, ms: Date.now() }));
});
