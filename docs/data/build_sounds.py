"""spoken_digits.npz: the digits 0 … 9, spoken once.

``python build_sounds.py FOLDER`` with the folder ``sounds/en_US_f_Allison/digits`` of the Debian package
``asterisk-core-sounds-en-wav`` 1.6.1-1: 8,000 samples a second, 16 bits, one channel.
"""

import wave

import numpy as np
from archive import source, write


def recorded(digit: int) -> np.ndarray:
    """Samples in [-1, 1)."""
    with wave.open(str(source() / f"{digit}.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8_000, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15


def companded(samples: np.ndarray) -> np.ndarray:
    """256 levels, fine near silence (µ-law, µ = 255): twin of ``tinygen.data.sounds.mu_law_encode``."""
    curve = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log1p(255)
    return np.rint((curve + 1) / 2 * 255).astype(np.uint8)


spoken = [companded(recorded(digit)) for digit in range(10)]
write("spoken_digits", codes=np.concatenate(spoken), lengths=np.array([len(codes) for codes in spoken], np.int64))
print([len(codes) for codes in spoken])
