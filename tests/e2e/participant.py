"""A real LiveKit participant for the tests: `participant.py URL TOKEN`.

It connects and says what happens, a JSON object a line. On its standard input it takes `publish`, which sends moving
video, `unpublish`, which ends that, and `leave`.
"""

import asyncio
import json
import sys

from livekit import rtc

WIDTH, HEIGHT = 320, 240

# The sids of the tracks that are published now.
published = []


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


async def publish(room):
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("moving", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
    try:
        publication = await asyncio.wait_for(room.local_participant.publish_track(track, options), 10)
    except Exception as error:  # whatever the library calls it
        say("refused", error=str(error))
        return
    say("published")
    published.append(publication.sid)
    shade = 0
    while published:
        shade = (shade + 8) % 256
        frame = bytes([shade, 128, 255 - shade, 255]) * (WIDTH * HEIGHT)
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, frame))
        await asyncio.sleep(0.05)


async def watch(track):
    count = 0
    async for _ in rtc.VideoStream(track):
        count += 1
        if count in (1, 20):
            say("frames", count=count)


async def main(url, token):
    room = rtc.Room()
    tasks = set()

    @room.on("track_subscribed")
    def on_track(track, *_):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.add(asyncio.create_task(watch(track)))

    @room.on("disconnected")
    def on_disconnected(*_):
        say("disconnected")

    await room.connect(url, token)
    say("connected")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "publish":
            tasks.add(asyncio.create_task(publish(room)))
        elif line.strip() == "unpublish":
            await room.local_participant.unpublish_track(published.pop())
            say("unpublished")
        elif line.strip() == "leave":
            break
    await room.disconnect()
    say("left")


asyncio.run(main(*sys.argv[1:]))
