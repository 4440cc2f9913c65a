"""Two workers in one process, with everything that is theirs: what passes between them, and what does not."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from app.engine.operations.looking import Describe
from app.engine.operations.opening import Open
from app.engine.session import Key
from app.engine.task import Task
from app.errors import Draining, Overloaded, SessionNotFound
from app.service import running
from app.settings import Settings
from app.workers.owners import owner
from app.workers.team import joined


@asynccontextmanager
async def team(models, **settings):
    """The services of two workers that are linked."""
    async with AsyncExitStack() as stack:
        services = []
        for worker, end in enumerate(socket.socketpair()):
            chosen = Settings(models=models, store="memory", workers=2, **settings)
            services.append(stack.enter_context(running(chosen)))
            await stack.enter_async_context(joined(worker, {1 - worker: end}, services[-1]))
        yield services


def key_of(worker):
    return next(key for key in (Key("", f"s{i}") for i in range(100)) if owner(key, 2) == worker)


def links(service):
    return service.desk._links


def test_a_session_is_opened_and_found_where_it_belongs(models_dir):
    async def ask():
        async with team(models_dir) as (left, right):
            await left.ask(Open(key_of(1)))
            assert (left.sessions.total, right.sessions.total) == (0, 1)
            assert (await left.ask(Describe(key_of(1)))).session.step == 0

    asyncio.run(ask())


def test_what_has_arrived_is_done_there_and_not_passed_on(models_dir):
    async def ask():
        async with team(models_dir) as (left, right):
            await right.ask(Open(key_of(0)))
            astray = asyncio.get_running_loop().create_future()
            links(left)[1].submit(Task(Describe(key_of(0)), astray.set_result))
            assert isinstance((await astray).error, SessionNotFound)

    asyncio.run(ask())


def test_no_more_than_the_limit_is_under_way_to_another_worker(models_dir):
    async def ask():
        async with team(models_dir, queue_limit=5) as (left, _):
            answers = []
            for _ in range(5):
                left.submit(Describe(key_of(1)), answers.append)
            with pytest.raises(Overloaded, match="5 requests wait for worker 1"):
                left.submit(Describe(key_of(1)), answers.append)
            async with asyncio.timeout(10):
                while len(answers) < 5:  # noqa: ASYNC110 - answers are not announced
                    await asyncio.sleep(0.001)
            left.submit(Describe(key_of(1)), answers.append)

    asyncio.run(ask())


def test_who_waits_for_a_worker_that_is_gone_is_told_and_the_service_gives_up(models_dir):
    async def ask():
        async with team(models_dir) as (left, right):
            waiting = asyncio.ensure_future(left.ask(Describe(key_of(1))))
            await asyncio.sleep(0)
            links(right)[0].channel._transport.abort()
            with pytest.raises(Draining, match="worker 1 is gone"):
                await waiting
            assert left.is_dead
            with pytest.raises(Draining, match="connect again and send it again"):
                await left.ask(Describe(key_of(1)))
            here, there = await left.reports()
            assert here.reasons == ["worker 1 is gone; the service restarts"]
            assert there.reasons == ["it has ended"]

    asyncio.run(ask())


def test_while_it_shuts_down_a_worker_takes_nothing_from_others(models_dir):
    async def ask():
        async with team(models_dir) as (left, right):
            right.is_draining = True
            with pytest.raises(Draining):
                await left.ask(Describe(key_of(1)))

    asyncio.run(ask())


def test_limits_of_the_service_are_shared_among_workers(models_dir):
    async def ask():
        async with team(models_dir, max_sessions=5, max_resident=3) as services:
            for service in services:
                assert (service.sessions.limits.sessions, service.sessions.limits.resident) == (3, 2)

    asyncio.run(ask())
