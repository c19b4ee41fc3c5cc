"""The code in the README and in the guides runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    "page", ["README.md", "docs/workshop.md", "docs/adversarial.md", "docs/autoencoders.md", "docs/flows.md"]
)
def test_the_code_on_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks of a page are one program; what it writes goes to the folder it runs in."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    program: dict[str, object] = {"__name__": "__main__"}
    exec(compile("".join(blocks), page, "exec"), program)
    program.clear()  # its functions and its variables refer to each other


PAGES = [ROOT / "README.md", ROOT / "examples/README.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_gallery_shows_every_example() -> None:
    gallery = (ROOT / "examples/README.md").read_text()
    scripts = [path.name for path in sorted(ROOT.glob("examples/*.py"))]
    assert scripts
    assert not [name for name in scripts if f"]({name})" not in gallery]
    assert not [name for name in scripts if f"../docs/images/{Path(name).stem}.png" not in gallery]
