"""The twin and its components: what turns clips into predicted rates."""
