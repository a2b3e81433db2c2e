from __future__ import annotations

import asyncio

from streamops.stack import tcp_proxy
from streamops.stack.settings import LOOPBACK


def test_what_is_said_passes_both_ways_until_one_side_ends() -> None:
    async def talk() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

        there = await asyncio.start_server(echo, LOOPBACK, 0)
        target = there.sockets[0].getsockname()[1]
        proxy = await tcp_proxy.serve(0, target)
        port = proxy.sockets[0].getsockname()[1]
        async with there, proxy:
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(b"a line\n" * 20_000)
            await writer.drain()
            writer.write_eof()
            assert await reader.read(-1) == b"A LINE\n" * 20_000
            writer.close()
            await writer.wait_closed()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    asyncio.run(talk())


def test_a_target_that_is_away_ends_the_connection() -> None:
    async def talk() -> None:
        gone = await asyncio.start_server(lambda *_: None, LOOPBACK, 0)
        target = gone.sockets[0].getsockname()[1]
        gone.close()
        await gone.wait_closed()
        async with await tcp_proxy.serve(0, target) as proxy:
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.sockets[0].getsockname()[1])
            assert await reader.read(-1) == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(talk())
