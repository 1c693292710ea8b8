"""Makes a mail's HTML tell us when it is looked at and which links are followed."""

import html
import re
from collections.abc import Callable
from typing import Final

from services.dispatcher.links import URL_CHARS_MAX, Links, Sent

_ANCHOR: Final = re.compile(r"<a\s[^>]*>", re.IGNORECASE)
_HREF: Final = re.compile(r"""(\shref\s*=\s*)(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
_PIXEL: Final = '<img src="{}" width="1" height="1" alt="" style="display:none">'


def tracked(source: str, sent: Sent, links: Links) -> str:
    """`source` with every web address in an `<a href>` leading through us, and a pixel.

    Our own links stay as they are, and so does what is no web address (`mailto:`, `#top`).
    """
    marked = _anchors(source, lambda url: _through_us(url, sent, links))
    pixel = _PIXEL.format(links.opened(sent))
    ends = [end.start() for end in _BODY_END.finditer(marked)] or [len(marked)]
    return marked[: ends[-1]] + pixel + marked[ends[-1] :]


def _anchors(source: str, change: Callable[[str], str]) -> str:
    def href(match: re.Match[str]) -> str:
        written = match[2] if match[2] is not None else match[3]
        url = html.unescape(written).strip()
        return f'{match[1]}"{html.escape(change(url))}"'

    return _ANCHOR.sub(lambda anchor: _HREF.sub(href, anchor[0], count=1), source)


def _through_us(url: str, sent: Sent, links: Links) -> str:
    is_web = url.lower().startswith(("https://", "http://"))
    if not is_web or len(url) > URL_CHARS_MAX or url.startswith(links.base_url + "/"):
        return url
    return links.clicked(sent, url)
