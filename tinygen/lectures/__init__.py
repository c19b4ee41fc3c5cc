"""Floor 8. The lectures as executable claims, one module a chapter; ``tinygen verify`` runs them."""

from __future__ import annotations

import importlib

from tinygen.lectures.claim import Claim, Unchecked

CHAPTERS = (
    "probability", "probability_generators", "divergences", "divergences_bounded", "transport",
    "gan", "gan_optimum", "gan_learning", "gan_tricks",
    "wasserstein", "wasserstein_norms", "translation",
    "style", "style_images", "convolution", "convolution_networks", "autoencoders", "variational", "latent_space",
    "flows", "flows_planar", "flows_coupling", "autoregressive", "autoregressive_flows", "distillation",
    "text", "text_sequences", "applications",
    "engine", "engine_logarithms",
)  # fmt: skip


def claims() -> list[Claim]:
    """Every claim, in the order of the lectures."""
    return [entry for entry in entries() if isinstance(entry, Claim)]


def unchecked() -> list[Unchecked]:
    """Entries and errata that state nothing a machine could check, with the reason."""
    return [entry for entry in entries() if isinstance(entry, Unchecked)]


def entries() -> list[Claim | Unchecked]:
    """What the chapters define at their top level, in order."""
    modules = [importlib.import_module(f"tinygen.lectures.{chapter}") for chapter in CHAPTERS]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Claim | Unchecked)]
