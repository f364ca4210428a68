"""The command: one function each, nothing heavy imported before it is known which.

Exit status: 0 done, 1 failed while running (what was made is kept), 2 the request was wrong (and nothing was written);
128 + the signal's number when stopped by Ctrl-C or SIGTERM, after saving.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, Namespace, set_parsing_settings  # type: ignore[attr-defined]

from . import __version__
from .arguments import PRESETS, Help, Parser, files, underscored
from .names import RequestError, nearest

MEASURES = (
    "fid, kid, precision, recall, density, coverage, fid_inf, realism, rarity, vendi, support, ndb, js, c2st, one_nn, "
    "sliced, wasserstein, spectrum; of classes: is, am, mode_score, cas, fid_by_class; of words: bleu, self_bleu, "
    "ngrams_1 to ngrams_4, length, unique, distinct, zipf, lm, reverse_lm"
)
EXTRACTORS = "raw, pca, random, learned, classifier, inception, inception-bf16"


def train(argv: Sequence[str]) -> int:
    """train a pair of players on DATA, draw, measure and report"""
    from .settings import PARTS, Recipe

    p = _parser("train", train)
    p.usage = "sparring train DATA [OPTION VALUE …]"
    p.add_argument("--config", action=ActionConfigFile, help="a YAML file of these options; options given here win")
    p.add_argument(
        "--preset",
        type=str,
        help=f"settings as published: {', '.join(PRESETS)}; none if left out; options given here win",
    )
    p.add_argument("--run", type=str, help="the run's folder (default: runs/DATA-N, the next free N)")
    p.add_class_arguments(Recipe, skip={"data"}, fail_untyped=True)
    p.part(PARTS)
    about = "a world's name, a folder or zip of images or clips, an .npz or .npy, a .txt of a text a line, module:name"
    p.add_argument("data", type=str, help=about)
    args = p.parse_args(list(files(p, argv)))
    from . import run

    options = {k: v for k, v in vars(args).items() if k not in ("config", "preset", "run")}
    path = Path(args.run) if args.run else _free_folder(args.data)
    return _finish(run.start(Recipe(**options), path))


def resume(argv: Sequence[str]) -> int:
    """go on with RUN from its last checkpoint, exactly, or for longer than was asked for"""
    p = _parser("resume", resume)
    p.add_argument("--samples", type=int, help="another length of the run: samples in all, those it has seen counted")
    p.add_argument("--minutes", type=float, help="or: so long from here on")
    p.add_argument("--threads", type=int, help="threads of the CPU (the same number gives the same run, bit for bit)")
    p.add_argument("--device", type=str, help="cpu, cuda or auto")
    args = _with_positional(p, argv, "run", "the run's folder")
    from . import run

    changes = {k: v for k in ("samples", "minutes", "threads", "device") if (v := getattr(args, k)) is not None}
    return _finish(run.resume(Path(args.run), **changes))


def sample(argv: Sequence[str]) -> int:
    """draw from a run's average generator"""
    p = _parser("sample", sample)
    p.add_argument(
        "-n", type=int, help="how many samples (64); a row of --grid, rows of --walk (8); pasts to continue (4)"
    )
    p.add_argument(
        "--out",
        type=str,
        help="a sheet (.png), all samples (.npy), a folder; futures also .webp, .gif; texts .txt, tunes .mid",
    )
    p.add_argument("--seed", type=int, default=0, help="the same seed gives the same samples")
    p.add_argument("--label", type=str, action="append", help="a class, by name or number; may be given several times")
    p.add_argument("--caption", type=str, action="append", help="what to draw, in words; may be given several times")
    p.add_argument("--grid", action="store_true", help="a row for each class or caption, a column for each z")
    p.add_argument("--walk", action="store_true", help="from one class or caption to another, a row for each z")
    p.add_argument(
        "--truncation", type=float, help="redraw noise beyond it: 0.7 gives the more usual, and less variety"
    )
    p.add_argument(
        "--temperature",
        type=float,
        help="of texts: below 1 the likelier tokens are likelier still",
    )
    p.add_argument("--from", type=str, help="a clip to continue, of a run that foresees (default: held-out pasts)")
    p.add_argument("--frames", type=int, help="how many frames of each future, each made from those before (16)")
    p.add_argument("--futures", type=int, help="how many futures of each past (4)")
    _of_machine(p)
    p.add_argument("--json", action="store_true", help="print one JSON document")
    args = _with_positional(p, argv, "run", "the run's folder")
    from . import readers

    words = dict(label=args.label or (), caption=args.caption or (), grid=args.grid, walk=args.walk)
    ahead = dict(source=getattr(args, "from"), frames=args.frames, futures=args.futures)
    how = dict(truncation=args.truncation, temperature=args.temperature, device=args.device, threads=args.threads)
    asked = readers.Asked(args.n, args.out, args.seed, **words, **how, **ahead)
    return _print(readers.sample(Path(args.run), asked), args.json)


