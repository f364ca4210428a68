"""Wrong requests, each refused in one line before anything is written."""

import numpy as np
import pytest

from .test_run import sparring

EVERY = ("log", "sample", "evaluate", "checkpoint")


@pytest.fixture
def spoiled(tmp_path):
    """Data and folders with every fault."""
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "nan.npy", np.array([[0.0, np.nan]] * 100, dtype="float32"))
    for name, text in {"broken": "lr: [1", "listed": "- lr", "typo": "lrr: 1"}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("trian ring", "did you mean 'train'"),
        ("train ring --smaples 10", "did you mean '--samples'"),
        ("train rnig", "did you mean 'ring'"),
        ("train {}/nowhere", "no file or folder here"),
        ("train {}/empty", "empty"),
        ("train {}/nan.npy", "NaN"),
        ("train ring --loss hinges", "did you mean 'hinge'"),
        ("train ring --prior norml", "did you mean 'normal'"),
        ("train ring --net quik", "did you mean 'quick'"),
        ("train ring --net no_such_module:pair", "cannot be imported"),
        ("train ring --penalties wgan_gp", "no weight"),
        ("train ring --augment colour", "color"),
        ("train faces --size 33", "nearest"),
        ("train faces --size -16", "--size -16 must be above 0"),
        ("train ring --lazy 0", "--lazy 0 must be above 0"),
        ("train ring --preset=", "--preset is given no name; presets are scratchgan"),
        ("train ring --samples -5", "must be a number above 0"),
        ("train ring --threads -1", "--threads -1 must be above 0, or 0 for all cores"),
        *((f"train ring --{name}_every 0", f"--{name}_every 0 must be above 0") for name in EVERY),
        ("train ring --evaluate_every -5", "--evaluate_every -5 must be above 0"),
        ("train ring --terms l2=nan", "term 'l2' has a weight that is no number, 'nan'; write NAME=WEIGHT"),
        ("train ring --terms l2=1:end", "term 'l2' has a weight that is no number, '1:end'"),
        ("train ring --terms l2=1:", "has a weight that is no number, '1:'"),
        ("train ring --terms l2=1:0", "goes from one weight to another by equal factors, 1:0: give two above 0"),
        ("train ring --terms l2=1:-1", "has the weight 1:-1, which must be 0 or more"),
        ("train ring --penalties wgan_gp=inf", "no number, 'inf'"),
        ("train ring --penalties r1=-50", "penalty 'r1' has the weight -50, which must be 0 or more"),
        ("train ring --terms l1=-3", "must be 0 or more"),
        ("train ring --evaluate_final 1", "--evaluate_final 1 must be at least 2"),
        ("train ring --device cuda:99", "; use cpu or auto"),
        ("train ring --stop target", "such as fid=2\n"),
        ("train ring --stop target --target fid=", "'' is no number"),
        ("train grammar --spelling characters", "grammar' has its signs"),
        ("train ring --lr .inf", "--lr inf must be a finite number"),
        ("train ring --stop target --target fid=nan", "'nan' is no number"),
        ("train ring --samples ten", "--samples 'ten' is no whole number"),
        ("train ring --lr fast", "--lr 'fast' is no number"),
        ("train ring --condition classes", "did you mean 'class'"),
        ("train ring --fit crap", "none of crop, pad, stretch; did you mean 'crop'"),
        ("train", "DATA is missing: a world's name"),
        ("train ring --samples 10 --minutes 1", "give one"),
        ("train ring --device tpu", "use cpu, cuda or auto"),
        ("train ring --device meta", "nothing was tried on it); use cpu, cuda or auto"),
        ("train ring --run {}/thesis", "holds other files"),
        ("train ring --see 3", "--see 3; did you mean '--seed'?"),
        ("train ring --config {}/none.yaml", "none.yaml cannot be read: No such file"),
        ("train ring --config {}/broken.yaml", "broken.yaml is no YAML"),
        ("train ring --config {}/listed.yaml", "listed.yaml holds no options"),
        ("train ring --config {}/typo.yaml", "typo.yaml: 'lrr' is no option; did you mean 'lr'?"),
        ("train ring --config", "--config is given no name"),
        ("resume {}/nowhere", "holds no run"),
        ("sample {}/nowhere", "holds no run"),
        ("evaluate {}/empty", "--against"),
        ("evaluate {}/nowhere", "does not exist"),
        ("report {}/nowhere", "holds no run"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(argv, words, spoiled, capsys, monkeypatch):
    monkeypatch.chdir(spoiled)
    before = sorted(p for p in spoiled.rglob("*"))
    assert sparring(*argv.format(spoiled).split()) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.strip().splitlines()[-1].startswith("sparring: ")
    assert said.out == ""
    assert sorted(p for p in spoiled.rglob("*")) == before
