"""Throws dice and looks at the clock: one line of JSON for each event."""

import json
import os
import random
import time
import uuid

from qx_guest import handler

_calls = 0


@handler("dice.thrown")
def throw(event):
    global _calls
    _calls += 1
    dice = [str(random.random()), str(uuid.uuid4()), os.urandom(8).hex()]
    print(json.dumps({"call": _calls, "dice": dice, "ms": int(time.time() * 1000)}))
