"""Check the built site: every internal link and anchor, an entry for every public name; external links where possible.

    python .ci/links.py build/docs              # external links are listed
    python .ci/links.py build/docs --external   # external links are requested; needs the network

Relative links of README.md and the other Markdown files at the top are checked too.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


class Page(HTMLParser):
    """The ids and link targets of one page, and the length of its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.length = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect ids and links."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if (tag, name) in {("a", "href"), ("img", "src")} and value:
                self.links.append(value)

    def handle_data(self, data: str) -> None:
        """Count text."""
        self.length += len(data.strip())


def is_external(link: str) -> bool:
    """Return whether a link leaves the site."""
    return re.match(r"[a-z]+:", link) is not None or link.startswith("//")


def broken_internal(site: Path, pages: dict[Path, Page]) -> list[str]:
    """Return every link within the site whose file or anchor does not exist."""
    faults = []
    for path, page in pages.items():
        for link in page.links:
            if is_external(link):
                continue
            name, anchor = urldefrag(unquote(link))
            target = (path.parent / name).resolve() if name else path
            if not target.exists():
                faults.append(f"{path.relative_to(site)}: {link}: no such file")
            elif anchor and target in pages and anchor not in pages[target].ids:
                faults.append(f"{path.relative_to(site)}: {link}: no such anchor")
    return faults


def missing_entries(pages: dict[Path, Page]) -> list[str]:
    """Return every public name without an entry on the site."""
    import importlib

    from api_pages import MODULES, home_of, public_names

    ids = set().union(*(page.ids for page in pages.values()))
    faults = []
    for module in MODULES:
        for name in public_names(module):
            home = home_of(getattr(importlib.import_module(module), name), module, name)
            if f"{home}.{name}" not in ids:
                faults.append(f"{module}.{name}: no entry in the API reference")
    return faults


def broken_markdown() -> list[str]:
    """Return every relative link of the Markdown files at the top of the repository that leads nowhere."""
    faults = []
    for path in sorted(ROOT.glob("*.md")):
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            name = urldefrag(link)[0]
            if name and not is_external(link) and not (ROOT / name).exists():
                faults.append(f"{path.name}: {link}: no such file")
    return faults


def unreachable(link: str) -> str | None:
    """Return why an external link cannot be opened, or None."""
    try:
        request = urllib.request.Request(link, headers={"User-Agent": "prepixel-docs"})
        with urllib.request.urlopen(request, timeout=20):
            return None
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"{link}: {error}"


def main() -> int:
    """Check, print what is wrong, and return the exit code."""
    site = Path(sys.argv[1]).resolve()
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        print(f"{site}: no pages; run make docs")
        return 1
    faults = [*broken_internal(site, pages), *missing_entries(pages), *broken_markdown()]
    content = {path: page for path, page in pages.items() if path.stem not in {"genindex", "search", "py-modindex"}}
    faults += [f"{path.relative_to(site)}: the page is empty" for path, page in content.items() if page.length < 400]
    external = sorted({urldefrag(link)[0] for page in pages.values() for link in page.links if is_external(link)})
    external = [link for link in external if link.startswith("http")]
    if "--external" in sys.argv:
        faults += [fault for fault in map(unreachable, external) if fault]
    else:
        print("external links, not requested:", *external, sep="\n  ")
    print(*faults, sep="\n" if faults else "")
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
