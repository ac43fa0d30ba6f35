"""The verbs, one a file: parse, call, render; no tensors."""
