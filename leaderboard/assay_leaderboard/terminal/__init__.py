"""Boards, comparisons, claims and the audit as tables for a terminal; console has the means."""
