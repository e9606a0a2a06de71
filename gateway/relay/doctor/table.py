"""Every probe, in the order in which they are shown."""

from __future__ import annotations

from gateway.relay.doctor.forms import OTHERS
from gateway.relay.doctor.sayings import WORDS
from gateway.relay.doctor.tooling import CALLS
from gateway.relay.doctor.values import Probe

PROBES: tuple[Probe, ...] = (*WORDS, *CALLS, *OTHERS)
BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
