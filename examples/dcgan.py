"""Convolutional adversarial networks draw the handwritten digit that they are asked for, before a judge.

python examples/dcgan.py            the judge, a classifier, and the game: about two minutes
python examples/dcgan.py --quick    both for a short time
"""

from __future__ import annotations

import tinygen as tg
from tinygen.models import gan
from tinygen.models.dcgan import Discriminator, Generator
from tinygen.models.dcgan_digits import (
    AT_LEAST,
    AT_MOST,
    CLASSES,
    SAMPLES,
    animate,
    digit_game,
    draw,
    drawn,
    trained_judge,
)
from tinygen.running import Example, Gate, Run, main

EXAMPLE = Example(
    name="dcgan",
    systems=("DCGAN",),
    models=(
        "tinygen/models/dcgan.py",
        "tinygen/models/dcgan_digits.py",
        "tinygen/models/gan.py",
        "tinygen/models/classifier.py",
    ),
    gates=(
        *(Gate(name, at_least=bounds) for name, bounds in AT_LEAST.items()),
        *(Gate(name, at_most=bounds) for name, bounds in AT_MOST.items()),
    ),
)


def train(run: Run) -> dict[str, float]:
    rng, steps = run.rng, run.choose(quick=300, full=1000)
    judge_steps = run.choose(quick=600, full=2500)
    judge = trained_judge("mnist16", judge_steps, run.shared / "judge", resume=run.resume, code=run.code)

    generator = Generator(16, classes=CLASSES, rng=rng.spawn("generator"))
    discriminator = Discriminator(16, classes=CLASSES, rng=rng.spawn("discriminator"))
    state = digit_game(generator, discriminator, tg.data.load("mnist16"), steps, rng=rng)
    history = run.train(state, gan.step, steps, every=steps // 10, evaluate=judge.watch(rng), watch="recognised")

    draw(state.film, history, judge, run.picture("dcgan.png"))
    animate(rng.spawn("walk"), state, run.picture("dcgan.gif"))
    judged = rng.spawn("judged")
    return judge.measure(judged, *drawn(judged, state, SAMPLES))


if __name__ == "__main__":
    main(EXAMPLE, train, __doc__)
