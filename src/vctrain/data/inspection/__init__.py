"""What is in a recording, and what would a physiologist look at twice in it?"""
