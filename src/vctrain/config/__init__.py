"""Settings: schema, presets and files merged into one resolved object with provenance; free of torch."""
