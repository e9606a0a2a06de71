"""The doctor: some thirty live questions to one model, each with its judgement.

`PROBES` is the table of them. `examine` asks, `advice` says which traits should be
others, `estimate` what it will cost. Every provider is asked through its own dialect
with a canonical request, written by traits that assume the ability in question.
"""

from __future__ import annotations

from gateway.doctor.advice import TRAIT_OF, Advice, advice
from gateway.doctor.estimate import Estimate, estimate
from gateway.doctor.probes import BY_NAME, PROBES
from gateway.doctor.run import examine
from gateway.doctor.values import VERDICTS, Examination, Finding, Probe, Verdict

__all__ = [
    "BY_NAME",
    "PROBES",
    "TRAIT_OF",
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
