"""How the command reads its words: options, their help, files of options, and what is said of those it cannot take."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from .names import RequestError, nearest

PRESETS = {path.stem: path for path in sorted((Path(__file__).parent / "presets").glob("*.yaml"))}


def underscored(word: str) -> str:
    """--checkpoint-every is --checkpoint_every."""
    option, equals, value = word.partition("=")
    return option.replace("-", "_").replace("__", "--", 1) + equals + value if option.startswith("--") else word


class Parser(ArgumentParser):
    """Errors in one line, with the nearest option there is, and exit status 2."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, allow_abbrev=False, **more)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = self._plain(" ".join(message.split()))
        if unknown := re.findall(r"(?<!\S)--[\w-]+", message):
            options = [o for action in self._actions for o in action.option_strings]
            message += "".join(nearest(u, options) for u in unknown if u not in options)
        print(f"sparring: {message}", file=sys.stderr)
        raise SystemExit(2)

    def part(self, parts: dict[str, str]) -> None:
        """Shows options under titles, each title from the option of its key on; and what may be chosen, as {a,b}."""
        flat: Any = self._action_groups[-1]
        group: Any = flat
        for action in list(flat._group_actions):
            if action.dest in parts:
                group = self.add_argument_group(parts[action.dest])
            flat._group_actions.remove(action)
            group._group_actions.append(action)
            if choices := _choices(action):  # jsonargparse shows them where None is not among them
                action.metavar = f"{{{','.join(choices)}}}"

    def _plain(self, message: str) -> str:
        """What jsonargparse says of a value or of nothing given, in the words of the other refusals."""
        actions: dict[str, Any] = {action.dest: action for action in self._actions}
        if missing := re.fullmatch(r"the following arguments are required: (\w+)", message):
            return f"{missing[1].upper()} is missing: {actions[missing[1]].help}"
        if refused := re.fullmatch(r'Parser key "(\w+)": .*(?:Given|Got) value: (.*)', message):
            name, value = refused.groups()
            kind, choices = getattr(actions.get(name), "_typehint", None), _choices(actions.get(name))
            number = "whole number" if int in (kind, *get_args(kind)) else "number"
            told = f"{'--' if len(name) > 1 else '-'}{name} {value!r} is "
            return told + (f"none of {', '.join(choices)}{nearest(value, choices)}" if choices else f"no {number}")
        return re.sub(r'^Parser key "(\w+)": ', r"--\1: ", message)


def _choices(action: Any) -> list[str]:
    """The words that an option takes, where it takes only some."""
    kind = getattr(action, "_typehint", None)
    return [c for k in (kind, *get_args(kind)) for c in get_args(k) if isinstance(c, str)]


class Help(DefaultHelpFormatter):
    """Help without type theory, and silent where there is nothing to say."""

    def _get_type_str(self, action: Any) -> str | None:
        kind = (super()._get_type_str(action) or "").replace(" | null", "")
        return None if "Literal" in kind else kind or None

    def _expand_help(self, action: Any) -> str:
        whole = super()._expand_help(action)
        text, _, note = whole.rpartition(" (")
        if not re.match("required|type: |default: ", note):
            return whole
        said = [part.removeprefix("type: ") for part in note.removesuffix(")").split(", ")]
        known = [part for part in said if part not in ("required", "default: ", "default: False", "default: null")]
        if self._prog == "sparring train" and "default: null" in said and not re.search(r"if left out|\(default", text):
            known.append("chosen if left out")
        return f"{text} ({', '.join(known)})" if known else text


def files(p: Parser, argv: Sequence[str]) -> Iterator[str]:
    """--preset NAME is --config of a file that comes with the program; a file that holds no options is refused.

    Files stand before all else, wherever they are given: options win over them.
    """
    words, others = iter(argv), []
    given = {word.partition("=")[0] for word in argv} & {"--samples", "--minutes"}
    for word in words:
        option, equals, value = word.partition("=")
        if option not in ("--preset", "--config"):
            others.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not value:
            raise RequestError(
                f"{option} is given no name; presets are {', '.join(PRESETS)}, a config is your own file"
            )
        if option == "--preset":
            if value not in PRESETS:
                raise RequestError(f"--preset {value!r} is none of {', '.join(PRESETS)}{nearest(value, PRESETS)}")
            value = str(PRESETS[value])
        yield from ("--config", _options(p, Path(value), bool(given)))
    yield from others


def _options(p: Parser, path: Path, length: bool) -> str:
    """A file of options, as YAML; refused where it cannot be read, is no YAML, or has a name that is no option.

    The recipe.yaml of a run is one: its minutes have become samples.  length: is given another, so that the file's,
    and the intervals that go by it, are left out.
    """
    import yaml

    from .settings import Recipe, by_length

    names = [action.dest for action in p._actions]
    try:
        with path.open(encoding="utf-8") as file:
            options = yaml.safe_load(file)
    except OSError as error:
        raise RequestError(f"--config {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RequestError(f"--config {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict):
        raise RequestError(f"--config {path} holds no options: write one a line, such as `lr: 0.001`")
    if own := options.pop("format", None) is not None:
        options.pop("minutes", None)
    for name in map(str, options):
        if name not in names:
            raise RequestError(f"--config {path}: {name!r} is no option{nearest(name, names)}")
    if length:
        intervals = by_length(Recipe(**options)) if own else []
        options = {k: v for k, v in options.items() if k not in ("samples", "minutes", *intervals)}
    return yaml.safe_dump(options)
