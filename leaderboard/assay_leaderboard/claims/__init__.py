"""The claims on the cards of methods: one_task (a claim on one task), ledger (all of them)."""
