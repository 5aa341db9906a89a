"""How long do the parts of a process get to end?"""

from services.cli.run import LAST_S, Ending


async def test_all_parts_share_one_deadline_and_the_last_get_a_moment() -> None:
    ending = Ending()
    first, second = ending.left_s(10.0), ending.left_s(10.0)
    assert first == 10.0
    assert LAST_S < second <= first
    late = Ending()
    assert late.left_s(0.1) == late.left_s(0.1) == LAST_S
