"""Every probe, in display order."""

from __future__ import annotations

from gateway.doctor.format_probes import FORM_PROBES
from gateway.doctor.text_probes import TEXT_PROBES
from gateway.doctor.tool_probes import TOOL_PROBES
from gateway.doctor.values import Probe

PROBES: tuple[Probe, ...] = (*TEXT_PROBES, *TOOL_PROBES, *FORM_PROBES)
BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
