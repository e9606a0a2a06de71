"""The doctor: about forty live requests to one model, each with a verdict.

`PROBES` is the table of them. `examine` runs them, `advice` returns traits to change,
`estimate` the expected cost. Every provider is called in its own dialect with a canonical
request, rendered with traits that assume the capability in question.
"""

from __future__ import annotations

from gateway.doctor.advice import TRAIT_BY_PROBE, Advice, advice
from gateway.doctor.estimate import Estimate, estimate
from gateway.doctor.probes import BY_NAME, PROBES
from gateway.doctor.run import examine
from gateway.doctor.values import VERDICTS, Examination, Finding, Probe, Verdict

__all__ = [
    "BY_NAME",
    "PROBES",
    "TRAIT_BY_PROBE",
    "VERDICTS",
    "Advice",
    "Estimate",
    "Examination",
    "Finding",
    "Probe",
    "Verdict",
    "advice",
    "estimate",
    "examine",
]
