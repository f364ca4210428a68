"""Train, diagnose and measure adversarial generators."""

__version__ = "0.1.0"
