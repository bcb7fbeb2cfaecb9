"""A WHIP client (RFC 9725) for the tests, as an encoder is one: `whip.py URL TOKEN`.

It sends moving video and silence to the endpoint until it reads `leave` from its standard input, which deletes the
session. It prints its events, one JSON object a line: `refused`, `published`, `disconnected` and `left`.
"""

import asyncio
import json
import sys
from urllib.parse import urljoin

import aiohttp
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame

WIDTH, HEIGHT = 320, 240


def report(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class MovingVideo(VideoStreamTrack):
    shade = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        self.shade = (self.shade + 8) % 256
        frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, shade in zip(frame.planes, (self.shade, 128, 255 - self.shade)):
            plane.update(bytes([shade]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, time_base
        return frame


async def start_session(session, url, connection, token):
    """Sends the offer and returns the URL of the session."""
    await connection.setLocalDescription(await connection.createOffer())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    async with session.post(url, data=connection.localDescription.sdp, headers=headers) as response:
        answer = await response.text()
        if response.status != 201:
            report("refused", status=response.status)
            return None
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return urljoin(url, response.headers["Location"])


async def main(url, token):
    connection = RTCPeerConnection()

    @connection.on("connectionstatechange")
    def on_change():
        if connection.connectionState == "connected":
            report("published")
        elif connection.connectionState in ("closed", "failed"):
            report("disconnected")

    connection.addTransceiver(MovingVideo(), direction="sendonly")
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    async with aiohttp.ClientSession() as session:
        if location := await start_session(session, url, connection, token):
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            async with session.delete(location, headers={"Authorization": f"Bearer {token}"}) as response:
                report("left", status=response.status)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
