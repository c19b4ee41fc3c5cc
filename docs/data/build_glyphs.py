"""glyphs.npz: letters in eight styles of DejaVu, from the fonts inside matplotlib.  ``python build_glyphs.py FONTS``.

``FONTS`` is ``matplotlib/mpl-data/fonts/ttf`` of matplotlib 3.x (DejaVu 2.37).
"""

import unicodedata

import numpy as np
from archive import pack_nibbles, source, write
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

STYLES = [  # bit 0 italic, bit 1 bold, bit 2 serif
    "Sans", "Sans-Oblique", "Sans-Bold", "Sans-BoldOblique",
    "Serif", "Serif-Italic", "Serif-Bold", "Serif-BoldItalic",
]  # fmt: skip
SCALE, SIZE, BASELINE = 16, 12.5, 12  # drawn SCALE times too large, then averaged; size and baseline in final pixels


def letters() -> list[str]:
    """Latin, Greek and Cyrillic letters without accents that all styles have."""
    maps = [TTFont(source() / f"DejaVu{style}.ttf").getBestCmap() for style in STYLES]
    common = [chr(code) for code in sorted(set.intersection(*map(set, maps))) if code < 0x530]
    named = [c for c in common if unicodedata.name(c).split()[0] in ("LATIN", "GREEK", "CYRILLIC")]
    plain = [c for c in named if unicodedata.category(c) in ("Lu", "Ll") and not unicodedata.decomposition(c)]
    return sorted(plain, key=lambda c: (0x180 <= ord(c) < 0x370, c))  # languages' alphabets before phonetic ones


def drawn(letter: str, font: ImageFont.FreeTypeFont) -> np.ndarray | None:
    """Its ink in the middle, its baseline where all have theirs; None if it does not fit into 16 × 16."""
    left, top, right, bottom = font.getbbox(letter, anchor="ls")
    side, base = 16 * SCALE, BASELINE * SCALE
    if right - left > side or base + top < 0 or base + bottom > side:
        return None
    page = Image.new("L", (side, side))
    ImageDraw.Draw(page).text(((side - right - left) / 2, base), letter, 255, font, anchor="ls")
    blocks = np.asarray(page, float).reshape(16, SCALE, 16, SCALE).mean((1, 3))
    return np.rint(blocks / 255 * 15).astype(np.uint8)


fonts = [ImageFont.truetype(str(source() / f"DejaVu{style}.ttf"), SIZE * SCALE) for style in STYLES]
kept: list[tuple[str, np.ndarray]] = []
pictures: set[tuple[int, bytes]] = set()
for letter in letters():
    images = [drawn(letter, font) for font in fonts]
    if any(image is None for image in images):
        continue
    new = {(style, image.tobytes()) for style, image in enumerate(images)}
    if not new & pictures:  # Latin A, Greek Α and Cyrillic А are one picture
        kept.append((letter, np.stack(images)))
        pictures |= new
codes = np.array([ord(letter) for letter, _ in kept], np.uint16)
print(len(codes), "of", len(letters()), "".join(map(chr, codes)))
write("glyphs", codes=codes, images=pack_nibbles(np.stack([stack for _, stack in kept])))
