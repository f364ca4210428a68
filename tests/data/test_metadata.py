"""What is told of pictures beside them, as lines or as a table: read as far as it goes, each fault in a line."""

import csv
import json

import pytest

from sparring import data
from sparring.symptoms.data import data_faults

from ..test_captions import folder


def test_what_is_wrong_with_captions_is_said_a_line_each(tmp_path):
    root = folder(tmp_path / "told")
    lines = (root / "metadata.jsonl").read_text().splitlines()
    lines[0] = json.dumps({"file_name": "000.png", "text": "  "})
    lines[1] = json.dumps({"file_name": "001.png", "text": ["same", "same"]})
    lines[2] = json.dumps({"file_name": "gone.png", "text": "nobody"})
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    assert d.card["caption_problems"] == [
        "000.png: no caption",
        "002.png: no caption",
        "metadata.jsonl line 1: an empty caption",
        "metadata.jsonl line 2: the same caption again",
    ]
    assert d.card["problems"] == ["metadata.jsonl line 3: there is no file gone.png"]
    said = "\n".join(data.summary(d))
    assert "captions to look at: 000.png: no caption" in said
    assert sum(not (c > 0).any() for s in (d.train, d.heldout) for c in s.take(range(len(s)))[1]) == 2


def test_a_broken_file_of_captions_is_read_as_far_as_it_goes(tmp_path):
    """As Windows ends lines, with errors of every kind: each is a line that says what it is."""
    root = folder(tmp_path / "told")
    lines = (root / "metadata.jsonl").read_text().splitlines()
    lines[:12] = [
        '{"file_name": "000.png", "text": "broken',
        '{"filename": "001.png", "text": "of nothing"}',
        '{"file_name": "002.png", "caption": "by another name"}',
        '{"file_name": "003.png", "text": 17}',
        '{"file_name": "004.png", "text": {"en": "red"}}',
        '{"file_name": "005.png", "text": [null, "a blue picture"]}',
        '["006.png", "red"]',
        '{"file_name": "pictures/007.PNG", "text": "in another place"}',
        '{"file_name": "008.png", "text": "🙂!"}',
        '{"file_name": 9, "text": "a number"}',
        "",
        '{"file_name": "011.png", "label": "blue"}',
    ]
    latin = b'{"file_name": "010.png", "text": "caf\xe9"}'
    (root / "metadata.jsonl").write_bytes("\r\n".join(lines).encode() + b"\r\n" + latin)
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    assert d.card["usable"] == 60
    assert d.card["problems"] == [
        "metadata.jsonl line 1: broken JSON at character 34 (Unterminated string starting)",
        'metadata.jsonl line 2: no "file_name" among filename, text',
        "metadata.jsonl line 7: not a JSON object",
        "metadata.jsonl line 8: there is no file pictures/007.PNG; did you mean 007.png?",
        "metadata.jsonl line 10: file_name is no name",
        "metadata.jsonl line 61: not UTF-8; save the file as UTF-8",
    ]
    assert [line for line in d.card["caption_problems"] if "metadata" in line] == [
        'metadata.jsonl line 3: no "text" among file_name, caption',
        "metadata.jsonl line 4: 17 is no caption",
        'metadata.jsonl line 5: {"en": "red"} is no caption',
        "metadata.jsonl line 6: null is no caption",
    ]
    said = "\n".join(data.summary(d))
    assert "not used: 6 lines of metadata; e.g. metadata.jsonl line 1" in said
    assert "note: captions without a word that is read: 1; they say nothing" in said
    assert "left out" not in said
    (found,) = data_faults(d.card)
    assert found.evidence.startswith("6 lines of metadata are not used, of 60 examples, e.g. metadata.jsonl line")


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_table_tells_what_lines_tell(tmp_path, between):
    """As spreadsheets write it: a mark at the beginning, quotes where they are needed; a line for each caption."""
    root = folder(tmp_path / "told")
    rows = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
    told = data.open(root, size=16, condition="caption", cache=tmp_path).train.captions
    (root / "metadata.jsonl").unlink()
    with (root / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=between)
        table.writerow(["file_name", "text", "note"])
        for row in rows:
            for text in row["text"] if isinstance(row["text"], list) else [row["text"]]:
                table.writerow([row["file_name"], text, ""])
    d = data.open(root, size=16, condition="caption", cache=tmp_path)
    assert d.train.captions == told
    assert not d.card["problems"] + d.card.get("caption_problems", [])


def test_a_table_names_its_faults_and_may_give_classes(tmp_path):
    root = folder(tmp_path / "told")
    (root / "metadata.jsonl").unlink()
    rows = [f"{i:03d}.png,{i % 3}" for i in range(60)]
    (root / "metadata.csv").write_text("file_name,label\n" + "\n".join([*rows, "gone.png,1", ",2", "001.png,2,3"]))
    d = data.open(root, size=16, condition="class", cache=tmp_path)
    assert d.classes == ["0", "1", "2"]
    assert d.card["problems"] == [
        "metadata.csv line 62: there is no file gone.png",
        'metadata.csv line 63: no "file_name" among label',
        "metadata.csv line 64: more columns than names; put quotes around a text with ',' in it",
    ]
    (root / "metadata.csv").write_bytes("file_name,text\n000.png,café".encode("latin-1"))
    with pytest.raises(data.DataError, match=r"metadata.csv line 2: not UTF-8; save the file as UTF-8"):
        data.open(root, size=16, condition="caption", cache=tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: "", "no captions: they stand in"),
        (lambda text: text.replace("text", "caption"), '(metadata.jsonl line 1: no "text" among file_name, caption)'),
        (lambda text: text.replace(': "0', ': "img/0'), "there is no file img/000.png; did you mean 000.png?)"),
        (lambda text: "{\n" + text.replace(".png", ".jpg"), "(metadata.jsonl line 2: there is no file 000.jpg)"),
        (lambda text: text.encode("utf-16"), "(metadata.jsonl line 1: not UTF-8; save the file as UTF-8)"),
    ],
)
def test_data_without_captions_is_refused_with_what_is_wrong_most_often(change, why, tmp_path):
    root = folder(tmp_path / "told")
    found = change((root / "metadata.jsonl").read_text())
    (root / "metadata.jsonl").unlink()
    if found:
        (root / "metadata.jsonl").write_bytes(found if isinstance(found, bytes) else found.encode())
    with pytest.raises(data.DataError, match=r"no captions.*metadata\.jsonl") as error:
        data.open(root, size=16, condition="caption", cache=tmp_path)
    assert why in str(error.value)
