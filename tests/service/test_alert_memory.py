"""What the alerting example's rule has learned is kept, and counts for the session that it was learned from."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.service.alerts import EXPECTED, STRANGE, hours, step, table, told, watching

BETWEEN = 374  # rows, so that the first strange one is among them and the second is not
TRUSTED = 300


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "rules.json"


def watched(server, name, rows, *options) -> list[str]:
    """The times of the alarms in these rows."""
    with watching(server.port, "--session", name, *options) as process:
        return told(process, table(rows))


def learned(memory, name) -> dict[str, float]:
    """What is kept of a session's rule, without the session that it is of."""
    return {part: value for part, value in json.loads(memory.read_text())[name].items() if part != "incarnation"}


def test_a_program_started_again_judges_as_one_that_was_never_stopped(metro, name, traffic, memory):
    whole = watched(metro, f"{name}-whole", traffic, "--memory", memory)
    parts = [watched(metro, name, rows, "--memory", memory) for rows in (traffic[:BETWEEN], traffic)]
    assert parts[0][-1:] == [EXPECTED]
    assert [*parts[0], *parts[1]] == whole
    assert learned(memory, name) == learned(memory, f"{name}-whole")
    assert learned(memory, name)["count"] > TRUSTED + 900


def test_without_a_memory_the_rule_learns_anew(metro, name, traffic):
    watched(metro, name, traffic[:BETWEEN])
    (second,) = (moment for moment in STRANGE if not EXPECTED.startswith(moment.replace(" ", "T")))
    assert f"{second.replace(' ', 'T')}:00Z" in watched(metro, name, traffic)


def test_an_alarm_is_remembered_whatever_happens_after_it(metro, name, traffic, memory):
    with watching(metro.port, "--session", name, "--memory", memory) as process:
        process.stdin.write(table(traffic[: BETWEEN - 1]))
        process.stdin.flush()
        assert any(EXPECTED in line for line in process.stdout)
        until(lambda: learned(memory, name)["silent_until"] > 1_526_475_600)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert not [alarm for alarm in watched(metro, name, traffic, "--memory", memory) if alarm[:10] == EXPECTED[:10]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_the_program_has_everything_kept_and_no_traceback(metro, name, traffic, memory, number):
    rows = traffic[:200]
    with watching(metro.port, "--session", name, "--memory", memory) as process:
        process.stdin.write(table(rows))
        process.stdin.flush()
        until(lambda: step(metro, name) == hours(rows))
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    with watching(metro.port, "--session", f"{name}-whole", "--memory", memory) as process:
        told(process, table(rows))
    kept, whole = learned(memory, name), learned(memory, f"{name}-whole")
    assert whole["count"] - kept["count"] in {0, 1}  # the last answer may not have been read


def test_what_is_learned_is_kept_every_second(metro, name, traffic, memory):
    with watching(metro.port, "--session", name, "--memory", memory) as process:
        process.stdin.write(table(traffic[:50]))
        process.stdin.flush()
        until(lambda: step(metro, name) == hours(traffic[:50]))
        time.sleep(1.1)
        process.stdin.write("\n".join(",".join(row) for row in traffic[50:60]) + "\n")
        process.stdin.flush()
        until(lambda: memory.exists() and learned(memory, name)["count"] > TRUSTED + 30)


def test_a_session_that_begins_anew_is_learned_anew(metro, name, traffic, memory):
    found = []
    for _ in range(2):
        watched(metro, name, traffic[:300], "--memory", memory)
        found.append(learned(memory, name))
        metro.http.delete(f"/v1/sessions/{name}").raise_for_status()
    assert found[0] == found[1]


def test_the_user_s_choices_are_not_remembered(metro, name, traffic, memory):
    assert watched(metro, name, traffic[: BETWEEN - 2], "--memory", memory, "--strength", "1000") == []
    assert EXPECTED in watched(metro, name, traffic, "--memory", memory)


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {}}', '{"a": {"incarnation": "b", "sum": 1}}'])
def test_a_file_that_is_no_memory_is_refused(metro, name, memory, text):
    memory.write_text(text)
    with watching(metro.port, "--session", name, "--memory", memory) as process:
        _, errors = process.communicate(table([("0", "1")]), timeout=30)
    assert f"{memory} is no memory of this program" in errors
    assert errors.count("\n") == 1
    assert process.returncode == 1
    assert memory.read_text() == text


def test_a_memory_that_cannot_be_written_is_told_and_stops_nothing(metro, name, traffic, tmp_path):
    with watching(metro.port, "--session", name, "--memory", tmp_path / "nowhere" / "rules.json") as process:
        output, errors = process.communicate(table(traffic[:BETWEEN]), timeout=90)
    assert EXPECTED in output
    assert "what was learned is not kept: " in errors
    assert process.returncode == 0


def until(is_so) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
