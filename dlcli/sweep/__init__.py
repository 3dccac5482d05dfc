"""Sweeps: which jobs there are, a process for each, a ledger of what became of them, and a table at the end."""
