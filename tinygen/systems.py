"""Floor 8. The systems of the lectures, and what the example scripts declare about those that they train.

An example declares itself once, in an :class:`Example`.  The script is judged by the same gates that ``tinygen
models`` prints, so that the table cannot say anything else than the script does.
"""

from __future__ import annotations

import json
import math
import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Bound = float | tuple[float, float] | None
"""A number, or a pair: for ``--quick`` and for ``--full``."""


@dataclass(frozen=True)
class Gate:
    """A number that an example must reach: at least, at most, or between the two.

    Four of five seeds must pass; all, if ``exact`` says that chance plays no part.  ``never_below`` and
    ``never_above`` say what cannot be: a likelihood above that of the truth, a negative divergence.  Such a value is
    not a good result but an alarm, and fails whatever the other seeds reach.

    >>> gate = Gate("held-out NLL", "nats", at_most=(1.2, 1.07), never_below=1.0076)
    >>> gate.passes(1.1, quick=True), gate.passes(1.1, quick=False), gate.passes(0.9, quick=False)
    (True, False, False)
    >>> gate.verdict([1.02, 1.03, 1.05, 1.02, 0.9], quick=False)
    ('0.9 … 1.05', 'ALARM (1 of 5 seeds)', False)
    """

    name: str
    unit: str = ""
    at_least: Bound = None
    at_most: Bound = None
    exact: bool = False
    never_below: float = -math.inf
    never_above: float = math.inf

    def __post_init__(self) -> None:
        if self.bounds(quick=True) == self.bounds(quick=False) == (-math.inf, math.inf):
            raise ValueError(f"Gate {self.name!r}: needs at_least, at_most, never_below or never_above")

    def bounds(self, *, quick: bool) -> tuple[float, float]:
        """The smallest and the largest value that pass."""
        low, high = (b[not quick] if isinstance(b, tuple) else b for b in (self.at_least, self.at_most))
        return (
            max(-math.inf if low is None else low, self.never_below),
            min(math.inf if high is None else high, self.never_above),
        )

    def passes(self, value: float, *, quick: bool) -> bool:
        """Whether a measured number is inside the bounds; NaN and infinity never are."""
        low, high = self.bounds(quick=quick)
        return math.isfinite(value) and low <= value <= high

    def threshold(self, *, quick: bool) -> str:
        """The bounds in words."""
        low, high = self.bounds(quick=quick)
        if math.isinf(low) and math.isinf(high):
            return "any"  # the other mode has the bound
        if math.isinf(high):
            return f"≥ {low:g}"
        return f"≤ {high:g}" if math.isinf(low) else f"{low:g} … {high:g}"

    def verdict(self, values: Sequence[float], *, quick: bool) -> tuple[str, str, bool]:
        """The values of all seeds, PASS, FAIL or ALARM with how many it is said of, and whether that is enough."""
        passed = sum(self.passes(value, quick=quick) for value in values)
        alarms = sum(value < self.never_below or value > self.never_above for value in values)
        enough = not alarms and passed >= (len(values) if self.exact else enough_of(len(values)))
        word = "ALARM" if alarms else "PASS" if enough else "FAIL"
        if len(values) == 1:
            return f"{values[0]:.6g}", word, enough
        count = f"({alarms or passed} of {len(values)} seeds)"
        return f"{min(values):.6g} … {max(values):.6g}", f"{word} {count}", enough


def enough_of(seeds: int) -> int:
    """How many of some seeds must pass: four of five."""
    return math.ceil(0.8 * seeds)


@dataclass(frozen=True)
class Example:
    """What an example script says about itself: its name, the systems it trains (keys), their files, its gates."""

    name: str
    systems: tuple[str, ...]
    models: tuple[str, ...]
    gates: tuple[Gate, ...]


@dataclass(frozen=True)
class System:
    """One system of the lectures (LECTURES, section 18) and the catalogue entries it stands on."""

    key: str
    title: str
    entries: str


