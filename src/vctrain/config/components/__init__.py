"""Settings of the model's components, one file a component family; free of torch."""
