import pytest

from seq2x.metrics import METRICS, evaluate_pairs, fit


def test_labels_count_place_by_place():
    found = evaluate_pairs("accuracy", ["A B C", "A"], ["A X C", "A"], samples=0)
    assert found.value == pytest.approx(75.0) and found.better == "higher"


def test_too_many_and_too_few_are_wrong():
    accuracy = METRICS["accuracy"]()
    assert accuracy.count("A B", ["A"]).tolist() == [1, 2]
    assert accuracy.count("A", ["A B"]).tolist() == [1, 2]
    assert accuracy.count("", [""]).tolist() == [0, 0] and accuracy.score(accuracy.count("", [""])) == 0.0


def test_the_best_of_several_references_counts_and_forms_do_not():
    accuracy = METRICS["accuracy"]()
    assert accuracy.count("A B", ["X X", "A X", "A B"]).tolist() == [2, 2]
    assert accuracy.count("e\u0301  B", ["\u00e9 B"]).tolist() == [2, 2]


def test_it_is_what_fits_a_tagger():
    assert fit(["a b"], [["X Y"]], "tag").metrics == ("accuracy", "exact_match")
    assert fit(["a b"], [["X Y"]]).metrics[0] != "accuracy"
