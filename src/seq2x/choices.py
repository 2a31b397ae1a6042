"""What may stand in a setting that has names for values: each list once, for settings, shapes and tables alike.

A new attention (path, history, ..) is a class, a row in the table beside the others of its kind, and its name here.
Help, recipes, checks of run folders, contract tests and the table of ideas take it from here.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "CONTEXT_USES",
    "LOSING",
    "ONE_HEAD",
    "Activation",
    "AttentionHistory",
    "AttentionPath",
    "AttentionScore",
    "Context",
    "ContextFrom",
    "ContextJoin",
    "Copy",
    "Decoder",
    "Kind",
    "Norm",
    "NormPosition",
    "OutputFrom",
    "Positions",
    "ProposalFrom",
    "Tied",
]

Kind: TypeAlias = Literal["transformer", "gru", "lstm", "rnn", "conv"]
"""Models that are trained by gradients."""
Decoder: TypeAlias = Literal["standard", "coupled", "mask_predict", "ctc"]
Norm: TypeAlias = Literal["layer", "rms", "batch"]
NormPosition: TypeAlias = Literal["pre", "post"]
Positions: TypeAlias = Literal["sinusoidal", "learned", "rotary"]
Activation: TypeAlias = Literal["relu", "gelu", "gated"]
Tied: TypeAlias = Literal["all", "target", "none"]
Context: TypeAlias = Literal["last", "first_last", "mean", "max", "attention"]
AttentionScore: TypeAlias = Literal["dot", "scaled", "general", "additive"]
AttentionHistory: TypeAlias = Literal["none", "location", "coverage", "location+coverage"]
AttentionPath: TypeAlias = Literal["any", "local_m", "local_p", "monotonic", "monotonic_soft", "forward"]
ContextFrom: TypeAlias = Literal["sum", "mean"]
ContextJoin: TypeAlias = Literal["concat", "sum", "gate"]
OutputFrom: TypeAlias = Literal["state", "all"]
Copy: TypeAlias = Literal["none", "generator", "pointer"]
ProposalFrom: TypeAlias = Literal["log_uniform", "unigram"]

CONTEXT_USES = ("state", "first", "every")
"""What `context_use` names, joined by +."""
LOSING: tuple[AttentionPath, ...] = ("local_p", "monotonic", "monotonic_soft")
"""Paths of attention whose weights may sum to less than one."""
ONE_HEAD: tuple[AttentionPath, ...] = ("monotonic", "monotonic_soft", "forward")
"""Paths of attention that go from one place to the next, and so are for one head."""
