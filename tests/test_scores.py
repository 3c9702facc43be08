"""What is right, and what would help: checked against answers known beforehand."""

from collections import Counter

import numpy as np
import pytest

from beautynet.classifying.scores import Scores, advice, suspects, twins


def scores(is_: list[int], sure: list[list[float]], **more: bool) -> Scores:
    sure_ = np.array(sure)
    return Scores("abc"[: sure_.shape[1]], np.eye(sure_.shape[1], dtype=bool)[is_], sure_, **more)


def test_known_answers() -> None:
    found = scores([0, 0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.2, 0.8]])
    assert found.accuracy == 0.8
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    a, b = found.by_label
    assert (a.pictures, a.precision, a.recall) == (3, 1.0, pytest.approx(2 / 3))
    assert (b.precision, b.recall) == (pytest.approx(2 / 3), 1.0)
    assert b.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.confusion().tolist() == [[2, 1], [0, 2]]
    assert found.mistakes() == [2]
    assert found.summary()["confusion"] == [[2, 1], [0, 2]]


def test_the_surest_mistake_comes_first() -> None:
    assert scores([0, 0, 0], [[0.4, 0.6], [0.1, 0.9], [0.9, 0.1]]).mistakes() == [1, 0]


def test_it_is_as_sure_as_of_what_it_said() -> None:
    """However little it gave the true label: of three, a toss between the other two is no sure mistake."""
    assert scores([0, 0], [[0.02, 0.5, 0.48], [0.05, 0.95, 0]]).mistakes() == [1, 0]


def test_a_label_that_nothing_has_or_was_given() -> None:
    c = scores([0, 1], [[0.9, 0.1, 0], [0.1, 0.9, 0]]).by_label[2]
    assert (c.pictures, c.precision, c.recall, c.average_precision) == (0, None, None, None)


def test_calibration() -> None:
    honest = scores([0] * 8 + [1] * 2, [[0.8, 0.2]] * 10)
    assert honest.calibration_error == pytest.approx(0)
    boastful = scores([0] * 5 + [1] * 5, [[0.99, 0.01]] * 10)
    assert boastful.calibration_error == pytest.approx(0.49)
    assert honest.calibration == [(pytest.approx(0.8), pytest.approx(0.8), 10)]
    neither = scores([0] * 6 + [1] * 4, [[0.6, 0.4]] * 5 + [[0.8, 0.2]] * 5)  # what is too little makes up for nothing
    assert neither.calibration == [(pytest.approx(0.6), 1, 5), (pytest.approx(0.8), pytest.approx(0.2), 5)]
    assert neither.calibration_error == pytest.approx((0.4 + 0.6) / 2)
    assert scores([0], [[1, 0]]).calibration == [(1, 1, 1)]


def test_several_labels_each_by_its_own_half() -> None:
    truth = np.array([[True, True], [False, False], [True, False]])
    found = Scores("ab", truth, np.array([[0.9, 0.6], [0.2, 0.4], [0.9, 0.7]]), several=True)
    assert found.right.tolist() == [True, True, False]
    assert found.summary()["confusion"] is None


def test_the_curve_runs_from_all_to_none() -> None:
    threshold, precision, recall = scores([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]]).curve(1)
    assert (recall[0], precision[-1]) == (1, 1)
    assert len(threshold) == len(precision) == len(recall) == 3
    assert (np.diff(threshold) > 0).all()
    assert (np.diff(recall) <= 0).all()


def test_a_wrong_label_is_suspected() -> None:
    unseen = scores([0, 0, 1], [[0.97, 0.03], [0.04, 0.96], [0.3, 0.7]])
    (found,) = suspects(["x", "y", "z"], unseen)
    assert (found.name, found.label, found.rather) == ("y", "a", "b")


def test_the_same_picture_with_two_labels() -> None:
    assert twins(["1", "2", "3", "4"], [["a"], ["b"], ["a"], ["a"]], [7, 7, 9, 9]) == [("1", "2")]


def test_advice_says_what_is_missing() -> None:
    unseen = scores([0] * 6 + [1] * 6, [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 6 + [[0.9, 0.1]] * 3)
    said = advice(Counter(a=200, b=6), unseen, suspects("abcdefghijkl", unseen), [("1", "2")])
    assert any("Few pictures of b (6)" in each for each in said)
    assert any("a has 200 pictures and b 6" in each for each in said)
    assert any("a and b are taken for each other (6 of 12)" in each for each in said)
    assert any("1 and 2" in each for each in said)
    assert any("`other`" in each for each in said)
    assert any("may be wrong (6)" in each for each in said)


def test_labels_that_are_hardly_ever_taken_for_each_other() -> None:
    a, b, c = np.eye(3).tolist()
    firm = Counter(a=50, b=50, other=50)
    once, rarely = scores([0, 0, 1, 1], [b, a, b, b]), scores([0] * 20 + [1] * 20, [b] * 2 + [a] * 18 + [b] * 20)
    assert advice(firm, once) == advice(firm, rarely) == []
    often = scores([0] * 6 + [1] * 6 + [2] * 6, [b] * 2 + [a] * 4 + [b] * 6 + [b] * 3 + [c] * 3)
    assert [said[:7] for said in advice(firm, often)] == ["b and c", "a and b"]
    assert advice(firm, often, several=True) == []


def test_a_long_list_is_cut_short() -> None:
    few = Counter({label: count for count, label in enumerate("abcdefg", 1)})
    assert advice(few, None)[0].startswith("Few pictures of a (1), b (2), c (3), d (4), e (5) and 2 more: 20 or more")
    assert "more:" not in advice(Counter({label: 1 for label in "abcde"}), None)[0]


def test_nothing_to_advise() -> None:
    good = scores([0] * 5 + [1] * 5, [[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5)
    assert advice(Counter({"a": 50, "other": 50}), good) == []
