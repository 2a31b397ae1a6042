"""Raw files <-> examples <-> batches: readers, the check, the store, collation and the order of batches."""

from seq2x.data.columns import Columns
from seq2x.data.lines import count_lines, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.readers import merge, read, read_inputs
from seq2x.data.sniff import sniff

__all__ = ["Columns", "Notes", "count_lines", "iter_lines", "merge", "read", "read_inputs", "sniff"]
