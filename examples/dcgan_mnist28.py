"""The digits of ``dcgan.py`` at their full size: 28 × 28 pixels, 60,000 of them, under the same judge.

It needs MNIST's four files (``tg.data.load("mnist", download=True)`` fetches them; or put them into a folder ``mnist``
beneath the one that TINYGEN_DATA names).

python examples/dcgan_mnist28.py                  1,000 steps, some 4 minutes on one core
python examples/dcgan_mnist28.py --quick          300 steps, some 80 seconds
python examples/dcgan_mnist28.py --device cuda    on a GPU (``pip install ".[cuda12]"``)
"""

from __future__ import annotations

import sys
import warnings

import tinygen as tg
from tinygen.data.images import Images
from tinygen.models import dcgan_digits, gan
from tinygen.models.dcgan import Discriminator, Generator
from tinygen.running import Example, Gate, Run, main

EXAMPLE = Example(
    name="dcgan_mnist28",
    systems=("DCGAN",),
    models=("tinygen/models/dcgan.py", "tinygen/models/dcgan_digits.py"),
    gates=(
        *(Gate(name, at_least=bounds) for name, bounds in dcgan_digits.AT_LEAST.items()),
        *(Gate(name, at_most=bounds) for name, bounds in dcgan_digits.AT_MOST.items()),
    ),
)


def train(run: Run) -> dict[str, float]:
    digits, rng, steps = full_size(), run.rng, run.choose(quick=300, full=1000)
    judge_steps = run.choose(quick=400, full=1500)
    judge = dcgan_digits.trained_judge(
        "mnist", judge_steps, run.shared / "judge", channels=16, resume=run.resume, code=run.code
    )

    generator = Generator(28, classes=dcgan_digits.CLASSES, rng=rng.spawn("generator"))
    discriminator = Discriminator(28, classes=dcgan_digits.CLASSES, rng=rng.spawn("discriminator"))
    # Images of three times as many pixels as those of 16 × 16 are √3 times as far apart: slopes are as much smaller.
    state = dcgan_digits.digit_game(generator, discriminator, digits, steps, gamma=0.3, rng=rng)
    history = run.train(state, gan.step, steps, every=steps // 10, evaluate=judge.watch(rng), watch="recognised")

    dcgan_digits.draw(state.film, history, judge, run.picture("dcgan_mnist28.png"))
    dcgan_digits.animate(rng.spawn("walk"), state, run.picture("dcgan_mnist28.gif"))
    judged = rng.spawn("judged")
    return judge.measure(judged, *dcgan_digits.drawn(judged, state, dcgan_digits.SAMPLES))


def full_size() -> Images:
    """All digits to train with; leaves with a word if the files are not there."""
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):  # small digits would come instead
            digits: Images = tg.data.load("mnist")
            return digits
    except UserWarning:
        sys.exit(f"dcgan_mnist28 needs the files of MNIST.\n{__doc__}")


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
