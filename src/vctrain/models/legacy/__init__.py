"""Models that compute as the system before this one did, quirks included: what old checkpoints need, and nothing else.

Facts are those of the legacy specification; the quirks that only make sense with old weights (newest-first windows,
the even blur, the resetless GRU, shortcuts that skip frames) live here and nowhere else.
"""
