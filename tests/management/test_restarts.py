"""A worker that dies is replaced with growing delays, a limited number of times."""

from __future__ import annotations

from gateway.management.start.restarts import (
    MAX_DEATHS,
    MAX_DELAY_S,
    STABLE_S,
    WINDOW_S,
    RestartPolicy,
)


def test_the_first_replacement_is_immediate_and_later_ones_are_delayed() -> None:
    policy = RestartPolicy()
    delays = [policy.record_death(0, float(n), lived_s=1.0) for n in range(8)]
    assert delays == [0, 1, 2, 4, 8, 16, MAX_DELAY_S, MAX_DELAY_S]


def test_each_slot_has_its_own_delay() -> None:
    policy = RestartPolicy()
    for n in range(4):
        policy.record_death(0, float(n), lived_s=1.0)
    assert policy.record_death(1, 5.0, lived_s=1.0) == 0


def test_a_long_running_worker_is_replaced_immediately() -> None:
    policy = RestartPolicy()
    for n in range(4):
        policy.record_death(0, float(n), lived_s=1.0)
    assert policy.record_death(0, 100.0, lived_s=STABLE_S) == 0
    assert policy.record_death(0, 101.0, lived_s=1.0) == 0


def test_the_supervisor_gives_up_after_repeated_crashes() -> None:
    policy = RestartPolicy()
    for n in range(MAX_DEATHS - 1):
        policy.record_death(0, float(n), lived_s=1.0)
        assert not policy.gives_up(float(n), oldest_worker_s=0.0)
    policy.record_death(0, 20.0, lived_s=1.0)
    assert policy.gives_up(20.0, oldest_worker_s=0.0)


def test_the_supervisor_continues_while_a_worker_is_stable() -> None:
    policy = RestartPolicy()
    for n in range(3 * MAX_DEATHS):
        policy.record_death(0, float(n), lived_s=1.0)
    assert not policy.gives_up(30.0, oldest_worker_s=STABLE_S)


def test_crashes_spread_over_a_long_time_do_not_end_the_supervisor() -> None:
    policy = RestartPolicy()
    for n in range(3 * MAX_DEATHS):
        now = n * (WINDOW_S + 1) / (MAX_DEATHS - 1)
        policy.record_death(0, now, lived_s=1.0)
        assert not policy.gives_up(now, oldest_worker_s=0.0)
