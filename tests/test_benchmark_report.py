"""What the benchmark makes of its measurements; the measuring itself is `make bench`."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmark import report


def line(name: str, *, less: bool = False, **samples: list[float]) -> report.Line:
    return report.Line(name, "/s", "≥ .60x", less, samples)


def test_a_ratio_is_the_median_of_each_repetition_s_own() -> None:
    made = line("propose", lean=[100.0, 400.0, 100.0], synapsor=[50.0, 100.0, 60.0])
    assert made.medians == {"lean": 100.0, "synapsor": 60.0}
    assert made.ratios["synapsor"] == 0.5


def test_who_is_measured_once_has_the_ratio_of_the_first_repetition() -> None:
    made = line("propose", lean=[100.0, 400.0, 100.0], synapsor=[50.0, 100.0, 60.0], peer=[20.0])
    assert made.ratios["peer"] == 0.2


def test_the_table_shows_who_has_nothing_like_it() -> None:
    first = line("propose", lean=[100.0], synapsor=[50.0], peer=[25.0])
    second = line("approval", lean=[100.0], synapsor=[50.0])
    head, propose, approval = report.table([first, second]).splitlines()
    assert head.split() == ["lean", "synapsor", "peer", "target", "measured"]
    assert "50 0.50x" in propose
    assert "25 0.25x" in propose
    assert approval.split()[4] == "-"


def test_a_fifth_below_the_recorded_ratio_is_a_regression_and_less_is_not() -> None:
    now = [
        line("rate", lean=[100.0], synapsor=[40.0]),
        line("bytes", less=True, lean=[100.0], synapsor=[250.0]),
        line("new", lean=[100.0], synapsor=[1.0]),
    ]
    assert report.regressions(now, {"rate": 0.49, "bytes": 2.1}) == {}
    assert report.regressions(now, {"rate": 0.51}) == {"rate": "rate: 0.40x, recorded 0.51x"}
    assert report.regressions(now, {"bytes": 1.9}) == {"bytes": "bytes: 2.50x, recorded 1.90x"}
    assert report.regressions(now, {"rate": 0.2, "bytes": 9.0}) == {}


def test_a_bar_beyond_the_end_of_the_axis_says_so() -> None:
    assert "→ 4.00" in report.chart([line("rate", lean=[100.0], synapsor=[400.0])], "")


def test_the_chart_is_a_document_and_turns_what_is_better_small() -> None:
    text = report.chart(
        [line("bytes & rows", less=True, lean=[100.0], synapsor=[200.0])], "ratio <lean>"
    )
    texts = [each.text for each in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "bytes & rows (lean ÷ it)" in texts
    assert "0.50" in texts
