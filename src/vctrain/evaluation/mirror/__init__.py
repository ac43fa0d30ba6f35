"""How are the records of a run shown elsewhere: in Weights & Biases, in TensorBoard?"""
