"""What the docs print as programs runs as printed."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
WHOLE = ("cures", "doctor", "extractors", "lab", "measures")  # the others take a run, or are contracts


@pytest.mark.parametrize("page", WHOLE)
def test_snippets_run(page):
    found = re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    for code in found:
        exec(code, {"__name__": page})
