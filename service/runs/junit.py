"""The outcome of a gate as CI systems read it: one JUnit test case for each threshold."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

from .model import Run


def junit(run: Run) -> bytes:
    """Return a JUnit document. One that nobody can judge is skipped, and says why."""
    results = run.results
    failed = sum(result.judgement == "failed" for result in results)
    skipped = sum(result.judgement == "unclear" for result in results)
    counts: dict[str, Any] = {
        "tests": str(len(results)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
    }
    root = ET.Element("testsuites", name="reqscope", **counts)
    began = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.SubElement(root, "testsuite", name=_text(run.label), timestamp=began, time=f"{run.span:.3f}", **counts)
    for result in results:
        case = ET.SubElement(suite, "testcase", classname=_text(run.label), name=_text(result.threshold), time="0")
        if result.judgement == "failed":
            ET.SubElement(case, "failure", message=_text(result.detail), type="threshold")
        elif result.judgement == "unclear":
            ET.SubElement(case, "skipped", message=_text(result.detail))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _text(text: str) -> str:
    """Without what XML 1.0 cannot hold, escaped or not."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
