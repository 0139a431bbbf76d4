"""Runs faststream-outbox, as it comes from PyPI.

    outbox.py schema DATABASE_URL
    outbox.py relay  DATABASE_URL WORKERS FETCH FLUSH NATS_URL STREAM SUBJECT
    outbox.py handle DATABASE_URL WORKERS FETCH FLUSH

`schema` makes its table, with the settings of autovacuum that it advises. `relay`
is the relay of its documentation, to a stream of NATS; `handle` takes the rows
where they are and does nothing with them. Both say `ready` before they begin, and
end, gracefully, once their standard input does; `handle` says `ran ROWS` whenever
that has changed.
"""

import asyncio
import sys

from faststream.nats import JStream, NatsBroker
from faststream_outbox import OutboxBroker, make_outbox_table, outbox_autovacuum_ddl
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

QUEUE = "orders"
SAY_EVERY_SECONDS = 0.01

METADATA = MetaData()
TABLE = make_outbox_table(METADATA, table_name="outbox")


def connect(url, connections=5):
    # One for each worker and one that fetches; a few are left for the rest.
    return create_async_engine(url.replace("postgres://", "postgresql+asyncpg://"), pool_size=connections)


def broker(url, workers, fetch, flush):
    workers = int(workers)
    outbox = OutboxBroker(connect(url, workers + 5), outbox_table=TABLE, logger=None)
    subscriber = outbox.subscriber(
        QUEUE,
        max_workers=workers,
        fetch_batch_size=int(fetch),
        terminal_flush_batch_size=int(flush),
        min_fetch_interval=0.01,
        max_fetch_interval=1.0,
        # What a producer wrote beside the event goes with it: the id of the message.
        propagate_inbound_headers=True,
    )
    return outbox, subscriber


async def until_told(outbox, said=None):
    print("ready", flush=True)
    await outbox.start()
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    while not told.done():
        if said:
            said()
        await asyncio.wait([told], timeout=SAY_EVERY_SECONDS if said else None)
    await outbox.stop()
    if said:
        said()


async def schema(url):
    engine = connect(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(text(outbox_autovacuum_ddl("outbox")))
    await engine.dispose()


async def relay(url, workers, fetch, flush, servers, stream, subject):
    outbox, subscriber = broker(url, workers, fetch, flush)
    nats = NatsBroker(servers, logger=None)
    publisher = nats.publisher(subject, stream=JStream(stream, declare=False))

    @publisher
    @subscriber
    async def moved(body: dict) -> dict:
        return body

    await nats.start()
    await until_told(outbox)
    await nats.stop()


async def handle(url, workers, fetch, flush):
    outbox, subscriber = broker(url, workers, fetch, flush)
    rows = told = 0

    @subscriber
    async def nothing(body: dict) -> None:
        nonlocal rows
        rows += 1

    def said():
        nonlocal told
        if rows != told:
            told = rows
            print("ran", rows, flush=True)

    await until_told(outbox, said)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    asyncio.run({"schema": schema, "relay": relay, "handle": handle}[role](*rest))
