"""A LiveKit participant that comes again and again with one token: `visits.py URL TOKEN VISITS [again]`.

It connects and prints `{"event": "connected"}`. When it is out it prints `{"event": "out", "at": …}`, in milliseconds
since 1970. It leaves this out with `again`. Then it makes VISITS visits and prints `{"event": "visit", "stay": …}` for each: the milliseconds from its
connection to its end, or null if LiveKit ended the connection before it was complete.
"""

import asyncio
import json
import sys
import time

from livekit import rtc

# A participant that nobody puts out stays this long, in seconds.
MAX_STAY = 30


def report(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def now():
    return time.time() * 1000


async def connect(url, token):
    """Connects; returns the time of the connection and a future of the time of its end."""
    room = rtc.Room()
    end = asyncio.get_running_loop().create_future()

    @room.on("disconnected")
    def on_disconnected(*_):
        if not end.done():
            end.set_result(now())

    await room.connect(url, token)
    return now(), asyncio.wait_for(end, MAX_STAY)


async def main(url, token, visits, is_out):
    if not is_out:
        _, end = await connect(url, token)
        report("connected")
        report("out", at=await end)
    for _ in range(visits):
        try:
            start, end = await connect(url, token)
        except Exception:  # the library has several exception types
            report("visit", stay=None)
        else:
            report("visit", stay=max(await end - start, 0))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:] == ["again"]))
