"""What was made of the last few things."""

from vidswap.swap.latest import FEW, Latest


def test_a_thing_is_made_once_while_it_is_among_the_last():
    made, latest = [], Latest()
    things = [[k] for k in range(FEW + 1)]

    def make(thing):
        made.append(thing)
        return len(made)

    assert [latest.of(thing, make) for thing in (*things[:FEW], *things[:FEW])] == [1, 2, 3, 4] * 2
    assert latest.of([0], make) == FEW + 1, "equal, and another"
    assert latest.of(things[0], make) == FEW + 2, "the eldest is gone"
