"""Every probe, in the order in which they are shown."""

from __future__ import annotations

from gateway.doctor.forms import FORM_PROBES
from gateway.doctor.sayings import WORDS
from gateway.doctor.tooling import TOOL_PROBES
from gateway.doctor.values import Probe

PROBES: tuple[Probe, ...] = (*WORDS, *TOOL_PROBES, *FORM_PROBES)
BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
