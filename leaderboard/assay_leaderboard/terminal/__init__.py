"""Tables for a terminal: boards, comparisons, claims and the audit; `console` has the basics."""
