"""The sources of a text, which may arrive after other parts, such as a call or a signature.

Canonically a text's sources come before its end, as in a complete response. The end of a text and
what follows it therefore wait for the sources, until more text begins or the response ends.
"""

from __future__ import annotations

from gateway.canon.events import BlockEnd, BlockStart, CitationDelta, Delta, Event
from gateway.canon.request import Citation
from gateway.dialects.base import RenderedRequest
from gateway.dialects.gemini.context import Json
from gateway.dialects.gemini.response import parse_citations


class TextSources:
    """The sources of the last text, and the events that wait for them.

    Thoughts after a text wait as well if sources are expected, else clients get them at once.

    Attributes:
        unsent_sources: source metadata of the text whose citations were not sent yet.
        early_sources: source metadata that came before any text: they belong to the next one.
        has_ended: whether the text has ended and its end waits.
    """

    def __init__(self, *, expected: bool) -> None:
        self._expected = expected
        self.unsent_sources: Json | None = None
        self.early_sources: Json | None = None
        self.has_ended = False
        self._fragments: list[str] = []
        self._sent: set[tuple[object, ...]] = set()
        self._waiting: list[Event] = []

    def begin(self) -> None:
        """Begin a new text."""
        self._fragments, self._sent = [], set()

    def add(self, fragment: str) -> None:
        """Add a fragment of the text."""
        self._fragments.append(fragment)

    def end(self) -> list[Event]:
        """End the text: the citations to send before its end."""
        self.has_ended = True
        events = self.citation_events()
        self.unsent_sources, self.early_sources = self.early_sources, None
        return events + self.citation_events()

    def citation_events(self) -> list[Event]:
        """The citations that were not sent before: Google may repeat them in later chunks."""
        sources, self.unsent_sources = self.unsent_sources, None
        if sources is None:
            return []
        citations = parse_citations(sources, "".join(self._fragments))
        citations = [citation for citation in citations if _identity(citation) not in self._sent]
        self._sent.update(map(_identity, citations))
        return [CitationDelta(citation) for citation in citations]

    def hold_back(self, events: list[Event], open_kind: str) -> list[Event]:
        """The events that need not wait; `open_kind` is that of the block open before them."""
        released_events: list[Event] = []
        for event in events:
            if isinstance(event, BlockStart):
                open_kind = event.kind
            if not self._waiting:
                is_end = isinstance(event, BlockEnd) and open_kind == "text"
                (self._waiting if is_end else released_events).append(event)
            elif isinstance(event, CitationDelta):
                released_events.append(event)
            elif open_kind == "text" or self._is_live_thought(event, open_kind):
                released_events += [*self._waiting, event]
                self._waiting = []
            else:
                self._waiting.append(event)
        self.has_ended = bool(self._waiting)
        return released_events

    def _is_live_thought(self, event: Event, open_kind: str) -> bool:
        return not self._expected and open_kind == "reasoning" and isinstance(event, Delta)

    def take(self) -> list[Event]:
        """The events that wait; from now on, none does."""
        events, self._waiting, self.has_ended = self._waiting, [], False
        return events


def _identity(citation: Citation) -> tuple[object, ...]:
    """The fields that distinguish the citations of a text."""
    return citation.url, citation.title, citation.quote, citation.start, citation.end


# Tools without sources; all others are searches, maps, pages or files.
_TOOLS_WITHOUT_SOURCES = frozenset({"functionDeclarations", "codeExecution", "computerUse"})


def may_cite_sources(request: RenderedRequest | None) -> bool:
    """Whether the request has a tool whose results the response cites."""
    tools = request.body.get("tools", ()) if request is not None else ()
    return any(not _TOOLS_WITHOUT_SOURCES.issuperset(tool) for tool in tools)
