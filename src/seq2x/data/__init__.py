"""Raw files <-> examples <-> batches: readers, the check, the store, collation and the order of batches."""

from seq2x.data.batches import Batches, split
from seq2x.data.check import check
from seq2x.data.collate import collate, pad
from seq2x.data.columns import Columns
from seq2x.data.fix import Fixed, fix
from seq2x.data.held_out import hold_out, valid_size, write_examples
from seq2x.data.inputs import Input, input_format, read_inputs, source_keys
from seq2x.data.lines import count_lines, in_one_line, iter_lines
from seq2x.data.notes import Notes
from seq2x.data.readers import merge, read
from seq2x.data.report import Finding, Report
from seq2x.data.sniff import sniff
from seq2x.data.store import Store, data_fingerprint, open_store, store_key
from seq2x.data.store_writer import write_store

__all__ = [
    "Batches",
    "Columns",
    "Finding",
    "Fixed",
    "Input",
    "Notes",
    "Report",
    "Store",
    "check",
    "collate",
    "count_lines",
    "data_fingerprint",
    "fix",
    "hold_out",
    "in_one_line",
    "input_format",
    "iter_lines",
    "merge",
    "open_store",
    "pad",
    "read",
    "read_inputs",
    "sniff",
    "source_keys",
    "split",
    "store_key",
    "valid_size",
    "write_examples",
    "write_store",
]