def evaluate(argv: Sequence[str]) -> int:
    """measure a run's generator against held-out data, or a folder of samples against all of the data"""
    p = _parser("evaluate", evaluate)
    p.add_argument("--against", type=str, help="the data (default: what the run was trained on)")
    p.add_argument("-n", type=int, default=5000, help="samples of each side, at most")
    p.add_argument("--seed", type=int, default=0, help="of the samples drawn")
    p.add_argument(
        "--measures",
        type=str,
        help=f"{MEASURES}, with commas between (default: the first six, and those of words), or all",
    )
    p.add_argument("--copies", type=str, help="look for copies of training samples; a file for the suspicious pairs")
    p.add_argument("--sweep", type=str, help="of a run that writes: LM scores over temperatures; a file for the curve")
    p.add_argument("--beside", type=str, help="other runs that foresee, with commas between, of the same frames")
    p.add_argument(
        "--extractor",
        type=str,
        help=f"{EXTRACTORS}, or module:name; several with commas between (default: by the data)",
    )
    p.add_argument("--weights", type=str, help="file or folder of inception's weights (default: $SPARRING_INCEPTION)")
    p.add_argument("--resize", type=str, help="how pictures come to an extractor's size: clean (default), tf1, none")
    p.add_argument("--minutes", type=float, default=5.0, help="longest time to train learned or classifier, once")
    _of_machine(p)
    p.add_argument("--json", action="store_true", help="print one JSON document")
    args = _with_positional(p, argv, "what", "a run's folder, or samples: a folder, zip, .npy, .npz or .txt")
    from . import measuring

    asked = measuring.Asked(**{k: v for k, v in vars(args).items() if k != "json"})
    return _print(measuring.evaluate(asked), args.json)


def diagnose(argv: Sequence[str]) -> int:
    """say what is wrong with a run, live or finished, or with the log of any trainer, and what to try"""
    p = _parser("diagnose", diagnose)
    p.add_argument("--deep", action="store_true", help="also eigenvalues, path-angle and duality gap: takes minutes")
    _of_machine(p, "for --deep: ")
    p.add_argument("--json", action="store_true", help="print one JSON document")
    args = _with_positional(p, argv, "run", "a run's folder; or a .csv, .jsonl or printed log with losses and scores")
    from . import doctor

    found, lines = doctor.visit(Path(args.run), args.deep, args.device, args.threads)
    return _print(found if args.json else {"lines": lines}, args.json)


def compare(argv: Sequence[str]) -> int:
    """lay runs side by side: what differs in their settings, what they reached"""
    p = _parser("compare", compare)
    p.add_argument("runs", nargs="+", type=str, help="runs' folders")
    p.add_argument("--out", type=str, default="comparison.html", help="the page to write")
    p.add_argument("--json", action="store_true", help="print one JSON document")
    args = p.parse_args(list(argv))
    from . import readers

    return _print(readers.compare([Path(r) for r in args.runs], Path(args.out)), args.json)


def report(argv: Sequence[str]) -> int:
    """write RUN's report.html: one page, opens anywhere"""
    p = _parser("report", report)
    args = _with_positional(p, argv, "run", "the run's folder")
    from . import readers

    return _print(readers.report(Path(args.run)), False)


