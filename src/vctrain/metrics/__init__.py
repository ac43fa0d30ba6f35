"""How well predicted rates explain observed spikes."""
