"""Training tier: an autoencoder beside a VAE, and its encoder beside the exact posterior (``pytest -m train``)."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tinygen.running import Run

pytestmark = [pytest.mark.train, pytest.mark.host]

EXAMPLE = Path(__file__).parents[2] / "examples" / "latent_plane.py"


def test_codes_of_a_vae_fill_the_prior_and_its_bound_lacks_the_divergence(tmp_path: Path) -> None:
    """The example's own ``--quick``, with its gates.

    Over seeds 0 … 4 the distance of codes to N(0, I) was .96 … 1.55 for the autoencoder and .003 … .021 for the VAE;
    its bound was .33 … .46 nats below log p(x), within .026 of the divergence from the posterior.
    """
    script = runpy.run_path(str(EXAMPLE), run_name="latent_plane")
    measured = script["train"](Run(0, tmp_path, quick=True, resume=False))
    missed = [gate.name for gate in script["EXAMPLE"].gates if not gate.passes(measured[gate.name], quick=True)]
    assert missed == []
