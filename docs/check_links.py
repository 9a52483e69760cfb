"""Check a built site: every link inside it leads to a file, and to a place in that file, which are there.

    python docs/check_links.py docs/_build

Pictures, styles and scripts count as links. Addresses on other hosts are not asked for.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src", "object": "data"}


class Page(HTMLParser):
    """Links of a page, with their line, and the places that links can lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[int, str]] = []
        self.places: set[str] = set()
        self.without_text: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for key in ("id", "name"):
            if found.get(key):
                self.places.add(str(found[key]))
        if found.get(LINKS.get(tag, "")):
            self.links.append((self.getpos()[0], str(found[LINKS[tag]])))
        if tag == "img" and "alt" not in found:
            self.without_text.append(self.getpos()[0])


def check(site: Path) -> tuple[int, int, list[str]]:
    """Return the numbers of pages and of links inside the site, and what is wrong."""
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts]
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in found}
    n_links, wrong = 0, []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        wrong += [f"{name}:{line}: picture without a text in its place" for line in page.without_text]
        for line, link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            n_links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.is_file():
                wrong.append(f"{name}:{line}: {link}: no such file")
            elif place and target in pages and place not in pages[target].places:
                wrong.append(f"{name}:{line}: {link}: no such place")
    return len(pages), n_links, wrong


def main() -> None:
    site = Path(sys.argv[1])
    n_pages, n_links, wrong = check(site)
    print("\n".join([*wrong, f"{n_pages} pages, {n_links} links inside the site, {len(wrong)} problems"]))
    sys.exit(bool(wrong) or not n_links)


if __name__ == "__main__":
    main()
