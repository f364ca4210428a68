"""A report stands alone, says what happened, survives what is missing, and lets nothing of the run become markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
import yaml

from sparring.report import ahead, compare, write, write_comparison
from sparring.report_page import duration, measured, number, short
from sparring.report_parts import SHEETS, evenly
from sparring.report_read import ALIKE, Measure, latest, lines, read, series_of
from sparring.show import show
from sparring.spaces import Image, Tokens

VOID = {"meta", "img", "input", "br", "hr", "link"}


class Reader(HTMLParser):
    """What is in a page: its tags with attributes, its text, and whether every tag is closed."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(page)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def stands_alone(path: Path) -> Reader:
    page = path.read_text()
    reader = Reader(page)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert not (tag == "script" and "src" in attributes)
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "srcset", "xlink:href"):
                assert value.startswith(("data:image/", "#")), value[:60]
    assert not re.search(r"url\((?!#)|@import|https?://", page)
    return reader


def rows(file: Path, given: list, rest: str = "") -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in given) + rest)


def evaluation(seen: int, **more) -> dict:
    t = seen / 20_000
    return {
        "seen": seen, "data": "faces", "split": "heldout", "n_real": 5000, "n_fake": 4000,
        "metrics": {"fid": {"value": 60 - 48 * t, "se": 0.61, "better": "lower"},
                    "recall": {"value": 0.6 * t, "se": 0.012, "better": "higher"}},
        "truth": {"valid": 0.931 * t, "hair_tv": 0.5 - 0.4 * t},
        "ceiling": {"fid": {"value": 2.9, "se": 0.1}, "valid": {"value": 0.996}},
        "extractor": "random-convolutions", "player": "average", **more,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of faces as training leaves it, with a last line that is only half written."""
    run = tmp_path / "first"
    (run / "samples").mkdir(parents=True)
    recipe = {
        "format": 1,
        "data": "faces",
        "loss": "relativistic",
        "r1": 0.2,
        "clip": None,
        "lr": {"G": 2e-4},
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    stats = [
        {"seen": s, "seconds": s / 40, "score/real": 1.0, "score/fake": -1.0, "score/heldout": None, "D/loss": 0.5,
         "G/loss": 1.0, "penalty/r1": 100 / s, "D/lr": 2e-4, "images_per_second": 40.0, "spread": s / 20_000}
        for s in range(500, 20_001, 500)
    ]  # fmt: skip
    rows(run / "stats.jsonl", stats, rest='{"seen": 205')
    rows(run / "evaluations.jsonl", [evaluation(s) for s in (5_000, 10_000, 20_000)])
    rows(run / "findings.jsonl", [{"name": "collapse", "since": 12_000, "evidence": "spread .2", "advice": "raise r1"}])
    card = {
        "data": {"source": "faces", "train": 50_000, "heldout": 5000, "problems": ["a.png: broken", "b.gif: blank"]},
        "spec": {"x": {"space": "Image", "channels": 3, "size": 8}, "c": None},
        "versions": {"torch": "2.13.0"}, "hardware": {"cores": 2}, "parameters": {"G": 1_203_971}, "seconds": 503.0,
    }  # fmt: skip
    (run / "card.json").write_text(json.dumps(card))
    for seen in (0, 10_000, 20_000):
        show(Image(3, 8), torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8), run / "samples" / f"{seen:08d}")
    return run


def test_a_report_stands_alone_and_says_what_happened(run):
    before = {p.name for p in run.iterdir()}
    path = write(run)
    assert path == run / "report.html"
    assert {p.name for p in run.iterdir()} == before | {"report.html"}

    page = stands_alone(path)
    for said in (
        "faces, 8 × 8", "20,000 samples", "8 min 23 s", "93.1 %", "of real ones, 99.6 %", "12.00 ± 0.61", "2.90 ± 0.10",
        "4,000 generated against 5,000 real", "collapse", "since 12k samples", "spread .2", "raise r1", "relativistic",
        "lr.G", "0.0002", "a.png: broken", "50,000", "2.13.0", "1,203,971", "Scores", "Penalties", "Learning rates",
    ):  # fmt: skip
        assert said in page.text, said
    images = [a for tag, a in page.tags if tag == "img"]
    assert len(images) == 3 + 1, "three in the strip, the last one large"
    assert sum(tag == "svg" for tag, _ in page.tags) == 4 + 5 + 1, "truth and metrics, groups of stats, a probe"


def test_it_reads_without_a_script(run):
    page = re.sub(r"<script>.*?</script>", "", write(run).read_text(), flags=re.S)
    assert "20k<span> samples seen" in page
    assert 'class="bar" hidden' in page


@pytest.mark.parametrize(
    "file", ["recipe.yaml", "card.json", "stats.jsonl", "evaluations.jsonl", "findings.jsonl", "samples"]
)
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "garbage", "another kind"])
def test_any_file_may_be_missing_or_damaged(run, file, harm):
    for place in sorted((run / "samples").iterdir()) if file == "samples" else [run / file]:
        data = place.read_bytes()
        if harm == "missing":
            place.unlink()
        else:
            worse = {"empty": b"", "cut": data[: len(data) * 2 // 3], "garbage": b"\xff\x00{[<"}
            place.write_bytes(worse.get(harm, b'["x", 3]'))
    for place in run.iterdir():  # what is not harmed and not needed here is left out, to be quick
        if place.name in ("stats.jsonl", "evaluations.jsonl") and place.name != file:
            place.unlink()
    page = stands_alone(write(run))
    assert "samples" in page.text
    if file != "findings.jsonl":
        assert "raise r1" in page.text


def test_an_empty_folder_and_no_folder(tmp_path):
    assert "Nothing has been played yet" in stands_alone(write(tmp_path)).text
    with pytest.raises(FileNotFoundError, match="runs/NAME"):
        write(tmp_path / "nowhere")


def test_a_live_run_without_evaluations(run):
    (run / "evaluations.jsonl").unlink()
    (run / "card.json").unlink()
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"samples": 2_000_000}))
    said = stands_alone(write(run)).text
    assert "20,000 samples (of 2 million asked for) and 8 min 20 s" in said
    assert "nothing has been measured yet" in said


def test_nothing_of_a_run_becomes_markup(run):
    evil = "</script></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&$^_{\\"
    rows(run / "findings.jsonl", [{"name": evil, "since": evil, "evidence": evil, "advice": {evil: [evil]}}])
    rows(run / "stats.jsonl", [{"seen": s, evil: s, f"penalty/{evil}": s, f"score/{evil}": 1} for s in (1, 2, 3)])
    hostile = {"metrics": {evil: {"value": 1, "se": 2, "better": evil}}, "truth": {evil: 3}, "ceiling": {evil: evil}}
    rows(run / "evaluations.jsonl", [evaluation(s, **hostile, data=evil, split=evil, extractor=evil) for s in (1, 2)])
    (run / "recipe.yaml").write_text(yaml.safe_dump({"data": evil, evil: evil, "condition": evil, "x": {evil: [evil]}}))
    data = {evil: evil, "problems": {evil: [evil], "kind": 3}}
    card = {"data": data, "versions": {evil: evil}, "hardware": evil}
    (run / "card.json").write_text(json.dumps(card))
    (run / "samples" / "00020000.txt").write_text(evil)

    for path in (write(run), write_comparison([run, run], run / "both.html")):
        page = stands_alone(path)
        assert sum(tag == "script" for tag, _ in page.tags) == 1
        assert "<img src=x" in page.text, "it is shown as text"


@pytest.mark.parametrize(
    "v",
    [float("nan"), float("inf"), 10**400, -1e308, 1e308, 1e-320, 0, True, "3", [], {}, None],
    ids=lambda v: str(v)[:8],
)
def test_odd_numbers_are_survived(run, v):
    rows(
        run / "stats.jsonl",
        [{"seen": 1, "D/loss": v, "seconds": v}, {"seen": 2, "D/loss": 1}, {"seen": v, "D/loss": v}],
    )
    odd = {"fid": {"value": v, "se": v, "better": v}, "kid": {"value": 2, "se": v}, "is": v}
    rows(
        run / "evaluations.jsonl",
        [evaluation(1, metrics=odd), evaluation(2, metrics=odd, truth={"valid": v}), {"seen": v}],
    )
    (run / "findings.jsonl").write_text(json.dumps({"name": v, "since": v, "evidence": v, "advice": v}))
    stands_alone(write(run))


def test_few_sheets_are_chosen_evenly(run):
    for seen in range(0, 100_000, 1000):
        show(Image(1, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8), run / "samples" / f"{seen:08d}")
    page = write(run).read_text()
    assert len(re.findall("<img ", page)) == SHEETS + 1
    assert "99k<span> samples seen" in page
    chosen = evenly(range(100), SHEETS)
    steps = {b - a for a, b in zip(chosen, chosen[1:])}
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 99, SHEETS)
    assert max(steps) - min(steps) <= 1


def test_large_sheets_are_packed(run):
    for seen in range(8):
        x = torch.randint(256, (1, 3, 700, 700), dtype=torch.uint8)  # noise: 1.5 MB each as it is
        show(Image(3, 700), x, run / "samples" / f"{seen + 30_000:08d}")
    (run / "stats.jsonl").unlink()
    assert write(run).stat().st_size < 8_000_000


def test_written_samples_are_shown_as_text(run):
    for p in (run / "samples").iterdir():
        p.unlink()
    show(Tokens(3, 4), torch.tensor([[1, 2, 3]]), run / "samples" / "00000300", words=["", "red", " eyes", " <b>"])
    page = write(run).read_text()
    assert "<pre>red eyes &lt;b&gt;</pre>" in page


def test_a_half_written_line_is_left_out(run):
    assert len(lines(run / "stats.jsonl")) == 40
    assert read(run).seen == 20_000


def test_runs_side_by_side(run, tmp_path):
    other = tmp_path / "second"
    other.mkdir()
    (other / "recipe.yaml").write_text(yaml.safe_dump({"data": "faces", "loss": "hinge", "lr": {"G": 2e-4}}))
    better = {"fid": {"value": 7.0, "se": 0.5, "better": "lower"}}
    rows(other / "evaluations.jsonl", [evaluation(30_000, metrics=better)])

    first, second = compare([run, other])
    assert first["settings"]["loss"] == "relativistic"
    assert second["settings"]["loss"] == "hinge"
    assert not {"data", "lr.G"} & first["settings"].keys()
    assert first["metrics"]["fid"] == {"value": 12.0, "se": 0.61, "better": "lower"}
    assert (first["seen"], second["seen"]) == (20_000, 30_000)
    assert first["findings"] == ["collapse"]
    assert first["sheet"].endswith("00020000.png")
    assert second["sheet"] is None
    json.dumps([first, second])

    page = write_comparison([run, other], tmp_path / "both.html").read_text()
    stands_alone(tmp_path / "both.html")
    assert "<b>7.00 ± 0.50</b>" in page
    assert "<b>12.00" not in page


def test_who_is_ahead():
    m = lambda value, se: Measure(value, se, "lower")
    assert ahead([m(7, 0.5), m(12, 0.6)]) == 0
    assert ahead([m(7, 2.0), m(12, 2.0)]) is None, "within two errors of the difference"
    assert ahead([Measure(0.5, 0.01, "higher"), Measure(0.7, 0.01, "higher"), None]) == 1
    assert ahead([m(7, None), m(12, None)]) is None
    assert ahead([m(7, 0.5)]) is None


def test_numbers_as_a_reader_writes_them():
    assert [number(v) for v in (0, 3, 12.3456, 1234.5, 2.5e-5, -0.5, None, float("nan"))] == [
        "0", "3", "12.35", "1,234", "2.5e-05", "−0.5", "—", "—",
    ]  # fmt: skip
    assert [measured(12.3456, 0.2134), measured(0.0021, 0.0007), measured(5, None), measured(1234.5, 25)] == [
        "12.35 ± 0.21", "0.00210 ± 0.00070", "5", "1,234 ± 25",
    ]  # fmt: skip
    assert [short(v) for v in (0, 800, 12_000, 1_500_000, 2e9)] == ["0", "800", "12k", "1.5M", "2G"]
    assert [duration(v) for v in (45, 60, 483, 7500, 273_600)] == ["45 s", "1 min", "8 min 3 s", "2 h 5 min", "3 d 4 h"]


def test_measures_of_more_samples_are_a_series_of_their_own(run):
    """Their bias is another; what the world knows has none."""
    few, many = ({"n_real": n, "n_fake": n, "truth": {"valid": 0.5}} for n in (1000, 2000))
    fid = lambda value: {"metrics": {"fid": {"value": value, "se": 0.1, "better": "lower"}}}
    taken = [evaluation(s, **few, **fid(v)) for s, v in ((1_000, 20.0), (2_000, 18.0), (3_000, 19.0))]
    rows(run / "evaluations.jsonl", [*taken, evaluation(3_000, **many, **fid(15.0))])
    found = series_of(read(run).evaluations)
    assert [len(some) for some in found.values()] == [3, 1]
    (one,) = series_of(read(run).evaluations, ALIKE).values()
    assert len(one) == 4
    text = stands_alone(write(run)).text
    assert "2,000 generated against 2,000 real" in text
    assert "18.00 at 2k" in text and "15.00 at 3k" not in text


def test_a_curve_of_very_many_measures_is_drawn(run):
    rows(run / "evaluations.jsonl", [evaluation(s) for s in range(100, 30_001, 100)])
    assert "fid" in stands_alone(write(run)).text


def test_a_hasty_look_does_not_take_the_place_of_the_fullest_measurement():
    row = lambda n, seen=640: {"seen": seen, "player": "average", "split": "heldout", "n_real": n, "n_fake": n}
    hasty, full, early = row(8), row(2000), row(5000, 320)
    assert latest([early, full, hasty]) == [full, hasty, early]
