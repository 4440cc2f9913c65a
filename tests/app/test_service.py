"""The way to the compute thread and back: whoever leaves before the answer, the others get theirs."""

from __future__ import annotations

import asyncio

import pytest

from app.engine.operations.looking import Describe
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeSteps
from app.service import running
from app.settings import Settings
from tests.conftest import NOON, column, key

CALLERS = 20


@pytest.fixture
def settings(models_dir):
    return Settings(models=models_dir, store="memory")


def test_a_caller_who_is_cancelled_does_not_strand_those_of_the_same_batch(settings, caplog):
    async def scene():
        with running(settings) as service:
            for i in range(CALLERS):
                await service.ask(Open(key(f"s{i}"), model="sum", version="1", start=NOON))
            callers = [asyncio.ensure_future(service.ask(TakeSteps(key(f"s{i}"), column(1)))) for i in range(CALLERS)]
            await asyncio.sleep(0)  # all of them have asked
            for caller in callers[::3]:
                caller.cancel()
            answers = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), 10)
            steps = [(await service.ask(Describe(key(f"s{i}")))).session.step for i in range(CALLERS)]
            return answers, steps

    answers, steps = asyncio.run(scene())
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::3])
    assert all(answer.step == 1 for i, answer in enumerate(answers) if i % 3)
    assert steps == [1] * CALLERS
    assert caplog.text.count("an answer could not be given") == 0


def test_an_answer_that_cannot_be_given_does_not_keep_the_others_from_theirs(settings, caplog):
    async def scene():
        with running(settings) as service:
            for i in range(3):
                await service.ask(Open(key(f"s{i}"), model="sum", version="1", start=NOON))
            answered = asyncio.get_running_loop().create_future()
            service.submit(TakeSteps(key("s0"), column(1)), lambda _: 1 / 0)
            service.submit(TakeSteps(key("s1"), column(1)), answered.set_result)
            task = await asyncio.wait_for(answered, 10)
            return task.reply.step, (await service.ask(TakeSteps(key("s0"), column(2)))).step

    assert asyncio.run(scene()) == (1, 2)
    assert "an answer could not be given" in caplog.text
