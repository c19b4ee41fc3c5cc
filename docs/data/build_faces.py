"""faces.npz: the layers of pixel faces.

``npm pack @dicebear/pixel-art@9.4.3``, unpack, ``pip install cairosvg``, ``python build_faces.py package/lib``.

A drawn part is a stack of flat shapes: opaque ones in the part's own colour, translucent ones in white or black.
Whatever the colours, each pixel then is  own · colour + white + below · (what is beneath);  three renderings find
the three weights, which are whole hundredths.
"""

import io
import re

import cairosvg
import numpy as np
from archive import source, write
from PIL import Image

# What counts as a smile, and as long hair, was chosen by eye: corners up or teeth, against corners down or a flat
# line; hair that falls beside the cheeks, against hair that ends above them.
PARTS = {
    "clothing": "variant(?!04)",  # 04 is the same as 05
    "eyes": "variant",
    "glasses": "(light|dark)(?!04)",  # 04 has no rims
    "mouth_happy": "happy(06|09|12|13)",
    "mouth_sad": "sad(01|02|03|06|08|09)",
    "hair_long": "long(01|02|03|04|07|08|09|12|13|20|21)",
    "hair_short": "short(01|02|03|04|06|08|09|10|14|15|16|17|19|22)",
    "hat": "variant",
}
HEAD = "M4 2h8v1h1v3h1v2h-1v3h-1v1H9v1h4v1h1v2H2v-2h1v-1h4v-1H4v-1H3V8H2V6h1V3h1V2Z"
LIT = "M4 2h8v1h1v3h1v2h-1v3h-1v1H4v-1H3V8H2V6h1V3h1V2Z"  # the face, lighter than neck and shoulders
SKIN = f'<path d="{HEAD}" fill="OWN"/><path d="{LIT}" fill="#fff" fill-opacity=".1"/>'


def drawings(component: str) -> dict[str, str]:
    """The SVG of each variant; ``OWN`` stands for its colour."""
    text = (source() / "components" / f"{component}.js").read_text()
    found = re.findall(r"^ {4}(\w+): \(components, colors\) => `(.*)`,$", text, re.MULTILINE)
    return {name: re.sub(r"\$\{escape\.xml\(`\$\{colors\.\w+\}`\)\}", "OWN", svg) for name, svg in found}


def colours(component: str) -> np.ndarray:
    """The designer's palette, (n, 3)."""
    text = (source() / "schema.js").read_text()
    palette = re.search(component + r"Color: \{.*?default: \[(.*?)\]", text, re.DOTALL).group(1)
    return np.array([list(bytes.fromhex(colour)) for colour in re.findall(r"'(\w{6})'", palette)], np.uint8)


def rendered(svg: str, own: str, below: str) -> np.ndarray:
    page = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none">'
    drawn = f'{page}<path fill="{below}" d="M0 0h16v16H0z"/>{svg.replace("OWN", own)}</svg>'
    png = cairosvg.svg2png(drawn.encode(), output_width=16, output_height=16)
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), float) / 255


def weights(svg: str) -> np.ndarray:
    """(3, 16, 16) whole hundredths: how much of the part's own colour, of white, and of what is beneath."""
    white = rendered(svg, "#000", "#000")
    own, below = rendered(svg, "#fff", "#000") - white, rendered(svg, "#000", "#fff") - white
    exact = 100 * np.stack([own, white, below])
    assert np.abs(exact - np.rint(exact)).max() < 0.5, "not a stack of flat shapes"
    return np.rint(exact).astype(np.uint8)


arrays = {"skin": weights(SKIN)[None]}
for part, wanted in PARTS.items():
    variants = drawings(part.split("_")[0])
    arrays[part] = np.stack([weights(variants[name]) for name in sorted(variants) if re.match(wanted, name)])
    print(part, len(arrays[part]), "of", len(variants))
for component in ("skin", "clothing", "eyes", "glasses", "mouth", "hair", "hat"):
    arrays[f"{component}_colours"] = colours(component)
arrays["mouth_colours"] = arrays["mouth_colours"][2:]  # the paler two are hard to tell from skin
arrays["hat_colours"] = arrays["hat_colours"][1:]  # the first is a colour of hair
write("faces", **arrays)