def lab(argv: Sequence[str]) -> int:
    """measure what the theory claims, and draw it: lists experiments, or runs NAME … or all"""
    p = _parser("lab", lab)
    p.add_argument("names", nargs="*", type=str, help="experiments, or all; none lists them")
    p.add_argument("--out", type=str, default="lab", help="the folder for the plots, one PNG an experiment")
    p.add_argument("--seed", type=int, default=0, help="of everything random; the docs quote 0")
    p.add_argument("--json", action="store_true", help="print one JSON document: a row a claim")
    args = p.parse_args(list(argv))
    from . import lab as experiments

    names = experiments.wanted(args.names)
    if not names:
        rows = [{"name": name, "about": about} for name, about in experiments.EXPERIMENTS.items()]
        return _print(rows if args.json else {"lines": [f"{r['name']:19s} {r['about']}" for r in rows]}, args.json)
    done = experiments.session(names, Path(args.out), args.seed, None if args.json else partial(print, flush=True))
    if args.json:
        _print(done.rows(), True)
    return done.status


def worlds(argv: Sequence[str]) -> int:
    """list the data sets with known truth that come with the program"""
    p = _parser("worlds", worlds)
    p.add_argument("--json", action="store_true", help="print one JSON document")
    args = p.parse_args(list(argv))
    from .worlds import about

    rows = about()
    if args.json:
        return _print(rows, True)
    for row in rows:
        print(f"{row['name']:16s} {row['about']}  [{row['spec']}]")
    return 0


COMMANDS = {f.__name__: f for f in (train, resume, sample, evaluate, diagnose, compare, report, lab, worlds)}

HELP = f"""sparring {__version__}: train, diagnose and measure adversarial generators

{chr(10).join(f"  sparring {name:10s} {f.__doc__}" for name, f in COMMANDS.items())}

  sparring COMMAND --help  says what it takes.  To begin:  sparring train faces --minutes 8
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch: large tensors on large pages, for fewer faults
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names of files may be in no code at all
    argv = [underscored(a) for a in (sys.argv[1:] if argv is None else argv)]
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"sparring {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        print(f"sparring: {argv[0]!r} is none of {', '.join(COMMANDS)}{nearest(argv[0], COMMANDS)}", file=sys.stderr)
        return 2
    try:
        status = COMMANDS[argv[0]](argv[1:])
        sys.stdout.flush()
        return status
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:  # of `sparring diagnose RUN | head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        kept = "; the last checkpoint is kept" if argv[0] in ("train", "resume") else ""
        print(f"sparring: stopped at once{kept}", file=sys.stderr)
        return 130
    except Exception as error:
        status = _status(error)
        if status is None:
            raise
        print(f"sparring: {error}", file=sys.stderr)
        return status


def _status(error: Exception) -> int | None:
    """The exit status of an error that is meant for the user; None for a fault of the program."""
    from .data import DataError
    from .extractors import ExtractorError
    from .folder import DamagedError, FolderError
    from .machine import DeviceError
    from .parallel import PeerLost
    from .players import PlayerError
    from .run import RunError

    if isinstance(error, RequestError | DataError | ExtractorError | PlayerError | DeviceError):
        return 2
    if isinstance(error, FolderError):
        return error.status
    if isinstance(error, OSError) and error.filename is not None:  # a full disk, a place that nobody may write to
        return 1
    return 1 if isinstance(error, RunError | PeerLost | DamagedError) else None


def _parser(name: str, command: Any) -> Parser:
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    return Parser(prog=f"sparring {name}", description=command.__doc__, formatter_class=Help)


def _of_machine(p: Parser, what: str = "") -> None:
    p.add_argument("--device", type=str, default="auto", help=f"{what}cpu, cuda or auto")
    p.add_argument("--threads", type=int, default=0, help=f"{what}threads of the CPU; 0 = all cores")


def _with_positional(p: Parser, argv: Sequence[str], name: str, about: str) -> Namespace:
    p.add_argument(name, type=str, help=about)
    return p.parse_args(list(argv))


def _free_folder(data: str) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", Path(data).stem).strip("-") or "run"
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


def _print(document: Any, as_json: bool) -> int:
    if as_json:
        plain = {k: v for k, v in document.items() if k != "lines"} if isinstance(document, dict) else document
        print(json.dumps(plain, indent=1))
    else:
        for line in document["lines"] if isinstance(document, dict) and "lines" in document else [str(document)]:
            print(line)
    return 0


def _finish(result: dict[str, Any]) -> int:
    if "run" in result:  # of several processes, the first one's
        print(json.dumps(result), flush=True)
    return 128 + result["stopped"] if "stopped" in result else 0
