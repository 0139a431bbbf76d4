/* Throws dice and looks at the clock: one line of JSON for each event. */

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "qx.h"

static int calls = 0;

QX_HANDLER(throw_dice, "dice.thrown") {
  if (!qx_bool_or(event->payload, "fair", true)) qx_need_text(event->payload, "why");
  const char *secret = qx_text_or(event->payload, "secret", NULL);
  if (secret != NULL) qx_secret(secret);
  uint64_t dice[2] = {0, 0};
  if (getentropy(dice, sizeof dice) != 0) return qx_reject("no random numbers");
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return qx_reject("no clock");
  long long ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  calls += 1;
  qx_info("{\"call\": %d, \"dice\": [\"%llx\", \"%llx\"], \"ms\": %lld}", calls, (unsigned long long)dice[0],
          (unsigned long long)dice[1], ms);
  return qx_done();
}
