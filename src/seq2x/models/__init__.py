"""Models by name: a kind of encoder, a kind of decoder, and one function that builds both from a `ModelShape`."""

from __future__ import annotations
