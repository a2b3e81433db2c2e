"""Forwards connections on loopback: `python -m streamops.stack.tcp_proxy 9095:9094 9195:9194`.

Each pair is the port to listen on and the one that it leads to. A drill pauses it, and nothing passes while both sides
keep their connections, as when a cable is pulled; or ends it, and every connection ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from streamops.stack.settings import LOOPBACK

#: As much as Kafka's clients send at once.
_CHUNK_BYTES = 64 << 10


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes goes on, its end too. Raises OSError when either side is lost."""
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


async def serve(port: int, target: int) -> asyncio.Server:
    """A server on `port` of loopback that leads each connection to `target`."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(LOOPBACK, target)
        except OSError:  # nobody is there: refused here as well
            writer.close()
            return
        with contextlib.suppress(OSError):
            await asyncio.gather(forward(reader, there_writer), forward(there_reader, writer))
        for each in (writer, there_writer):
            with contextlib.suppress(OSError):
                each.close()
                await each.wait_closed()

    return await asyncio.start_server(connected, LOOPBACK, port)


async def main(pairs: list[str]) -> None:
    """Serve every pair for ever."""
    servers = [await serve(*map(int, pair.split(":"))) for pair in pairs]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
