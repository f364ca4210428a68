"""Train, diagnose and measure adversarial generators."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`from sparring import diagnose`, without anything heavy."""
    if name == "diagnose":
        from .symptoms import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
