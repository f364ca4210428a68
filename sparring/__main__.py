"""`python -m sparring` is `sparring`."""

from .cli import main

raise SystemExit(main())
