"""What is said when data cannot be used: the value, the choices, the way out."""


class DataError(ValueError):
    """Data that cannot be used as asked; the message is one line for the user."""


class Unusable(Exception):
    """One file that is left out: of which kind (broken, blank, no picture), and why."""

    def __init__(self, kind: str, why: str):
        super().__init__(why)
        self.kind, self.why = kind, why


class Problem(str):
    """A line about something that was left out, of one kind; letters of names in no known code stand as \\xNN do."""

    kind: str

    def __new__(cls, kind: str, line: str) -> "Problem":
        readable = line.encode("utf-8", "backslashreplace").decode()
        problem = super().__new__(cls, " ".join(readable.split()))
        problem.kind = kind
        return problem


def in_bytes(n: float) -> str:
    """1500000 -> '1.5 MB'."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while n >= 1000 and len(units) > 1:
        n, units = n / 1000, units[1:]
    return f"{n:.0f} bytes" if units[0] == "bytes" else f"{n:.1f} {units[0]}"
