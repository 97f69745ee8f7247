"""A real worker. SIGUSR1 ends its poll loops, and the process lives on."""

import argparse
import asyncio
import os
import signal
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


# Without the sandbox, which would load this file again.
@workflow.defn(sandboxed=False)
class Napping:
    @workflow.run
    async def run(self, seconds: float) -> None:
        await workflow.execute_activity(
            nap, seconds, start_to_close_timeout=timedelta(seconds=seconds + 60)
        )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("queue")
    parser.add_argument("--nap", type=float, help="fill the one slot for activities, this many seconds long")
    options = parser.parse_args()

    client = await Client.connect(options.address)
    worker = Worker(
        client,
        task_queue=options.queue,
        workflows=[Napping],
        activities=[nap],
        max_concurrent_activities=1,
    )
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, enough.set)
    async with worker:
        print("Worker ready, polling for tasks, pid", os.getpid(), flush=True)
        if options.nap:
            await client.start_workflow(
                Napping.run, options.nap, id=f"nap-{os.getpid()}", task_queue=options.queue
            )
        await enough.wait()
    print("the poll loops have ended", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
