"""What is said of many things."""

from fmi_engine.errors import some


def test_of_many_names_the_first_are_told_and_how_many_more_there_are() -> None:
    assert some([]) == ""
    assert some(["a", 2]) == "a, 2"
    assert some("abcde") == "a, b, c, d, e"
    assert some("abcdefg") == "a, b, c, d, e and 2 more"
