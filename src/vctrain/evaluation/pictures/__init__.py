"""How does a twin look while it trains: its kernels, its readouts, its score?"""
