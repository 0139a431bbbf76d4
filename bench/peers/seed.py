"""Runs the predecessor, as its packages `qx-events` and `qx-worker` come from PyPI.

    seed.py relay  DATABASE_URL NATS_URL PREFIX BATCH POLL_SECONDS
    seed.py worker NATS_URL STREAM PREFIX CONCURRENCY [says]

Says `ready` once its loop begins, and runs until it is ended. Nothing of the
packages is changed; on Python 3.13 `uuid.uuid7`, which came with 3.14 and is on
no path that is measured, is stood in for by `uuid4`.
"""

import asyncio
import sys
import time
import uuid

if not hasattr(uuid, "uuid7"):
    uuid.uuid7 = uuid.uuid4


async def relay(url, servers, prefix, batch, poll):
    from qx.events import NatsPublisher, NatsSettings, OutboxRelay, create_nats_connection
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url.replace("postgres://", "postgresql+asyncpg://"))
    nats = await create_nats_connection(NatsSettings(servers=[servers]))
    publisher = NatsPublisher(nats, subject_prefix=prefix)
    loop = OutboxRelay(
        engine,
        publisher,
        batch_size=int(batch),
        poll_interval_seconds=float(poll),
        idle_poll_interval_seconds=2.0 if float(poll) == 0.5 else 0.01,
    )
    print("ready", flush=True)
    await loop.run()


async def worker(servers, stream, prefix, concurrency, says=""):
    from qx.cqrs import Mediator
    from qx.di import Container
    from qx.events import EventRegistry, NatsConsumer, NatsSettings, create_nats_connection
    from qx.worker import WorkerRuntime

    event, registry = order(EventRegistry())
    nats = await create_nats_connection(NatsSettings(servers=[servers]))
    consumer = NatsConsumer(
        nats, registry, stream=stream, durable_name="seed", subject_filter=f"{prefix}.bench.order.placed"
    )

    class Nothing:
        async def consume_integration(self, event, *, scope):
            return None

    class Printing:
        async def consume_integration(self, event, *, scope):
            # Read by the bench where it measures latency: when, and which event.
            print("handled", event.event_id, time.time(), flush=True)

    runtime = WorkerRuntime(Container(), consumer, registry, Printing() if says else Nothing(), concurrency=int(concurrency))
    print("ready", flush=True)
    await runtime.run()


def order(registry):
    from typing import ClassVar

    from qx.core import IntegrationEvent

    class Placed(IntegrationEvent):
        event_name: ClassVar[str] = "bench.order.placed"
        event_version: ClassVar[int] = 1
        order: int
        customer: str
        lines: list[dict]
        note: str = ""

    registry.register(Placed)
    return Placed, registry


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    asyncio.run({"relay": relay, "worker": worker}[role](*rest))
