"""What may be asked of a run: every setting, its default and its meaning."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .names import RequestError, nearest

INTERVALS = ("log_every", "sample_every", "evaluate_every", "checkpoint_every", "patience")
FREE = ("device", "threads", "samples", "minutes", *INTERVALS)  # what a resumed run may change

PARTS = {  # of the settings, each title by the first of it
    "size": "the data",
    "loss": "the critic's turn",
    "terms": "the generator's turn",
    "route": "the generator's turn at texts",
    "net": "the players",
    "samples": "how long, how fast, and what is done about findings",
    "device": "the machine, and what is written when",
}


@dataclass(frozen=True)
class Recipe:
    """What to train, and how.  Choices left open are made by data and machine, and written out in recipe.yaml."""

    data: str = "faces"
    """a world (see `sparring worlds`), a folder or zip of images or clips, an .npz, .npy or .txt, or module:name"""
    size: int | None = None
    """side of the pictures in pixels"""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """how pictures that are not square become square"""
    condition: Literal["none", "class", "caption", "past"] | None = None
    """what is made from: nothing, the class (subfolder or label), a caption (`text` in metadata.jsonl), or past frames;
    the last where most pictures move, else nothing"""
    encoder: str = ""
    """reads captions in the place of words learned: module:name of a function texts -> (n, dim), or a folder with a
    text model of transformers; it does not learn"""
    past: int | None = None
    """frames that the next one is made from; 2 if left out"""

    spelling: Literal["auto", "characters", "words", "pieces"] = "auto"
    """what the tokens of a text are, or of captions (words or pieces); auto: chosen from the data"""
    length: int | None = None
    """most tokens of a text, its end not counted; longer lines are left out"""

    loss: str | None = None
    """a loss: minimax, nonsaturating, matching_aware, least_squares, hinge, wasserstein, smoothed, relativistic,
    relativistic_least_squares, relativistic_hinge, relativistic_average, relativistic_average_least_squares,
    relativistic_average_hinge, kl, reverse_kl, pearson, squared_hellinger, jensen_shannon, gan, total_variation;
    smoothed=LABEL of reals, or module:name"""
    r1: float | None = None
    """weight of |slope of D at real samples|^2 / 2, at the start"""
    r2: float | None = None
    """the same at generated samples"""
    gamma_end: float | None = None
    """the share of r1 and r2 that is left at 0.7 of the run, by the same factor each sample: 0.0002 for points; by
    class, in quick networks, all; else a tenth"""
    lazy: int | None = None
    """steps of D from one r1 to the next, with r2 half-way between, each so many times as heavy: 8 for pictures by
    soap, else 1, so that both are at every step"""
    drift: float | None = None
    """weight of the squared mean of D's scores of real and fake, whose level a relativistic loss leaves open: 0.01 for
    next frames, else 0"""
    contrast: float | None = None
    """weight of finding each real sample's condition among all of the batch by D's scores: 1 from captions, else 0"""
    mismatch: float | None = None
    """weight of real samples with one other condition, which D must tell: 0 beside contrast; 0.5 by the loss of the
    first paper, --loss matching_aware"""
    auxiliary: float = 0.0
    """weight of the class that D tells of what it sees, in both turns; D is then not told it (AC-GAN)"""
    naming: float | None = None
    """weight of the words of its caption that D names of what it sees, falling to a tenth in four fifths of the run; a
    fifth of it weighs in G's turn: 1 from captions beside contrast, else 0"""
    interpolate: float = 0.0
    """weight of G's loss at conditions half-way between two of the batch (GAN-INT)"""
    penalties: str = ""
    """more penalties of D: NAME=WEIGHT or module:name=WEIGHT, with commas between; NAME=WEIGHT:END comes to END by
    equal factors until 0.7 of the run; by name r1, r2, r1_approx, r2_approx, wgan_gp, zero_centred, dragan, lecam,
    lecam_relu, drift, mismatch, contrast, mismatch_hard, mismatch_original, consistency"""
    clip: float | None = None
    """clip D's weights to [-clip, clip] after each step (WGAN); not if left out"""
    weight_decay: float = 0.0
    """weight of half the squared length of D's parameters"""
    spectral: Literal["none", "D", "both"] = "none"
    """divide each weight by its largest singular value (spectral normalisation), in D or in both players"""
    augment: str = "none"
    """what D sees everything through: none, ada, or a list such as color,translation,cutout"""
    instance_noise: float = 0.0
    """std of noise on all that D sees (a picture spans 2, points about 1); falls to 0 until 0.7 of the run"""

    terms: str | None = None
    """what G descends beside its loss: feature_matching, mode_seeking, energy, l1, l2, gradients or module:name, as
    NAME=WEIGHT or NAME=WEIGHT:END,… as of penalties; energy=1:0.1 of next frames, else nothing"""
    adversarial: float = 1.0
    """weight of G's loss; at 0, G descends its terms alone"""
    history: float = 0.0
    """weight of the squared distance of each player to the mean of its past (historical averaging)"""
    top_k: float = 1.0
    """the share of fakes, the most real to D, that G learns from; from all to this by half of the run"""
    unroll: int = 0
    """turns of D that G thinks ahead (unrolled GAN); each costs about as much as a step without them"""

    route: str | None = None
    """how the gradient reaches G: pathwise through samples; of texts reinforce, rollouts, gumbel, or likelihood (that
    is no game); or module:name of a loss of G's turn"""
    pretrain: int = 0
    """samples of the run, its first, from which G learns by maximum likelihood, before the game"""
    rollouts: int = 16
    """ends that are written to each beginning of a text, by the route of that name"""
    tau: float = 1.0
    """temperature of the relaxed tokens of the route gumbel"""
    tau_end: float | None = None
    """and at the end of the run; the same if left out"""
    relax: Literal["straight", "soft"] = "straight"
    """what D sees on that route: tokens, with a relaxed gradient, or the relaxed tokens themselves"""
    reward: str = "sigmoid"
    """what G earns with a token, of its score: sigmoid, log, score, or module:name"""
    discount: float = 0.23
    """the share of the reward of the next token that counts for a token, and so on"""
    baseline: Literal["mean", "step", "none"] = "mean"
    """what rewards are compared with: the usual of all tokens, of those at the same place, or nothing"""
    baseline_decay: float = 0.08
    """the share of the baseline that a batch leaves"""
    entropy: float = 0.0
    """reward of a token for each nat of surprise"""
    generator_steps: int = 1
    """steps of G on the same texts, its probabilities held near to those that wrote them"""
    ratio: float = 0.2
    """how far those probabilities may be off, as a share, before a token has no say any more"""

    net: str = "auto"
    """the pair of networks: auto, vector, plain, quick, dcgan, r3gan, recurrent, gated, weighing, attentive,
    scratchgan, frame, or module:name of a function (spec, prior, width) -> (G, D)"""
    width: int | None = None
    """channels of the networks"""
    patches: int | None = None
    """of next frames: pieces of a side; all pieces are drawn at once, and blended where they overlap; 1 = the whole"""
    forcing: float = 0.0
    """of next frames: chance by which G is fed a frame of its own (student forcing); it rises from 0, and is
    reached at half of the run"""
    prior: str = "normal"
    """what z is drawn from: normal, uniform, bernoulli, truncated, sphere, mixture, or module:name of a class (dim)"""
    z: int | None = None
    """dimensions of z; of a text, beside the chance of its tokens: 0 is enough"""
    join: Literal["concat", "add", "project", "modulate"] | None = None
    """how G joins z and its condition; modulate: the condition (of next frames, z) enters by the scale of channels"""
    norm: Literal["none", "batch", "virtual", "pixel"] | None = None
    """the generator's norm: none, batch, virtual (by a fixed batch: samples stay independent), or pixel"""
    group: int | None = None
    """samples whose spread D sees as one more feature (minibatch standard deviation); 1 = none"""
    kernels: int | None = None
    """ways in which D learns to compare the samples of a batch (minibatch discrimination); 0 = none"""
    forget: float | None = None
    """the share of each word's numbers that D drops in each look at texts"""
    pack: int | None = None
    """samples that D judges together, all real or all fake (PacGAN)"""

    samples: int | None = None
    """real samples shown to D in all; the length of the run"""
    minutes: float | None = None
    """or: as many samples as fit this time, by a timing at the start; not by time if left out"""
    batch: int | None = None
    """samples a step, over all processes"""
    micro: int | None = None
    """samples a backward pass, if the batch does not fit in memory; the whole batch if left out; batch norm sees these
    alone"""
    lr: float | None = None
    """highest learning rate of G, after a rise over the first 2 % of the run"""
    lr_D: float | None = None
    """highest learning rate of D; the same as lr by default, for quick networks a sixth of it, from captions a third,
    two thirds by soap; half for next frames, twice for texts"""
    lr_end: float | None = None
    """the share of the rates that is left at the end of the run, along half a cosine"""
    settle: float | None = None
    """power of the half cosine along which G's rate falls (D's is 1): above 1, G settles while D still learns"""
    beta1: float | None = None
    """Adam's first decay"""
    beta2: float | None = None
    """Adam's second decay, or RMSProp's, at the end; it begins at 0.9"""
    optimizer: Literal["adam", "rmsprop", "soap"] | None = None
    """adam; rmsprop, the choice of the first Wasserstein GAN; or soap, Adam along the directions in which gradients
    lie, by default on a CPU, where no condition is followed, for points, and for pictures from 32 pixels on with quick
    networks"""
    critic_steps: int = 1
    """turns of D for each turn of G"""
    average: float | None = None
    """half-life of the average generator, as a share of all samples, 0.02 by default, 0.03 for pictures by soap; early
    in the run, less"""
    autopilot: Literal["off", "advise", "act"] = "advise"
    """what is done about findings: nothing, words, or bounded changes of the run from its last healthy checkpoint"""
    stop: Literal["budget", "plateau", "target"] = "budget"
    """when to end: at the last sample, when held-out data shows no more gain, or when a measure reaches --target"""
    patience: int | None = None
    """samples over which the median measure must be better than over as many before them, else it is a plateau"""
    target: str | None = None
    """NAME=VALUE of a measure, such as fid=2; by NAME alone, the measure whose best checkpoint is kept"""
    seed: int = 0
    """of everything random; the same seed gives the same run"""

    device: str = "auto"
    """cpu, cuda, or auto"""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bf16: networks in bfloat16 where the processor is fast at it; parameters, losses and penalties stay float32"""
    threads: int = 0
    """of the CPU; 0 = all cores, but one for steps as small as those of points"""
    log_every: int | None = None
    """samples between two lines of stats.jsonl"""
    sample_every: int | None = None
    """samples between two sheets"""
    evaluate_every: int | None = None
    """samples between two evaluations"""
    checkpoint_every: int | None = None
    """samples between two checkpoints"""
    extractor: str | None = None
    """what evaluations look through: raw, pca, random, learned, classifier, inception or module:name; what costs
    nothing if left out"""
    evaluate_n: int = 1000
    """generated samples an evaluation while training"""
    evaluate_final: int = 2000
    """generated samples in the evaluation at the end"""

    def asdict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, saved: Mapping[str, Any]) -> "Recipe":
        """The recipe that `asdict` wrote; unknown keys are refused."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in saved:
            if key not in names:
                raise RequestError(f"the recipe has an unknown setting {key!r}{nearest(key, names)}")
        return cls(**saved)


def difference(then: Recipe, now: Recipe) -> str:
    """What differs between two recipes of one run, in words; empty if nothing that matters does."""
    a, b = then.asdict(), now.asdict()
    return "; ".join(
        f"{k} was {a[k]} when the run began and is {b[k]} now" for k in a if k not in FREE and a[k] != b[k]
    )


def with_intervals(r: Recipe) -> Recipe:
    """The recipe with what happens how often, now that its length is known."""
    samples, batch = r.samples or 0, r.batch or 0
    share = lambda part: max(samples // part, 10 * batch)
    often = 6 if r.stop == "budget" else 24
    every = dict(log_every=share(150), sample_every=share(24), evaluate_every=share(often), checkpoint_every=share(12))
    every |= dict(patience=share(8)) if r.stop == "plateau" else {}
    return replace(r, **{k: v for k, v in every.items() if getattr(r, k) is None})


def by_length(r: Recipe) -> list[str]:
    """The intervals of a recipe that are as its length gives them."""
    usual = with_intervals(replace(r, **dict.fromkeys(INTERVALS)))  # type: ignore[arg-type]
    return [name for name in INTERVALS if getattr(r, name) == getattr(usual, name)]
