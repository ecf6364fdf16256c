"""Which class a label means."""

import pytest

from inspection.inputs.labels import meaning


@pytest.mark.parametrize(
    ("label", "classes", "expected"),
    [
        ("1", ["0", "1"], "1"),
        ("1.0", ["0", "1"], "1"),  # a column of whole numbers with a gap
        ("1", ["0.0", "1.0"], "1.0"),
        ("1.0", ["01", "02"], "01"),
        ("1.0", ["1", "1.0"], "1.0"),  # as spelt
        ("1.00", ["1", "1.0"], None),  # either
        ("1.5", ["1", "2"], None),
        ("true", ["False", "True"], "True"),
        ("FALSE", ["False", "True"], "False"),
        ("TRUE", ["True", "true"], None),
        ("true", ["0", "1"], None),
        ("ＮＧ", ["NG", "OK"], "NG"),
        ("e\u0301", ["\u00e9", "o"], "\u00e9"),
        ("deep  scratch", ["deep scratch"], "deep scratch"),
        ("Good", ["good", "NG"], None),
        ("good", ["good", "Good"], "good"),
    ],
)
def test_a_label_means_a_class(label: str, classes: list[str], expected: str | None) -> None:
    found = meaning(label, classes, {})
    assert (found.class_name, found.as_spelt) == (expected, expected is None or label == expected)


def test_a_word_of_the_map_counts_before_a_class_and_may_be_written_otherwise() -> None:
    words = {"1": "scratch", "good": "stain"}
    assert meaning("good", ["good", "scratch", "stain"], words).class_name == "stain"
    assert meaning("1.0", ["good", "scratch", "stain"], words).class_name == "scratch"


@pytest.mark.parametrize(
    ("label", "ends"),
    [
        ("Good", "if it means 'good', add it to the map [defect_log.labels] in fmi.toml: "
         "labels = { 'Good' = 'good' }"),
        ("it's", "if it is the plant's word for one, map it in fmi.toml under [defect_log.labels]; "
         "if it stands for several, register the model with a decision that says so (fmi help decisions)"),
        ("ng", "if it means 'NG' / 'Ng', add it to the map [defect_log.labels] in fmi.toml: "
         "labels = { 'ng' = 'NG' }"),
    ],
)  # fmt: skip
def test_a_label_that_means_none_is_told_the_likely_one(label: str, ends: str) -> None:
    classes = ["good", "NG", "Ng"]
    complaint = meaning(label, classes, {}).complaint("true_label", label, classes)
    assert complaint == f"true_label '{label}' is no class of the model (good, NG, Ng); {ends}"