SYSTEMS = (
    System("LAB-D", "Divergences and the optimal discriminator", "PROB-2, 4…6; DIV-*; GAN-4…9, 13, 22, 23"),
    System("LAB-OT", "Optimal transport", "OT-*; DIV-11, 12"),
    System("LAB-LG", "Linear-Gaussian models (PCA, pPCA)", "AE-2; VAE-4, 5, 9; FLOW-10"),
    System("AE", "Autoencoder", "PROB-9, 10; AE-1…3, 6; VAE-13"),
    System("DAE", "Denoising autoencoder", "AE-1, 4"),
    System("AE-AD", "Anomaly detector", "AE-1, 5"),
    System("VAE", "Variational autoencoder", "PROB-3, 7, 8; DIV-5…8; VAE-1…7, 10…13"),
    System("BVAE", "Beta-VAE", "VAE-8, 9"),
    System("CLS", "Generation by ascent on a classifier", "APP-1; PROB-1; TXT-4…6; CNN-1, 3"),
    System("GAN", "GAN (minimax)", "GAN-1…11, 14, 22, 23; ENG-6"),
    System("NSGAN", "Non-saturating GAN", "GAN-12…14, 16…18, 21"),
    System("CGAN", "Conditional GAN", "GAN-15"),
    System("SSGAN", "Semi-supervised GAN (K+1 classes)", "GAN-19; TXT-4, 5"),
    System("WGAN", "WGAN (clipped critic)", "OT-*; WGAN-1, 2, 4, 9"),
    System("WGANGP", "WGAN with gradient penalty", "OT-4, 6; WGAN-2…4; ENG-5"),
    System("R1GAN", "GAN with R1 penalty", "WGAN-5; GAN-12; ENG-5"),
    System("SNGAN", "Spectrally normalised GAN", "WGAN-6…8; OT-4"),
    System("DCGAN", "Convolutional GAN", "CNN-*; GAN-2, 12, 14, 20"),
    System("CYC", "CycleGAN", "CYC-*; GAN-12; WGAN-2"),
    System("SG1", "StyleGAN", "STY-1…5, 8, 10, 11; WGAN-5"),
    System("SG2", "StyleGAN2", "STY-1, 2, 5…8, 10, 11; WGAN-5"),
    System("PERC", "Perceptual distance and path length", "STY-9, 10; VAE-13"),
    System("AFFINE", "Affine and monotone 1-D flow", "FLOW-1, 2, 6; PROB-5, 9"),
    System("PLANAR", "Planar flow", "FLOW-1…14, 20; ENG-3, 4"),
    System("RNVP", "RealNVP", "FLOW-1…6, 15…20"),
    System("IAF", "Inverse autoregressive flow", "AR-5…8; FLOW-1, 5"),
    System("AR", "Gaussian autoregressive teacher", "AR-1…3, 8; PROB-8"),
    System("PIXCNN", "PixelCNN", "AR-1, 3, 4; TXT-4, 5"),
    System("DISTILL", "Distillation of a teacher", "AR-5…13; DIV-8; PROB-7"),
    System("W2V", "word2vec", "TXT-1…7"),
    System("GLOVE", "GloVe", "TXT-1, 8"),
    System("TCONV", "Convolutional text encoder", "TXT-9, 10; CNN-1, 5"),
    System("RNN", "Recurrent network", "TXT-11"),
    System("LSTM", "LSTM", "TXT-12"),
    System("LATENT", "Latent attributes and interpolation", "VAE-12, 13; STY-5"),
)


def declared(folder: Path) -> list[tuple[Path, Example]]:
    """The ``EXAMPLE`` of each script of a folder that has one.  Scripts are imported, not run."""
    found = []
    for path in sorted(folder.glob("*.py")):
        example = runpy.run_path(str(path), run_name=f"_{path.stem}").get("EXAMPLE")
        if not isinstance(example, Example):
            continue
        unknown = set(example.systems) - {system.key for system in SYSTEMS}
        if unknown:
            raise ValueError(f"{path}: EXAMPLE names systems that do not exist: {', '.join(sorted(unknown))}")
        found.append((path, example))
    return found


def overview(examples: Path, results: Path) -> list[str]:
    """Lines that say of every system which file and example are its own, and each gate with its last stored value.

    An example that serves several systems shows its gates under the first of them.
    """
    scripts = declared(examples)
    lines, covered = [], 0
    shown_under: dict[str, str] = {}
    for system in SYSTEMS:
        lines.append(f"{system.key:<8} {system.title}  [{system.entries}]")
        serving = [(path, example) for path, example in scripts if system.key in example.systems]
        covered += bool(serving)
        if not serving:
            lines.append(f"{'':8} no example yet")
        for path, example in serving:
            first = shown_under.setdefault(example.name, system.key)
            elsewhere = "" if first == system.key else f" (gates under {first})"
            lines.append(f"{'':8} {', '.join(example.models)}; {path.parent.name}/{path.name}{elsewhere}")
            if not elsewhere:
                lines += [f"{'':10} {line}" for line in _gate_lines(example, results / f"{example.name}.json")]
    return [*lines, f"{covered} of {len(SYSTEMS)} systems have an example."]


def _gate_lines(example: Example, stored: Path) -> list[str]:
    """Each gate, and how the stored values stand to the bounds of today."""
    if not stored.exists():
        return [f"{gate.name} {gate.threshold(quick=False)} {gate.unit}: not measured yet" for gate in example.gates]
    result, lines = json.loads(stored.read_text()), []
    quick = bool(result["quick"])
    for gate in example.gates:
        values = [float(run["metrics"].get(gate.name, math.nan)) for run in result["runs"]]
        shown, verdict, _ = gate.verdict(values, quick=quick)
        mode = " (--quick)" if quick else ""
        lines.append(f"{gate.name} {gate.threshold(quick=quick)} {gate.unit}{mode}: {shown} {verdict}")
    return lines
