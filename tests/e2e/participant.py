"""A real LiveKit participant for the tests: `participant.py URL TOKEN`.

It connects and prints its events, one JSON object a line. It reads commands from its standard input: `publish` sends
moving video, `try_publish` does so if LiveKit answers in time, `unpublish` ends it, and `leave` disconnects.
"""

import asyncio
import json
import sys

from livekit import rtc

WIDTH, HEIGHT = 320, 240

# Seconds after which a publication counts as refused: LiveKit does not answer one without permission.
MAX_ANSWER_TIME = 10

# Sids of the published tracks.
published = []


def report(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


async def publish(room, max_answer_time):
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("moving", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA)
    try:
        publication = await asyncio.wait_for(room.local_participant.publish_track(track, options), max_answer_time)
    except Exception as error:  # the library has several exception types
        report("refused", error=str(error))
        return
    report("published")
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
            report("frames", count=count)


async def main(url, token):
    room = rtc.Room()
    tasks = set()

    @room.on("track_subscribed")
    def on_track(track, *_):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.add(asyncio.create_task(watch(track)))

    @room.on("disconnected")
    def on_disconnected(*_):
        report("disconnected")

    await room.connect(url, token)
    report("connected")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "publish":
            tasks.add(asyncio.create_task(publish(room, None)))
        elif line.strip() == "try_publish":
            tasks.add(asyncio.create_task(publish(room, MAX_ANSWER_TIME)))
        elif line.strip() == "unpublish":
            await room.local_participant.unpublish_track(published.pop())
            report("unpublished")
        elif line.strip() == "leave":
            break
    await room.disconnect()
    report("left")


asyncio.run(main(*sys.argv[1:]))
