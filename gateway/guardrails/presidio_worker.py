"""Runs Presidio's analyzer: a program that reads texts from its input, a JSON object per line.

    {"id": 1, "text": "...", "language": "en", "spacy_model": "", "entities": [], "until": 0.0}
    {"id": 1, "entities": [{"start": 0, "end": 5, "entity_type": "...", "score": 0.5}]}
    {"id": 1, "error": "..."}

It first writes one line: `{}`, or `{"error": "..."}` if it cannot work. A request after `until`
(unix seconds) is not analyzed. It exits at the end of its input. The gateway starts it as a
file, and it imports nothing of the gateway, so that Presidio has a process of its own.

Without a spaCy model, a blank pipeline splits the text into words: recognizers by pattern and
check digits work, names and places are not recognized. Nothing is downloaded.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

_engines: dict[tuple[str, str], Any] = {}


class UnusableModelError(Exception):
    """There is no such language or model; the message says what to install."""


def main() -> None:
    """Answer the requests until the input ends."""
    try:
        _import_packages()
    except ImportError as error:
        _write_reply({"error": f"{error}: pip install 'dragoman[presidio]'"})
        return
    _write_reply({})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _write_reply({"id": request["id"], **_analyze(request)})


def _import_packages() -> None:
    """Import the packages. Raises ImportError."""
    importlib.import_module("presidio_analyzer")
    importlib.import_module("spacy")
    # It would download the list of top-level domains; the one in the package suffices.
    importlib.import_module("tldextract.tldextract").TLD_EXTRACTOR.suffix_list_urls = ()


def _analyze(request: dict[str, Any]) -> dict[str, Any]:
    if time.time() > request["until"]:
        return {"error": "it was not analyzed in time"}
    try:
        engine = _load_engine(request["language"], request["spacy_model"])
        matches = engine.analyze(
            text=request["text"],
            language=request["language"],
            entities=request["entities"] or None,
            score_threshold=request["min_score"],
        )
    except UnusableModelError as error:
        return {"error": str(error)}
    except Exception as error:
        # Of its message only the type: it could quote the text.
        return {"error": f"the analyzer failed: {type(error).__name__}"}
    entities = [
        {"start": m.start, "end": m.end, "entity_type": m.entity_type, "score": m.score}
        for m in matches
    ]
    return {"entities": entities}


def _load_engine(language: str, model: str) -> Any:
    """The analyzer of a language. Raises UnusableModelError."""
    key = language, model
    if key not in _engines:
        _engines[key] = _build_engine(language, model)
    return _engines[key]


def _build_engine(language: str, model: str) -> Any:
    spacy = importlib.import_module("spacy")
    presidio = importlib.import_module("presidio_analyzer")
    nlp = importlib.import_module("presidio_analyzer.nlp_engine")
    # Presidio would download a model that is not installed.
    if model and not spacy.util.is_package(model):
        raise UnusableModelError(
            f"the spaCy model {model} is not installed: python -m spacy download {model}"
        )
    engine = nlp.SpacyNlpEngine(models=[{"lang_code": language, "model_name": model or "blank"}])
    try:
        engine.nlp = {language: spacy.load(model) if model else spacy.blank(language)}
    except ImportError:
        raise UnusableModelError(f"spaCy does not have the language `{language}`") from None
    return presidio.AnalyzerEngine(nlp_engine=engine, supported_languages=[language])


def _write_reply(reply: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(reply).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
