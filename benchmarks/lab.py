"""The whole lab, by the command as a user would: every claim with what was measured, written to results/lab.json.

Its plots go to docs/lab/, and its tables into docs/lab.md.

python benchmarks/lab.py             all experiments (minutes)
python benchmarks/lab.py dirac       some: their rows are replaced, the others kept
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import record
import torch

PAGE = Path(__file__).parent.parent / "docs" / "lab.md"
PLOTS = PAGE.parent / "lab"


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", help="experiments; all if left out")
    args = p.parse_args()

    command = [sys.executable, "-m", "sparring", "lab", *(args.names or ["all"]), "--json", "--out", str(PLOTS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return done.returncode
    rows = json.loads(done.stdout)
    new = {row["experiment"] for row in rows}
    if args.names:
        rows = [r for r in record.known("lab").get("claims", []) if r["experiment"] not in new] + rows

    torch.set_num_threads(1)  # as the lab does
    document = {
        "proof": "lab",
        "command": "sparring lab all --json",
        "held": sum(row["holds"] for row in rows),
        "of": len(rows),
        "differ": [f"{row['experiment']}: {row['claim']}" for row in rows if not row["holds"]],
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "cpu_seconds": round(sum(row["cpu_seconds"] for row in rows), 1),
        "claims": rows,
    }
    PAGE.write_text(with_tables(PAGE.read_text(), rows))
    record.write("lab", document)
    print(f"{document['held']} of {document['of']} claims hold; differ: {document['differ'] or 'none'}")
    return 0


def with_tables(page: str, rows: list[dict]) -> str:
    """The page with a table of claims between `<!-- claims of NAME -->` and `<!-- end -->`, for every experiment."""
    for name in {row["experiment"] for row in rows}:
        lines = ["| claim | expected | measured | |", "|---|---|---|---|"]
        for row in rows:
            if row["experiment"] == name:
                verdict = "holds" if row["holds"] else "**does not hold**"
                claim = row["claim"].replace("|", "\\|")
                lines.append(f"| {claim} | {expected(row)} | {measured(row)} | {verdict} |")
        table = "\n".join(lines)
        mark = f"<!-- claims of {name} -->"
        page = re.sub(
            f"{mark}.*?<!-- end -->", lambda _, m=mark, t=table: f"{m}\n{t}\n<!-- end -->", page, flags=re.DOTALL
        )
    return page


def expected(row: dict) -> str:
    bound = "" if row["relation"] == "is" else f"{row['relation']} "
    give = f" ± {row['tolerance']:.3g}" if row["tolerance"] else ""
    return bound + number(row["expected"]) + give


def measured(row: dict) -> str:
    spread = f" ({number(min(row['runs']))} to {number(max(row['runs']))})" if row["runs"] else ""
    return number(row["measured"]) + spread


def number(v: float | str | None) -> str:
    return {"infinity": "∞", "-infinity": "-∞"}.get(v, v) if isinstance(v, str) else "none" if v is None else f"{v:.4g}"


if __name__ == "__main__":
    raise SystemExit(main())
