"""The command line: one small file per command; `main` maps every failure to a message and an exit code."""

from __future__ import annotations

from seq2x.cli.app import main

__all__ = ["main"]
