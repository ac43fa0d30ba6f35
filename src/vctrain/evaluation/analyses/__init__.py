"""What a twin has learned about its units, beside how well it predicts them."""
