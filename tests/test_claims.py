"""`make slow` says what each of its tests shows."""

from types import SimpleNamespace

from tests.conftest import pytest_report_collectionfinish


def documented():
    """On every seed.

    What follows the first line is not printed.
    """


def bare():
    pass


def collected(markexpr):
    items = [
        SimpleNamespace(nodeid="tests/test_x.py::test_it_learns[a]", obj=documented),
        SimpleNamespace(nodeid="tests/test_x.py::test_it_learns[b]", obj=documented),
        SimpleNamespace(nodeid="tests/test_x.py::test_it_forgets", obj=bare),
    ]
    return pytest_report_collectionfinish(SimpleNamespace(option=SimpleNamespace(markexpr=markexpr)), items)


def test_slow_tests_are_told_once_by_name_and_docstring():
    told = ["tests/test_x.py: It learns. On every seed. (2 cases)", "tests/test_x.py: It forgets."]
    assert collected("slow") == told
    assert collected("not slow") == []
