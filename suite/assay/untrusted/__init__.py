"""Data from strangers, read without trusting it.

files         regular files of bounded size
text          what may stand in published text
strict_json   JSON without ambiguities
zip_archive   the one form of zip file that bundles have
weights       tensors that a worker exported
"""
