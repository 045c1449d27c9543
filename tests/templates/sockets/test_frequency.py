"""So many in each second, and a second begins with what comes after the last one."""

from __future__ import annotations

from apps.templates.sockets.frequency import Frequency


def test_as_many_as_have_room():
    frequency = Frequency(2)
    assert [frequency.has_room(at_s) for at_s in (10.0, 10.5, 10.9)] == [True, True, False]


def test_a_new_second_has_room_again():
    frequency = Frequency(1)
    assert [frequency.has_room(at_s) for at_s in (10.0, 10.9, 11.0, 11.5, 12.0)] == [True, False, True, False, True]


def test_what_found_no_room_does_not_put_off_the_next_second():
    frequency = Frequency(1)
    for tenth in range(10):
        assert frequency.has_room(10.0 + tenth / 10) is (tenth == 0)
    assert frequency.has_room(11.0)
