"""What a run leaves on disk, and the processes it is made of."""
