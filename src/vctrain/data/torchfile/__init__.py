"""Files that torch wrote, read without running anything they name and without trusting what they claim."""
